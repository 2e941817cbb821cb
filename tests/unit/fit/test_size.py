"""Runs of several model sizes: the exponent is recovered, other sizes are predicted, and laws that cannot say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError, FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.held_out import compare_laws
from mixlaw.fit.posterior.extrapolation import SIZE_SIGMA
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve import solve_mixture
from quick_fits import few_folds, points_only, short_draws

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.1, 0.7, 0.2, 0.9], [0.7, 0.05, 0.8, 0.3, 1.1], [0.4, 0.1, 0.6, 0.15, 0.6]])
GAMMA = np.array([0.1, 0.25, 0.18])


def runs_of_sizes(sizes: np.ndarray, seed: int = 0, noise: float = 0.001) -> RunTable:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(0.1e6), np.log(3e6), (len(sizes), 3)))
    own = tokens / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    columns = []
    for i in range(3):
        floor = THETA[i, 4]
        losses = transfer_losses(THETA[i], own[:, i], others[:, i])
        columns.append(floor + (losses - floor) * (sizes / 1e9) ** -GAMMA[i])
    losses = np.column_stack(columns) + noise * rng.standard_normal((len(sizes), 3))
    return RunTable(tuple(f"r{i}" for i in range(len(sizes))), DOMAINS, DOMAINS, tokens, losses, params_R=sizes)


SIZES = np.tile([0.1e9, 0.5e9, 1e9], 10)


@pytest.fixture(scope="module")
def fit() -> Fit:
    with few_folds(2), short_draws():
        return fit_law(runs_of_sizes(SIZES))


def test_the_exponent_is_recovered_and_another_size_predicted(fit: Fit) -> None:
    assert fit.law == "pairwise"
    assert fit.params == 1e9
    found = np.array([fit.targets[d].parameters["gamma"] for d in DOMAINS])
    assert found == pytest.approx(GAMMA, abs=0.05)
    big = runs_of_sizes(np.full(8, 4e9), seed=1)
    assert np.abs(fit.predict(big, at="point").mean - big.losses_RJ).mean() < 0.01
    same = fit.at_size(4e9).predict(replace(big, params_R=None)).mean
    assert same == pytest.approx(fit.predict(big).mean, abs=1e-9)


def test_the_band_widens_with_the_factor_beyond_the_largest_size_and_the_fit_says_it(fit: Fit) -> None:
    width = {}
    for params in (1e9, 4e9, 16e9):
        asked = fit.at_size(params).predict({"a": 1e6, "b": 1e6, "c": 1e6})
        width[params] = float((asked.mean_high - asked.mean_low).mean())
    assert width[1e9] < width[4e9] < width[16e9]
    learnt = min(target.belief.beyond.size for target in fit.targets.values())
    assert learnt > 0.2 * SIZE_SIGMA and width[16e9] > 2 * 1.64 * 0.8 * learnt * np.log(16)
    assert "4e+09 parameters, 4 times the largest" in fit.at_size(4e9).warnings[-1]
    back = fit.at_size(4e9).at_size(1e9)
    assert back.warnings == fit.warnings
    np.testing.assert_allclose(back.belief("a").curve.draws_SP, fit.belief("a").curve.draws_SP, rtol=1e-9)


def test_floors_that_fall_with_size_are_recovered() -> None:
    runs = runs_of_sizes(SIZES)
    falling = THETA[:, 4] * ((SIZES / 1e9)[:, None] ** -0.08 - 1)
    with points_only():
        fit = fit_law(replace(runs, losses_RJ=runs.losses_RJ + falling))
    big = runs_of_sizes(np.full(8, 4e9), seed=1)
    truth = big.losses_RJ + THETA[:, 4] * (4**-0.08 - 1)
    assert [fit.targets[d].parameters["gamma_E"] for d in DOMAINS] == pytest.approx([0.08] * 3, abs=0.05)
    # With a floor that does not move the mean error is above .03.
    assert np.abs(fit.predict(big, at="point").mean - truth).mean() < 0.015


def test_the_mixture_for_another_size_can_differ_and_is_solved(fit: Fit) -> None:
    small, large = (solve_mixture(f, 30e6) for f in (fit.at_size(0.1e9), fit))
    assert sum(small.weights.values()) == pytest.approx(1)
    assert small.total_loss > large.total_loss


def test_the_file_keeps_the_sizes(tmp_path, fit: Fit) -> None:
    runs = runs_of_sizes(SIZES)
    fit.save(tmp_path / "fit.json")
    assert np.array_equal(Fit.load(tmp_path / "fit.json").predict(runs).mean, fit.predict(runs).mean)


def test_laws_of_one_size_refuse() -> None:
    runs = runs_of_sizes(SIZES)
    with pytest.raises(ConfigError, match="1e\\+08 to 1e\\+09 parameters; law 'transfer' can use only one size"):
        fit_law(runs, law="transfer")
    rows = {row.name: row for row in compare_laws(runs, ["pairwise", "transfer"])}
    assert np.isnan(rows["transfer"].mre)
    assert "can use only one size" in rows["transfer"].note
    assert rows["pairwise"].mre < 0.3 * rows["mean"].mre


def test_asking_for_another_size_without_runs_of_it(fit: Fit) -> None:
    with points_only():
        of_one_size = fit_law(runs_of_sizes(np.full(16, 1e9)), law="pairwise")
    with pytest.raises(FitError, match="one model size"):
        of_one_size.at_size(7e9)
    with pytest.raises(DataError, match="-1"):
        fit.at_size(-1)
