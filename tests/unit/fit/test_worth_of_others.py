"""Where runs say nothing of what other domains are worth, the posterior is the prior: sceptical."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law

DOMAINS = ("a", "b", "c")


def test_noise_leaves_the_worth_of_other_domains_near_a_quarter() -> None:
    worths = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tokens = np.exp(rng.normal(0, 0.3, (8, 3))) * 1e6
        losses = 2 + 0.5 * rng.random((8, 3))
        fit = fit_law(RunTable(tuple(f"r{i}" for i in range(8)), DOMAINS, DOMAINS, tokens, losses), law="transfer")
        for j, target in enumerate(DOMAINS):
            drawn = fit.targets[target].draws
            least = (tokens.sum(axis=1) - tokens[:, j]).min() / 1e6
            # what the first token is worth of the others', where there are fewest of them in a run
            worths.append(drawn["k"] * least ** (drawn["alpha"] - 1))
    # half-normal with a standard deviation of .3: mean .24, 95 % below .59; without it .5 and .95
    assert np.mean(worths) == pytest.approx(0.24, abs=0.06)
    assert np.quantile(worths, 0.95) == pytest.approx(0.59, abs=0.1)
