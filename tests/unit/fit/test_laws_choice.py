"""Any law by name, `auto`, the table of laws, and errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mixlaw.fit.lawtable import choose, compare_laws, folds, left_out
from mixlaw.fit.pairwise import fit_pairwise

from mixlaw.core.errors import ConfigError, FitError, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.laws import REGRESSORS, Pairwise
from mixlaw.laws.transfer import Transfer
from mixlaw.solve import solve_mixture

DOMAINS = ("a", "b", "c")


def tokens(runs: int, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, 0.7, (runs, 3)))


def run_table(law: type, theta: np.ndarray, runs: int, noise: float, seed: int = 0) -> RunTable:
    mixtures = tokens(runs, seed)
    losses = np.column_stack([law(DOMAINS, d).predict(np.asarray(theta), mixtures) for d in DOMAINS])
    losses += noise * np.random.default_rng(seed + 1).standard_normal(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(runs)), DOMAINS, DOMAINS, mixtures * 1e6, losses)


TRANSFER = np.array([0.8, 0.15, 0.7, 0.2, 0.9])
# b helps everybody ten times more than c does, and interferes.
UNEVEN = np.array([0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.02, 0.0, 0.0, 0.1, 0.0])


def test_auto_keeps_the_simple_law_where_it_is_true() -> None:
    fit = fit_law(run_table(Transfer, TRANSFER, 16, 0.002))
    assert fit.law == "transfer"
    assert "transfer" in fit.choice


def test_auto_takes_the_richer_law_where_sources_differ() -> None:
    fit = fit_law(run_table(Pairwise, UNEVEN, 24, 0.002))
    assert fit.law == "pairwise"
    assert "smallest error" in fit.choice


def test_targets_that_are_no_domains_are_fitted() -> None:
    runs = run_table(Pairwise, UNEVEN, 20, 0.002)
    renamed = RunTable(runs.runs, DOMAINS, ("mmlu", "humaneval", "b"), runs.tokens_RK, runs.losses_RJ)
    fit = fit_law(renamed)
    assert fit.law == "pairwise"
    error = np.abs(fit.predict(renamed).mean - runs.losses_RJ).mean()
    # The mean of each column would be off by .06 and more.
    assert error < 0.01
    with pytest.raises(FitError):
        fit_law(renamed, law="bivariate")


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
        fits = fit_pairwise(DOMAINS, DOMAINS, runs.tokens_RK / 1e6, runs.losses_RJ, draws=0)
        assert any(np.any(fit.theta_P[-2:] != 0) for fit in fits) is expected


def test_one_absurd_run_does_not_move_the_law() -> None:
    runs = run_table(Pairwise, UNEVEN, 24, 0.002)
    clean = fit_law(runs, law="pairwise").predict(runs).mean
    broken = runs.losses_RJ.copy()
    broken[5] += 3.0
    spoilt = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK, broken), law="pairwise").predict(runs).mean
    # Plain least squares moves by 3 / 24 = .125 and more.
    assert np.abs(np.delete(spoilt - clean, 5, axis=0)).mean() < 0.02


def test_a_missing_loss_is_no_obstacle() -> None:
    runs = run_table(Pairwise, UNEVEN, 20, 0.002)
    losses = runs.losses_RJ.copy()
    losses[::4, 1] = np.nan
    for law in ("pairwise", "additive", "ridge"):
        fit = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK, losses), law=law)
        assert np.isfinite(fit.predict(runs).mean).all()


def test_laws_side_by_side_put_the_true_one_before_the_mean() -> None:
    rows = compare_laws(run_table(Transfer, TRANSFER, 16, 0.002), ["transfer", "chinchilla", "ridge"])
    names = [row.name for row in rows]
    assert names[0] == "transfer"
    assert "mean" in names
    assert all(row.seconds > 0 for row in rows)


def test_a_law_that_does_not_apply_says_why() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    other = RunTable(runs.runs, DOMAINS, ("x", "y", "z"), runs.tokens_RK, runs.losses_RJ)
    row = left_out(other, "transfer")
    assert np.isnan(row.mre)
    assert "x" in row.note


def test_folds_hold_each_run_once_and_keep_replicates_together() -> None:
    runs = run_table(Transfer, TRANSFER, 15, 0.002)
    double = runs.take(np.repeat(np.arange(15), 2))
    parts = folds(double)
    assert np.array_equal(np.sum(parts, axis=0), np.ones(30))
    assert all(np.array_equal(part[::2], part[1::2]) for part in parts)


def test_the_choice_is_the_simplest_within_one_standard_error() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    rows = [left_out(runs, name) for name in ("mean", "transfer", "pairwise")]
    name, reason = choose(rows, runs)
    assert name == "transfer"
    assert "%" in reason


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_regressors_fit_predict_and_have_no_equation(name: str) -> None:
    runs = run_table(Transfer, TRANSFER, 40, 0.002)
    fit = fit_law(runs, law=name)
    again = Fit.from_json(fit.to_json())
    assert np.array_equal(again.predict(runs).mean, fit.predict(runs).mean)
    assert np.abs(fit.predict(runs).mean - runs.losses_RJ).mean() < 0.05
    with pytest.raises(FitError, match="without an equation"):
        fit.law_of("a")


def test_errors() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    with pytest.raises(ConfigError, match="no law 'tranfser'"):
        fit_law(runs, law="tranfser")
    with pytest.raises(ConfigError, match="belongs to law 'transfer'"):
        fit_law(runs, law="pairwise", procedure="published")
    with pytest.raises(TooFewRuns):
        fit_law(runs.take(np.arange(3)), law="pairwise")
    with pytest.raises(TooFewRuns):
        fit_law(runs.take(np.arange(1)), law="pairwise")


def test_decisions_hedge_where_left_out_mixtures_do_not_tell_the_laws_apart() -> None:
    runs = run_table(Transfer, TRANSFER, 14, 0.02)
    fit = fit_law(runs)
    assert fit.rival is not None
    assert {fit.law, fit.rival.law} == {"transfer", "pairwise"}
    assert "hedge between both" in fit.choice
    assert fit.summary()["rival"] == fit.rival.law
    law, theta = fit.believed("a", 50e6)
    for own, part in ((fit, theta[:100]), (fit.rival, theta[100:])):
        asked = np.array([[20.0, 10.0, 20.0]])
        step = slice(None, None, 2) if own is fit else slice(1, None, 2)
        expected = own.law_of("a").predict(own.theta_draws("a", 50e6)[step], asked)
        np.testing.assert_allclose(law.predict(part, asked), expected, rtol=1e-12)
    alone = [solve_mixture(replace(f, rival=None), 50e6).weights["a"] for f in (fit, fit.rival)]
    assert min(alone) - 1e-3 <= solve_mixture(fit, 50e6).weights["a"] <= max(alone) + 1e-3
    again, solution = Fit.from_json(fit.to_json()), solve_mixture(fit, 50e6)
    assert solve_mixture(again, 50e6).weights == solution.weights
    # What is promised is what was minimised: the mean over the draws of both.
    assert solution.total_loss == pytest.approx(solution.objective_value, rel=1e-6)
    both = np.hstack([fit.believed_losses(t, np.array([[20e6, 10e6, 20e6]]))[:, :1] for t in fit.targets])
    np.testing.assert_allclose(fit.expected(np.array([20e6, 10e6, 20e6])).mean[0], both.mean(axis=0), rtol=1e-12)


def test_a_rival_is_corrected_by_its_own_residuals() -> None:
    runs = run_table(Transfer, TRANSFER, 14, 0.02)
    fit = fit_law(runs, corrected=True)
    assert fit.rival is not None
    before = fit.expected(runs).mean
    np.testing.assert_allclose(Fit.from_json(fit.to_json()).expected(runs).mean, before, rtol=1e-9)
    assert fit._correction("a", fit.law_of("a")) is not fit.rival._correction("a", fit.rival.law_of("a"))


def test_a_law_that_is_asked_for_or_clearly_better_decides_alone() -> None:
    assert fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="transfer").rival is None
    assert fit_law(run_table(Pairwise, UNEVEN, 40, 0.001)).rival is None
