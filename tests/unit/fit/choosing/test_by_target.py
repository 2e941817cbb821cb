"""`auto` for every target on its own: a law, or what takes its place where no law follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from law_runs import TRANSFER, run_table
from mixlaw.core.errors import ConfigError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.bootstrap import bootstrap_ratios
from mixlaw.fit.choosing.by_target import Served, by_target
from mixlaw.fit.choosing.choice import Choice
from mixlaw.fit.choosing.held_out import of_targets
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.estimating.inside import Inside, equation, inside_law
from mixlaw.laws import find
from mixlaw.laws.transfer import Transfer
from mixlaw.solve import solve_mixture
from quick_fits import few_folds, none_held_out


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(5):
        yield


RUNS = run_table(Transfer, TRANSFER, 30, 0.002)


def row(name: str, away_RJ: np.ndarray, runs: RunTable = RUNS) -> LawRow:
    predicted = runs.losses_RJ * (1 + away_RJ)
    return LawRow(name, predicted, float(np.abs(away_RJ).mean()))


def errors(*of_targets: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array(of_targets) * rng.uniform(0.8, 1.2, RUNS.losses_RJ.shape)


def test_a_target_whose_own_runs_tell_another_law_gets_it_and_the_others_keep_theirs() -> None:
    rows = (row("transfer", errors(0.003, 0.001, 0.001)), row("pairwise", errors(0.001, 0.003, 0.0011)))
    served = by_target(RUNS, Choice("transfer", rows=rows)).served
    assert [one.law for one in served] == ["pairwise", "transfer", "transfer"]


def test_a_difference_within_two_standard_errors_moves_no_target() -> None:
    sign = np.where(np.arange(len(RUNS)) % 2, 1.0, -1.0)[:, None]
    rows = (row("transfer", 0.002 + 0.001 * sign), row("pairwise", 0.0019 - 0.001 * sign))
    choice = Choice("transfer", rows=tuple(replace(one, mre=0.002) for one in rows), alternative=rows[1])
    assert set(by_target(RUNS, choice).served) == {Served("transfer", "pairwise")}


def test_merged_models_sizes_and_few_mixtures_leave_one_law() -> None:
    rows = (row("transfer", errors(0.1, 0.001, 0.001)), row("pairwise", errors(0.001, 0.1, 0.1)))
    choice = Choice("transfer", rows=rows)
    one = {Served("transfer")}
    assert set(by_target(RUNS, choice, alone=False).served) == one
    assert set(by_target(replace(RUNS, params_R=np.tile([1e8, 1e9], 15)), choice).served) == one
    assert set(by_target(RUNS.take(np.arange(6)), choice).served) == one


def switching(R: int = 40, seed: int = 0) -> RunTable:
    """Targets `b` and `c` follow a law; `a` switches between two levels at a share of .35."""
    runs = run_table(Transfer, TRANSFER, R, 0.002, seed)
    share = runs.tokens_RK[:, 0] / runs.totals_R
    noise = 0.01 * np.random.default_rng(seed).standard_normal(R)
    losses = runs.losses_RJ.copy()
    losses[:, 0] = np.where(share > 0.35, 2.0, 2.4) + noise
    return replace(runs, losses_RJ=losses)


@pytest.fixture(scope="module")
def fit() -> Fit:
    pytest.importorskip("lightgbm")
    return fit_law(switching())


def test_a_target_that_switches_is_given_to_trees_and_named(fit: Fit) -> None:
    assert fit.inside == {"a": "gbdt"}
    assert any("a: no law follows its loss" in text and "boosted trees" in text for text in fit.warnings)
    held = switching(60, seed=1)
    kept = (held.totals_R > fit.runs.totals_R.min()) & (held.totals_R < fit.runs.totals_R.max())
    asked = held.take(kept)
    predicted = fit.predict(asked)
    with none_held_out():
        alone = fit_law(of_targets(fit.runs, [0]), law="gbdt").predict(asked)
    np.testing.assert_allclose(predicted.mean[:, 0], alone.mean[:, 0], rtol=1e-9)
    assert any("'gbdt' predicts it within the range" in text for text in predicted.warnings)


def test_the_others_are_as_if_it_were_not_there(fit: Fit) -> None:
    others = fit_law(of_targets(fit.runs, [1, 2]))
    assert (fit.law, fit.alternative) == (others.law, others.alternative)
    for name in ("b", "c"):
        ours, theirs = fit.targets[name], others.targets[name]
        for mine, other in zip(ours.belief.curves, theirs.belief.curves, strict=True):
            np.testing.assert_array_equal(mine.draws_SP, other.draws_SP)
        assert ours.cv_mre == theirs.cv_mre
    assert "Fitted apart from the other targets" in fit.choice and "'a'" in fit.choice


def test_beyond_the_runs_the_law_is_back_with_a_wider_interval(fit: Fit) -> None:
    far = 3 * fit.largest_run * np.full((1, 3), 1 / 3)
    law, draws = equation(fit.targets["a"].curve.law, fit.targets["a"].curve.draws_SP)
    predicted = fit.predict(far)
    assert predicted.mean[0, 0] == pytest.approx(law.predict(draws, far / 1e6).mean(), rel=0.01)
    near = fit.predict(far / 6)
    assert (predicted.high - predicted.low)[0, 0] > 2 * (near.high - near.low)[0, 0]


def test_it_comes_back_from_json_and_solve_names_it(fit: Fit) -> None:
    again = Fit.from_json(json.loads(json.dumps(fit.to_json())))
    asked = fit.runs.tokens_RK[:7]
    np.testing.assert_array_equal(again.predict(asked).draws, fit.predict(asked).draws)
    assert again.inside == fit.inside and again.laws == fit.laws
    solution = solve_mixture(fit, float(np.median(fit.runs.totals_R)))
    assert solution.certificate.kind == "stationary"
    assert solution.weights["a"] > 0.35
    assert any(text.startswith("a: no law follows") for text in solution.warnings)


def test_a_bootstrap_has_no_posterior_to_check(fit: Fit) -> None:
    with pytest.raises(ConfigError, match="has none"):
        bootstrap_ratios(fit, samples=2)


@pytest.mark.parametrize("regressor", ["gp", "gbdt"])
def test_its_derivatives_are_those_of_its_losses_within_at_and_beyond_the_edge(regressor: str) -> None:
    if regressor == "gbdt":
        pytest.importorskip("lightgbm")
    runs = switching(20)
    law = inside_law(Transfer(runs.domains, "a"), find(regressor), runs)
    assert isinstance(law, Inside) and len(law.members) == 5
    theta = np.array([[*TRANSFER, 0.0], [*TRANSFER, 2.0]])
    top = runs.totals_R.max() / 1e6
    tokens = np.outer(np.array([0.5, 1.04, 1.2]) * top, [0.2, 0.5, 0.3])
    step = 1e-5 * top
    for k in range(3):
        move = step * np.eye(3)[k]
        slope = (law.predict(theta, tokens + move) - law.predict(theta, tokens - move)) / (2 * step)
        np.testing.assert_allclose(law.gradient(theta, tokens)[..., k], slope, rtol=2e-3, atol=1e-5)
    alone = law.law.predict(theta[:, :-1], tokens)
    np.testing.assert_allclose(law.predict(theta, tokens)[:, 2], alone[:, 2])


def test_the_members_scatter_around_the_regressor() -> None:
    runs = switching(20)
    law = inside_law(Transfer(runs.domains, "a"), find("gp"), runs)
    theta = np.column_stack([np.repeat([TRANSFER], 6, axis=0), np.arange(6.0)])
    losses = law.predict(theta, runs.tokens_RK[:4] / 1e6)
    np.testing.assert_allclose(losses[1:].mean(axis=0), losses[0], rtol=1e-9)
    assert losses[1:].std(axis=0).min() > 0
