"""Pools make a proxy run repeat a domain as often as the budget would, and leave the others alone."""

from __future__ import annotations

import pytest

from mixlaw.design.repetition import matched_pools

AVAILABLE = {"large": 10**9, "small": 100_000}


def test_a_domain_repeats_as_often_as_at_the_budget() -> None:
    tokens, budget = {"large": 30_000, "small": 20_000}, 1_000_000
    at_budget = tokens["small"] / sum(tokens.values()) * budget / AVAILABLE["small"]
    assert at_budget == pytest.approx(4.0)
    assert matched_pools(tokens, AVAILABLE, budget) == {"small": 5_000}
    assert tokens["small"] / 5_000 == pytest.approx(at_budget)


@pytest.mark.parametrize("scale", [0.1, 1, 3])
def test_the_pool_follows_the_run_not_its_weights(scale: float) -> None:
    runs = [{"large": int(scale * a), "small": int(scale * (50_000 - a))} for a in (10_000, 30_000)]
    pools = [matched_pools(tokens, AVAILABLE, 1_000_000)["small"] for tokens in runs]
    assert pools == pytest.approx([5_000 * scale] * 2)


def test_no_run_repeats_more_than_a_mixture_may() -> None:
    tokens = {"large": 1_000, "small": 99_000}
    assert matched_pools(tokens, AVAILABLE, 10**9, max_epochs=4) == {"small": 24_750}


def test_nothing_is_held_back_where_the_budget_repeats_nothing() -> None:
    tokens = {"large": 30_000, "small": 20_000, "none": 0}
    there = AVAILABLE | {"none": 5}
    assert matched_pools(tokens, there, 200_000) == {}
    assert matched_pools(tokens, there, sum(tokens.values())) == {}
