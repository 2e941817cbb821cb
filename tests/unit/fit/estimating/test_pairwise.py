"""The law `pairwise` from runs: recovered, unmoved by an absurd run, with interference only where there is some."""

from __future__ import annotations

import numpy as np

from law_runs import DOMAINS, UNEVEN, run_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.laws.pairwise import Pairwise


def test_the_pairwise_law_is_recovered_and_its_intervals_cover() -> None:
    covered, error, constant = [], [], []
    for seed in range(6):
        runs = run_table(Pairwise, UNEVEN, 20, 0.004, seed)
        fresh = run_table(Pairwise, UNEVEN, 40, 0.004, seed + 100)
        prediction = fit_law(runs, law="pairwise").predict(fresh)
        covered.append((fresh.losses_RJ >= prediction.low) & (fresh.losses_RJ <= prediction.high))
        error.append(np.abs(prediction.mean - fresh.losses_RJ).mean())
        constant.append(np.abs(runs.losses_RJ.mean(axis=0) - fresh.losses_RJ).mean())
    assert 0.82 < np.mean(covered) <= 0.97
    assert np.mean(error) < 0.1 * np.mean(constant)


def test_interference_is_found_where_it_is_and_not_where_it_is_not() -> None:
    # On the own scale h is 0 or .1: what is asked is whether it is switched on at all.
    for h, expected in ((0.0, False), (0.15, True)):
        truth = np.array([*UNEVEN[:9], h, h])
        runs = run_table(Pairwise, truth, 20, 0.001)
        fits = PairwiseEstimator().fit(runs, draws=0)
        assert any(np.any(fit.curve.theta_P[-2:] != 0) for fit in fits) is expected


def test_one_absurd_run_does_not_move_the_law() -> None:
    runs = run_table(Pairwise, UNEVEN, 24, 0.002)
    clean = fit_law(runs, law="pairwise").predict(runs).mean
    broken = runs.losses_RJ.copy()
    broken[5] += 3.0
    spoilt = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK, broken), law="pairwise").predict(runs).mean
    # Plain least squares moves by 3 / 24 = .125 and more.
    assert np.abs(np.delete(spoilt - clean, 5, axis=0)).mean() < 0.02
