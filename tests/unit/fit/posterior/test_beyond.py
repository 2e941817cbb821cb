"""What is believed where there are no runs: how far curves bend, and what runs scatter by besides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.posterior.extrapolation import SIGMA, Beyond, distance_apart, distance_outside
from planted_fits import planted_fit

POINT = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
NAMES = ("a", "b")
NORMAL_95, OUTERMOST = 1.6449, 1.7317


def certain(beyond: Beyond, noise: float = 1e-6) -> Fit:
    """A fit without any doubt about its parameters, of runs between 2M and 4M tokens."""
    tokens = np.array([[1e6, 1e6], [1e6, 2e6], [2e6, 2e6]])
    runs = RunTable(("x", "y", "z"), NAMES, NAMES, tokens, np.array([[2.0, 1.9], [1.7, 1.8], [1.5, 1.4]]))
    draws = np.repeat([list(POINT.values())], 400, axis=0)
    fit = planted_fit("transfer", runs, dict.fromkeys(NAMES, POINT), dict.fromkeys(NAMES, draws), noise=noise)
    targets = {n: replace(t, belief=replace(t.belief, beyond=beyond)) for n, t in fit.targets.items()}
    return replace(fit, targets=targets)


def half_width(fit: Fit, tokens: list[float]) -> np.ndarray:
    found = fit.predict(np.array([tokens]))
    # Where all draws agree, the interval ends at the outermost of twelve points of a normal.
    return (found.high - found.low)[0] / 2 / OUTERMOST


def test_curves_bend_as_was_learnt_up_to_the_distance_tried_and_as_was_believed_beyond() -> None:
    calm, wild = Beyond(tokens=0.02, tried=1.0), Beyond(tokens=0.2, tried=1.0)
    assert calm.bend(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 0.01, 0.02])
    assert calm.bend(np.array([2.0]))[0] == pytest.approx(np.hypot(0.02, SIGMA * np.sqrt(3)))
    assert wild.bend(np.array([0.5, 3.0])) == pytest.approx([0.1, 0.6])
    assert Beyond().bend(np.array([0.7]))[0] == pytest.approx(0.7 * SIGMA)


def test_a_drift_learnt_for_a_target_widens_its_band_and_no_others() -> None:
    fit = certain(Beyond(tokens=0.02, tried=9.0))
    wild = replace(fit.targets["b"].belief, beyond=Beyond(tokens=0.2))
    fit = replace(fit, targets={**fit.targets, "b": replace(fit.targets["b"], belief=wild)})
    far = np.array([[2e6, 2e6]]) * np.e
    found = fit.predict(far)
    above = np.log(found.mean_high - POINT["E"]) - np.log(found.mean_low - POINT["E"])
    assert above[0] / 2 / NORMAL_95 == pytest.approx([0.02, 0.2], rel=0.03)
    # Decisions rest on the same draws.
    for name, scale in (("a", 0.02), ("b", 0.2)):
        losses_S = fit.belief(name).drawn(1.0).predict(far / 1e6)[:, 0]
        assert np.log(losses_S - POINT["E"]).std() == pytest.approx(scale, rel=0.05)


def test_a_drift_of_the_whole_loss_moves_the_floor_too_and_grows_as_a_path_does() -> None:
    fit = certain(Beyond(tokens=0.0, tried=99.0, whole=0.03))
    far = np.array([[2e6, 2e6]]) * np.e ** np.array([[0.0], [1.0], [4.0]])
    found = fit.predict(far)
    widths = np.log(found.mean_high[:, 0] / found.mean_low[:, 0]) / 2 / NORMAL_95
    assert widths == pytest.approx([0.0, 0.03, 0.06], abs=0.002)
    assert found.mean == pytest.approx(fit.predict(far, at="point").mean, rel=1e-6)
    # Decisions rest on the same draws, which are not those that bend the curve.
    belief = fit.belief("a")
    assert belief.drawn(4.0).predict(far[2:] / 1e6)[:, 0] == pytest.approx(found.draws[:, 2, 0], rel=1e-9)
    moved_S = np.log(found.draws[:, 2, 0])
    assert abs(np.corrcoef(moved_S, belief.normals_S)[0, 1]) < 0.2


def test_a_shock_of_another_batch_widens_the_interval_of_a_run_outside_the_runs_alone() -> None:
    fit, loss = certain(Beyond(tokens=0.0, tried=99.0, shock=0.01, apart=0.0)), lambda t: fit.predict(t).mean[0]
    for within in ([1e6, 1e6], [1.5e6, 1.5e6], [2e6, 2e6]):
        assert half_width(fit, within).max() < 1e-5
    for outside in ([0.5e6, 0.5e6], [8e6, 8e6]):
        assert half_width(fit, outside) == pytest.approx(0.01 * loss(np.array([outside])), rel=0.03)
        found = fit.predict(np.array([outside]))
        assert np.ptp(found.draws) < 1e-9 and (found.mean_high - found.mean_low).max() < 1e-9


def test_where_shocks_were_fitted_runs_within_the_range_have_one_too() -> None:
    fit = certain(Beyond(tokens=0.0, tried=99.0, shock=0.01, inside=0.02, apart=0.0))
    loss = fit.predict(np.array([[1e6, 1e6]])).mean[0]
    assert half_width(fit, [1e6, 1e6]) == pytest.approx(0.02 * loss, rel=0.03)
    far = [8e6, 8e6]
    assert half_width(fit, far) == pytest.approx(0.01 * fit.predict(np.array([far])).mean[0], rel=0.03)


def test_mixtures_unlike_any_run_have_wider_intervals_in_proportion_to_their_distance() -> None:
    fit = certain(Beyond(shock=0.0, apart=0.2))
    varied = fit.runs.losses_RJ.std(axis=0)
    assert half_width(fit, [1e6, 1e6]).max() < 1e-5
    # The nearest run has shares of a third and two thirds; half the L1 distance of b alone from it is a third.
    assert half_width(fit, [0.0, 3e6]) == pytest.approx(0.2 / 3 * varied, rel=0.03)
    assert half_width(fit, [3e6, 0.0]) == pytest.approx(0.2 / 2 * varied, rel=0.03)


def test_distances_are_those_to_the_nearest_run() -> None:
    runs = np.array([0.0, 2.0, 8.0])
    found = distance_outside(np.array([0.0, 1.0, 2.0, 5.0, 8.0, 16.0]), runs)
    assert found == pytest.approx([0, np.log(2), 0, 0, 0, np.log(2)])
    assert distance_outside(np.array([3.0]), np.array([0.0])).tolist() == [0]
    tokens = np.array([[1.0, 0, 0], [0, 0, 5], [2, 2, 2], [0, 0, 0]])
    assert distance_apart(tokens, np.array([[4.0, 0, 0], [1, 1, 1], [0, 0, 0]])) == pytest.approx([0, 2 / 3, 0, 0])
    assert distance_apart(tokens, np.zeros((1, 3))).tolist() == [0] * 4
