"""The damped search: exact where the problem is linear, at the bounds where they hold it, and in few steps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from mixlaw.fit.estimating.gauss_newton import Minimum, minimise

WIDE = 1e6


def problem(seed: int, R: int = 12, P: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a matrix, values and scales."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((R, P)), rng.standard_normal(R), rng.uniform(0.5, 2, R)


def linear(matrix, values, scale, lower=-WIDE, upper=WIDE, mean=0.0, precision=0.0, start=0.3) -> Minimum:
    P = matrix.shape[1]
    prior, bounds = (np.full(P, mean), precision * np.eye(P)), (np.full(P, lower), np.full(P, upper))
    return minimise(lambda z, _: (matrix @ z, matrix), values, scale, np.full(P, start), prior, bounds)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_problem_under_a_prior_is_solved_as_by_the_normal_equations(seed: int) -> None:
    matrix, values, scale = problem(seed)
    found = linear(matrix, values, scale, mean=0.4, precision=3.0)
    data = matrix.T @ np.diag(scale**2) @ matrix
    exact = np.linalg.solve(data + 3 * np.eye(4), matrix.T @ (scale**2 * values) + 3 * np.full(4, 0.4))
    assert found.z_P == pytest.approx(exact, abs=1e-4)
    assert found.information_PP == pytest.approx(data)
    assert found.losses_R == pytest.approx(matrix @ found.z_P)
    assert found.residuals_R == pytest.approx(matrix @ found.z_P - values)
    assert found.free_P.all()
    cost = 0.5 * (((scale * (matrix @ found.z_P - values)) ** 2).sum() + 3 * ((found.z_P - 0.4) ** 2).sum())
    assert found.cost == pytest.approx(cost)
    assert found.steps <= 3


@pytest.mark.parametrize(("seed", "R", "P"), [*((seed, 12, 4) for seed in range(6)), (6, 200, 80), (7, 200, 80)])
def test_coordinates_that_the_bounds_hold_are_those_of_the_bounded_optimum(seed: int, R: int, P: int) -> None:
    matrix, values, scale = problem(seed, R, P)
    found = linear(matrix, values, scale, lower=-0.1, upper=0.1)
    exact = lsq_linear(scale[:, None] * matrix, scale * values, (-0.1, 0.1), tol=1e-14)
    assert found.z_P == pytest.approx(exact.x, abs=1e-5)
    assert found.free_P.tolist() == [abs(z) < 0.1 for z in found.z_P]
    assert not found.free_P.all()
    assert found.steps <= 6  # many coordinates: 35 where held ones are not taken out of the equations


def valley(z: np.ndarray, _: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rosenbrock's, as residuals."""
    return np.array([10 * (z[1] - z[0] ** 2), 1 - z[0]]), np.array([[-20 * z[0], 10.0], [-1.0, 0.0]])


def search(function, start, values, lower=-WIDE, upper=WIDE) -> Minimum:
    P, R = len(start), len(values)
    prior, bounds = (np.zeros(P), np.zeros((P, P))), (np.full(P, lower), np.full(P, upper))
    return minimise(function, np.asarray(values), np.ones(R), np.asarray(start), prior, bounds)


def test_a_curved_valley_is_followed_to_its_end_in_few_steps() -> None:
    found = search(valley, [-1.2, 1.0], [0.0, 0.0])
    assert found.z_P == pytest.approx([1, 1], abs=1e-3)
    assert found.steps <= 25


def decay(z: np.ndarray, _: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        curve = np.exp(z[0] - np.exp(z[1]) * np.linspace(0, 3, 8))
        return curve, np.column_stack([curve, -np.exp(z[1]) * np.linspace(0, 3, 8) * curve])


def test_a_far_start_on_a_curve_that_overflows_is_brought_home() -> None:
    truth = np.array([0.5, -0.3])
    found = search(decay, [9.0, 3.0], decay(truth)[0])
    assert found.z_P == pytest.approx(truth, abs=1e-4)
    assert found.steps <= 30


def test_a_start_outside_the_bounds_is_moved_into_them() -> None:
    matrix, values, scale = problem(0)
    assert np.abs(linear(matrix, values, scale, lower=-0.1, upper=0.1, start=5.0).z_P).max() <= 0.1


def test_where_no_step_lowers_the_cost_the_start_is_returned() -> None:
    start = np.array([0.7, -0.2])

    def only_here(z: np.ndarray, _: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        losses = np.array([1.0, 2.0, 3.0]) if np.array_equal(z, start) else np.full(3, np.nan)
        return losses, np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])

    found = search(only_here, start, [0.0, 0.0, 0.0])
    assert np.array_equal(found.z_P, start)
    assert found.losses_R.tolist() == [1.0, 2.0, 3.0]
    assert found.cost == pytest.approx(7.0)


def test_a_coordinate_of_which_nothing_is_known_stays_where_it_is() -> None:
    matrix, values, scale = problem(1, P=3)
    matrix[:, 2] = 0.0
    found = linear(matrix, values, scale)
    assert found.z_P[2] == pytest.approx(0.3)
    exact = np.linalg.lstsq(scale[:, None] * matrix[:, :2], scale * values, rcond=None)[0]
    assert found.z_P[:2] == pytest.approx(exact, abs=1e-4)


def of_amounts(z: np.ndarray, _: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Losses that are linear in amounts t, by the logarithms of them."""
    matrix = np.random.default_rng(3).uniform(0, 1, (40, 8))
    return matrix @ np.exp(z), matrix * np.exp(z)


def test_amounts_that_the_runs_want_to_be_none_are_found_in_fewer_steps() -> None:
    # Two of eight amounts are pulled below 0, where the prior alone keeps their logarithms.
    matrix = np.random.default_rng(3).uniform(0, 1, (40, 8))
    values = matrix @ np.array([1.0, 1, 1, 1, 1, 1, -0.3, -0.3])
    prior, bounds = (np.full(8, -1.0), 0.3 * np.eye(8)), (np.full(8, -60.0), np.full(8, 30.0))
    rest = values, np.full(40, 30.0), np.zeros(8), prior, bounds
    by_logs, by_amounts = minimise(of_amounts, *rest), minimise(of_amounts, *rest, slice(0, 8))
    assert by_amounts.cost <= by_logs.cost * (1 + 1e-5)
    assert by_amounts.z_P == pytest.approx(by_logs.z_P, abs=0.02)
    assert 2 * by_amounts.steps < by_logs.steps


def test_a_looser_search_ends_sooner() -> None:
    prior, bounds = (np.zeros(2), np.zeros((2, 2))), (np.full(2, -WIDE), np.full(2, WIDE))
    rest = np.zeros(2), np.ones(2), np.array([-1.2, 1.0]), prior, bounds
    assert minimise(valley, *rest, exact=0.9).steps < minimise(valley, *rest).steps
