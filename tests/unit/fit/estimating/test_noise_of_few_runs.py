"""The noise that a fit reports is that of the runs, also where there are hardly more runs than parameters."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.laws.pairwise import Pairwise
from quick_fits import draws_kept

SIGMA = 0.01


@pytest.mark.parametrize(("domains", "runs"), [("ab", 6), ("abcd", 12)])
def test_few_runs_do_not_make_the_noise_small(domains: str, runs: int) -> None:
    names, K = tuple(domains), len(domains)
    truth = np.array([0.9, 0.05, 0.6, 0.3, 0.8] + [0.3] * (K - 1) + [0.0] * 2 * (K - 1))
    squares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        tokens = np.exp(rng.normal(0, 1, (runs, K)))
        losses = np.column_stack([Pairwise(names, name).predict(truth, tokens) for name in names])
        losses += SIGMA * rng.standard_normal(losses.shape)
        table = RunTable(tuple(f"r{r}" for r in range(runs)), names, names, tokens * 1e6, losses)
        fits = PairwiseEstimator(interference=False).fit(table, draws=0)
        squares += [fit.curve.scatter.sd_nats**2 for fit in fits]
    # Parameters use up half of the runs: residuals over all of them would say .7.
    assert np.sqrt(np.mean(squares)) / SIGMA == pytest.approx(1, abs=0.16)


def test_a_law_that_goes_through_all_runs_says_nothing_of_their_noise_and_is_held_to_runs_left_out() -> None:
    tokens = [
        (1300418, 558352, 329682),
        (311637, 1951603, 2454013),
        (1212710, 1609229, 1048929),
        (2583412, 1963246, 301898),
        (2160357, 324121, 1609818),
        (449549, 2189274, 1043716),
        (598182, 793978, 320214),
    ]
    losses = np.array([1.7943, 1.7994, 1.7244, 1.6121, 1.7031, 1.7804, 1.8887])
    names = tuple(f"r{i}" for i in range(7))
    with draws_kept(0):
        fitted = fit_law(RunTable(names, ("a", "b", "c"), ("x",), np.array(tokens, float), losses[:, None]), "pairwise")
    assert fitted.targets["x"].curve.scatter.sd_nats > 1e-3
    assert fitted.targets["x"].cv_mre > 1e-4
