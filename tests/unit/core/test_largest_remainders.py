"""Shares become whole tokens by largest remainders: nobody is further from the exact share than need be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mixlaw.core.mixture import Mixture


def test_the_odd_tokens_go_to_the_largest_remainders() -> None:
    # exact: 5.5, 2.7, 1.8: two tokens are left after rounding down
    assert Mixture({"a": 0.55, "b": 0.27, "c": 0.18}, 10).tokens == {"a": 5, "b": 3, "c": 2}


@pytest.mark.parametrize("seed", range(10))
def test_no_other_whole_tokens_are_nearer_to_the_shares(seed: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(4))
    names, budget = ("a", "b", "c", "d"), 23
    tokens = Mixture(dict(zip(names, weights, strict=True)), budget).tokens
    found = np.array([tokens[name] for name in names])
    others = [np.array(x) for x in product(range(budget + 1), repeat=3) if sum(x) <= budget]
    nearest = min(float(((np.append(x, budget - x.sum()) - budget * weights) ** 2).sum()) for x in others)
    assert found.sum() == budget
    assert float(((found - budget * weights) ** 2).sum()) == pytest.approx(nearest)
