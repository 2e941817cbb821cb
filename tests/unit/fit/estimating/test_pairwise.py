"""The law `pairwise` from runs: recovered, unmoved by an absurd run, with interference only where there is some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from law_runs import DOMAINS, UNEVEN, run_table
from mixlaw.core.errors import TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.laws.pairwise import Pairwise
from quick_fits import none_held_out


def test_the_pairwise_law_is_recovered_and_its_intervals_cover() -> None:
    covered, error, constant = [], [], []
    for seed in range(6):
        runs = run_table(Pairwise, UNEVEN, 20, 0.004, seed)
        fresh = run_table(Pairwise, UNEVEN, 40, 0.004, seed + 100)
        with none_held_out():
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


def test_a_target_whose_own_tokens_would_raise_its_loss_goes_without_interference() -> None:
    # A truth that falls with the others' tokens, the more so the fewer its own: it calls for h far below -beta.
    truth = np.array([0.9, 0.05, 0.6, 0.05, 0.8, 0.02, 0.02, 0.0, 0.0, -0.2, -0.2])
    runs = run_table(Pairwise, truth, 24, 0.0005)
    asked, unasked = (PairwiseEstimator(wish).fit(runs, draws=0) for wish in (True, None))
    rewarded = [bool(fit.curve.law.rewards_absence(fit.curve.theta_P[None])[0]) for fit in asked]
    assert any(rewarded)
    for fit, rewards in zip(unasked, rewarded, strict=True):
        assert bool(np.any(fit.curve.theta_P[-2:] != 0)) is not rewards
    # A target that is no domain has no own tokens.
    named = PairwiseEstimator().fit(RunTable(runs.runs, DOMAINS, ("x", "y", "z"), runs.tokens_RK, runs.losses_RJ), 0, 0)
    assert all(np.any(fit.curve.theta_P[-3:] != 0) for fit in named)


def test_one_absurd_run_does_not_move_the_law() -> None:
    runs = run_table(Pairwise, UNEVEN, 24, 0.002)
    clean = fit_law(runs, law="pairwise").predict(runs).mean
    broken = runs.losses_RJ.copy()
    broken[5] += 3.0
    spoilt = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK, broken), law="pairwise").predict(runs).mean
    # Plain least squares moves by 3 / 24 = .125 and more.
    assert np.abs(np.delete(spoilt - clean, 5, axis=0)).mean() < 0.02


def one_target(theta: np.ndarray, tokens: np.ndarray, shift: float = 0.0) -> RunTable:
    losses = Pairwise(DOMAINS, "a").predict(theta, tokens) + shift
    losses = losses + 1e-4 * np.random.default_rng(9).standard_normal(len(losses))
    names = tuple(f"r{i}" for i in range(len(losses)))
    return RunTable(names, DOMAINS, ("a",), tokens * 1e6, losses[:, None])


TOKENS = np.exp(np.random.default_rng(4).normal(0, 1, (30, 3)))
CURVED = np.array([0.9, 0.05, 0.6, 0.3, 0.8, 0.5, 0.3, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(("shift", "bound"), [(0.0, ()), (-1.2, ("E",))])
def test_a_floor_of_nothing_is_said_to_be_at_its_bound(shift: float, bound: tuple[str, ...]) -> None:
    (found,) = PairwiseEstimator(False).fit(one_target(CURVED, TOKENS, shift), draws=0)
    assert found.at_bound == bound
    assert found.curve.draws_SP.shape == (1, 11)
    assert np.array_equal(found.curve.draws_SP[0], found.curve.theta_P)
    assert found.convergence is None


def test_sources_that_stand_in_for_each_other_perfectly_are_at_a_bound() -> None:
    theta = np.array([0.9, 0.05, 1.6, 0.3, 0.8, 0.5, 0.3, 0.0, 0.0, 0.0, 0.0])
    (found,) = PairwiseEstimator(False).fit(one_target(theta, TOKENS), draws=0)
    assert "a" in found.at_bound


def test_domains_that_no_run_has_leave_their_worth_open_and_nothing_else() -> None:
    tokens = TOKENS * [1, 0, 0]
    (found,) = PairwiseEstimator(False).fit(one_target(CURVED, tokens), draws=0)
    assert {"t[b]", "t[c]"} <= set(found.information.open)
    assert not {"C", "beta", "E"} & set(found.information.open)
    assert found.information.held
    (all_,) = PairwiseEstimator(False).fit(one_target(CURVED, TOKENS), draws=0)
    assert all_.information.open == ()


def test_held_out_runs_are_predicted_without_their_losses() -> None:
    runs = one_target(CURVED, TOKENS)
    broken = runs.losses_RJ.copy()
    broken[4] += 3.0
    broken[7] = np.nan
    folds = [np.arange(30) % 5 == fold for fold in range(5)]
    found = PairwiseEstimator(False).held_out(replace(runs, losses_RJ=broken), folds)
    assert found == pytest.approx(runs.losses_RJ, abs=0.03)
    assert np.isnan(PairwiseEstimator(False).held_out(runs, folds[:1])[1:5]).all()


def test_four_mixtures_are_enough_and_three_are_not() -> None:
    PairwiseEstimator(False).fit(one_target(CURVED, TOKENS[:4]), draws=0)
    with pytest.raises(TooFewRuns, match="3 different mixtures; law 'pairwise' needs 4") as error:
        PairwiseEstimator(False).fit(one_target(CURVED, TOKENS[[0, 1, 2, 2]]), draws=0)
    assert "at least 1 more" in error.value.hint
