"""Robust estimates of problems whose answer is known: means, medians, and noise with runs gone wrong among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from mixlaw.fit.estimating.robust import Optimum, clipped_noise, estimate, least_squares_fit


@dataclass
class Lines:
    """Losses linear in the coordinates."""

    matrix: np.ndarray
    losses_R: np.ndarray
    worth_R = 1.0
    precision: float = 0.0
    points: list[list[float]] | None = None
    lower: np.ndarray = field(default_factory=lambda: np.full(2, -100.0))
    upper: np.ndarray = field(default_factory=lambda: np.full(2, 100.0))

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.matrix @ z_P, self.matrix

    def prior_residuals(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        root = np.sqrt(self.precision)
        return (root * z_P, root * np.eye(len(z_P))) if self.precision else (np.zeros(0), np.zeros((0, len(z_P))))

    def starts(self, count: int) -> np.ndarray:
        return np.array(self.points or [[0.0, 0.0]])[:count]


def noisy(R: int, seed: int = 0, noise: float = 0.1, **fields: object) -> Lines:
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.ones(R), rng.uniform(-1, 1, R)])
    return Lines(matrix, matrix @ [2.0, 1.0] + noise * rng.standard_normal(R), **fields)  # type: ignore[arg-type]


def test_clean_runs_get_least_squares_and_their_noise() -> None:
    problem = noisy(400)
    found = estimate(problem)
    exact = np.linalg.lstsq(problem.matrix, problem.losses_R, rcond=None)[0]
    # a twentieth of the runs lies beyond the bend
    assert found.z_P == pytest.approx(exact, abs=2e-3)
    assert found.noise == pytest.approx(0.1, rel=0.08)
    assert found.degrees == pytest.approx(398, abs=0.01)
    residuals = np.abs(problem.matrix @ found.z_P - problem.losses_R)
    assert found.weights_R == pytest.approx(np.minimum(1, 2 * found.noise / residuals), rel=1e-3)


def test_runs_gone_wrong_neither_move_the_line_nor_raise_the_noise() -> None:
    problem = noisy(200)
    problem.losses_R[::20] += 30.0
    found = estimate(problem)
    # least squares would put the intercept 1.5 off
    assert found.z_P == pytest.approx([2.0, 1.0], abs=0.05)
    assert found.noise == pytest.approx(0.1, rel=0.3)
    assert found.weights_R[::20].max() < 0.02


@pytest.mark.parametrize(("precision", "used"), [(0.0, 2.0), (1e4, 0.4), (1e12, 0.0)])
def test_a_prior_uses_up_less_than_a_degree_of_freedom_for_each_coordinate(precision: float, used: float) -> None:
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.standard_normal((50, 2)))[0]
    # orthonormal columns: each coordinate uses 1 / (1 + precision noise^2), where the noise is .02
    found = estimate(Lines(matrix, 0.02 * rng.standard_normal(50), precision))
    assert 50 - found.degrees == pytest.approx(2 / (1 + precision * found.noise**2), rel=0.15, abs=1e-6)
    assert 50 - found.degrees == pytest.approx(used, abs=0.15)


def test_a_prior_pulls_by_its_precision_against_that_of_the_runs() -> None:
    problem = noisy(100, precision=1e4)
    found = estimate(problem)
    data = problem.matrix.T @ (found.weights_R[:, None] * problem.matrix) / found.noise**2
    shrunk = np.linalg.solve(
        data + 1e4 * np.eye(2), problem.matrix.T @ (found.weights_R * problem.losses_R) / found.noise**2
    )
    assert found.z_P == pytest.approx(shrunk, rel=0.03)


def test_a_coordinate_whose_bounds_meet_stays_there_and_one_at_a_bound_is_no_degree() -> None:
    fixed = estimate(noisy(100, lower=np.array([-100.0, 0.25]), upper=np.array([100.0, 0.25])))
    assert fixed.z_P[1] == 0.25
    assert fixed.degrees == pytest.approx(99, abs=0.01)
    at_all = np.array([2.0, 1.0])
    assert estimate(noisy(100, lower=at_all - 1e-12, upper=at_all + 1e-12)).degrees == 100
    held = estimate(noisy(100, upper=np.array([100.0, 0.5])))
    assert held.z_P[1] == pytest.approx(0.5, abs=1e-6)


def test_exact_runs_leave_a_noise_of_a_hundred_millionth_of_the_losses() -> None:
    found = estimate(noisy(20, noise=0.0))
    assert found.z_P == pytest.approx([2.0, 1.0], abs=1e-9)
    assert found.noise == pytest.approx(3e-8, rel=0.4)


class Wells(Lines):
    """Two valleys: only the second start leads to the deeper one."""

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = z_P[0]
        curve = (x**2 - 1) ** 2 + 0.3 * (1 - x)
        return np.full(3, curve), np.column_stack([np.full(3, 4 * x * (x**2 - 1) - 0.3), np.zeros(3)])


def test_the_best_of_several_starts_is_kept() -> None:
    wells = Wells(np.zeros((3, 2)), np.array([0.0, 0.0, 0.001]), points=[[-0.9, 0.0], [0.8, 0.0]])
    assert estimate(wells).z_P[0] == pytest.approx(1, abs=0.02)
    assert estimate(wells, starts=1).z_P[0] == pytest.approx(-0.96, abs=0.02)


def test_near_an_estimate_it_alone_is_the_start() -> None:
    wells = Wells(np.zeros((3, 2)), np.array([0.0, 0.0, 0.001]), points=[[0.8, 0.0]])
    near = Optimum(np.array([-0.9, 0.0]), 0.3, np.ones(3), 2.0)
    assert estimate(wells, near=near).z_P[0] == pytest.approx(-0.96, abs=0.02)


@pytest.mark.parametrize("broken", [0, 100])
def test_the_clipped_noise_is_that_of_the_normal_part(broken: int) -> None:
    sizes = np.abs(np.random.default_rng(0).standard_normal(20_000))
    sizes[:broken] = 1e6
    found = clipped_noise(sizes, 20_000, 0.5, 1e-9)
    assert found == pytest.approx(1, abs=0.02)
    # where the substitution starts does not matter, and degrees count by their root
    assert clipped_noise(sizes, 20_000, 3.0, 1e-9) == pytest.approx(found, rel=1e-3)
    assert clipped_noise(sizes, 16_000, 0.5, 1e-9) > 1.1 * found


def test_the_noise_is_never_below_what_is_believed() -> None:
    assert clipped_noise(np.zeros(5), 5.0, 1.0, 1e-6) == 1e-6


@pytest.mark.parametrize(("lower", "upper", "found"), [(-np.inf, np.inf, 2.0), (0.0, np.inf, 2.0), (2.5, np.inf, 2.5)])
def test_bounds_may_be_open_on_one_side(lower: float, upper: float, found: float) -> None:
    ends = np.full(1, lower), np.full(1, upper)
    result = least_squares_fit(lambda x: x**2 - 4, lambda x: 2 * x[:, None], np.array([0.1]), *ends)
    assert result.x == pytest.approx([found], abs=1e-6)


def test_a_search_ends_after_so_many_evaluations() -> None:
    open_ = np.full(1, -np.inf), np.full(1, np.inf)
    asked = (lambda x: np.exp(-x), lambda x: -np.exp(-x)[:, None], np.zeros(1), *open_)
    assert least_squares_fit(*asked, evaluations=3).status == 0
    assert least_squares_fit(*asked, evaluations=3).nfev <= 3
