"""Beyond the largest run bands widen with the distance; within the runs nothing changes, and means stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.design import space_filling_design
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.posterior.extrapolation import SIGMA, distance_beyond, factor, losses_beyond, standard_normals
from mixlaw.laws import find
from mixlaw.laws.base import places
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve import solve_mixture

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.2, 0.7, 0.2, 0.9], [0.9, 0.1, 0.8, 0.3, 1.1], [0.4, 0.3, 0.6, 0.15, 0.6]])


def truth(tokens_RK: np.ndarray) -> np.ndarray:
    own = tokens_RK / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    return np.column_stack([transfer_losses(THETA[j], own[:, j], others[:, j]) for j in range(3)])


@pytest.fixture(scope="module")
def fit() -> Fit:
    tokens = np.array([[m[d] for d in DOMAINS] for _, m in space_filling_design(DOMAINS, 660_000, 16)], float)
    losses = truth(tokens) + 0.002 * np.random.default_rng(0).standard_normal((16, 3))
    return fit_law(RunTable(tuple(f"r{i}" for i in range(16)), DOMAINS, DOMAINS, tokens, losses), law="transfer")


def test_within_the_runs_nothing_bends(fit: Fit) -> None:
    tokens, belief, curve = fit.runs.tokens_RK, fit.belief("a"), fit.targets["a"].curve
    assert distance_beyond(np.array([1.0, fit.largest_run]), fit.largest_run).tolist() == [0, 0]
    np.testing.assert_array_equal(belief.drawn(float(fit.distance(fit.largest_run))).parts[0][1], curve.draws_SP)
    np.testing.assert_array_equal(
        belief.losses_by_draw(tokens / 1e6, fit.distance(tokens.sum(axis=1)))[0],
        curve.law.predict(curve.draws_SP, tokens / 1e6),
    )


def test_bands_widen_with_the_distance_and_the_mean_stays(fit: Fit) -> None:
    budgets = fit.largest_run * np.array([1, 10, 100])
    tokens = budgets[:, None] / 3 * np.ones(3)
    found, curves = fit.predict(tokens), [fit.targets[d].curve for d in DOMAINS]
    still = [curve.law.predict(curve.draws_SP, tokens / 1e6) for curve in curves]
    width = np.array([np.ptp(np.quantile(part, (0.05, 0.95), axis=0), axis=0) for part in still]).T
    bending = found.mean_high - found.mean_low
    assert bending[0] == pytest.approx(width[0])
    assert (bending[1:] > 1.05 * width[1:]).all()
    assert (np.diff(bending, axis=0) > 0).all()
    point = [curve.law.predict(curve.theta_P, tokens / 1e6) for curve in curves]
    np.testing.assert_allclose(fit.predict(tokens, at="point").mean, np.array(point).T)
    # Two hundred draws: the mean of what bends is off by a few of its standard errors.
    moved = found.draws - np.moveaxis(np.array(still), 0, -1)
    assert (np.abs(moved.mean(axis=0)) <= 4 * moved.std(axis=0) / np.sqrt(len(moved))).all()
    assert found.mean == pytest.approx(np.array(still).mean(axis=1).T, rel=1e-2)


def test_losses_one_by_one_are_those_of_parameters_moved_to_the_budget(fit: Fit) -> None:
    tokens, belief = np.array([[30.0, 10.0, 20.0]]), fit.belief("b")
    distance = fit.distance(np.array([6e7]))
    (found,) = belief.losses_by_draw(tokens, distance)
    np.testing.assert_allclose(found, belief.drawn(float(distance[0])).predict(tokens), rtol=1e-12)


@pytest.mark.parametrize("name", ["transfer", "pairwise", "autoscale", "chinchilla", "additive", "additive_joint"])
def test_what_tokens_lower_is_linear_in_the_amplitudes(name: str) -> None:
    law = find(name).law(DOMAINS, "a")
    rng = np.random.default_rng(1)
    theta = law.starts(np.exp(rng.normal(0, 1, (6, 3))), np.linspace(2, 3, 6), 1)
    tokens, z = np.exp(rng.normal(0, 1, (5, 3))), np.array([1.3])
    far = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    moved = []
    for r in range(5):
        one = theta.copy()
        one[:, places(law, "amplitude")] *= factor(z, far[r : r + 1])
        moved.append(law.predict(one, tokens[r : r + 1])[0, 0])
    np.testing.assert_allclose(losses_beyond(law, theta, z, tokens, far)[0], moved, rtol=1e-12)


def test_normals_follow_the_ranks_alone(fit: Fit) -> None:
    losses = fit.runs.losses_RJ
    each = [standard_normals(losses, j, 200) for j in range(3)]
    assert np.corrcoef(each)[np.triu_indices(3, 1)] == pytest.approx(0, abs=0.25)
    assert np.std(each[0]) == pytest.approx(1, abs=0.02)
    order = np.random.default_rng(0).permutation(len(losses))
    np.testing.assert_array_equal(standard_normals(losses[order][:, [2, 0, 1]], 1, 200), each[0])
    np.testing.assert_array_equal(standard_normals(losses * 2.5 + np.array([1, 0, 3]), 2, 200), each[2])


def test_regrets_far_away_are_larger_than_if_the_curves_did_not_bend(fit: Fit, monkeypatch) -> None:
    budget = 100 * fit.largest_run
    bending = solve_mixture(fit, budget).expected_regret
    monkeypatch.setattr(Fit, "distance", lambda self, totals: np.zeros(np.shape(totals)))
    straight = solve_mixture(replace(fit), budget).expected_regret
    assert bending["p95"] > 1.1 * straight["p95"]
    assert SIGMA < 0.1
