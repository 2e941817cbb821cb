"""Draws follow the posterior density itself: its coordinates are a means, and leave no trace in the draws."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.posterior.around import Around, draw
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.fit.posterior.ensemble import sample

D = np.array([0.2, 0.5, 1.0, 2.0, 5.0])
LOWER, UPPER = np.array([-6.0, -5.0, 0.0]), np.array([2.0, 1.5, 1.6])
CENTRE, SD = np.log(0.2), 0.5


def losses(z_SP: np.ndarray) -> np.ndarray:
    """c D^-beta + E for z = (log c, log beta, E)."""
    return np.exp(z_SP[:, :1] - np.exp(z_SP[:, 1:2]) * np.log(D)) + z_SP[:, 2:]


@pytest.fixture(scope="module")
def around() -> Around:
    z = np.array([np.log(0.5), np.log(0.25), 1.0])
    measured = losses(z[None])[0] + 0.05 * np.array([1, -1, 0.5, 1, -1])
    precision = np.full(5, 0.05**-2)
    prior = np.diag([0.0, SD**-2, 0.0])
    step = 1e-5 * np.eye(3)
    jacobian = np.array([(losses((z + s)[None]) - losses((z - s)[None]))[0] / 2e-5 for s in step]).T
    covariance = np.linalg.inv(jacobian.T @ (precision[:, None] * jacobian) + prior)
    mean = np.array([0.0, CENTRE, 0.0])
    return Around(
        losses,
        measured,
        precision,
        z,
        covariance,
        mean,
        prior,
        LOWER,
        UPPER,
        3.0,
        RidgeCoordinates.of(D, log_c=0, log_beta=1, floor=2),
    )


def test_a_point_beyond_the_largest_number_is_impossible_without_a_warning(around: Around) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isneginf(around.log_density(np.array([[1.5, 8.0, 1.0]]))).all()


@pytest.fixture(scope="module")
def summed(around: Around) -> dict[str, np.ndarray]:
    """Mean and standard deviation of each coordinate, by sums over a grid in z."""
    axes = [np.linspace(low, high, 121) for low, high in zip(LOWER, UPPER, strict=True)]
    z = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    log_density = replace(around, straight=None).log_density(z)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = weights @ z
    return {"mean": mean, "sd": np.sqrt(weights @ (z - mean) ** 2)}


@pytest.mark.parametrize("coordinates", ["straight", "plain"])
def test_draws_have_the_mean_and_the_width_of_the_density(around: Around, summed: dict, coordinates: str) -> None:
    asked = around if coordinates == "straight" else replace(around, straight=None)
    drawn = np.vstack([draw(asked, seed, 800)[0] for seed in range(6)])
    off = (drawn.mean(axis=0) - summed["mean"]) / summed["sd"]
    # 4800 draws, not all independent; without the volume of the coordinates E is off by some .5
    assert np.abs(off).max() < 0.15
    assert drawn.std(axis=0) == pytest.approx(summed["sd"], rel=0.15)


def test_the_density_in_straight_coordinates_has_the_volume_of_their_unit(around: Around) -> None:
    rng = np.random.default_rng(0)
    z = np.array([-0.7, -1.4, 1.0]) + 0.1 * rng.standard_normal((5, 3))
    straight = around.straighten(z)
    by_z = np.array([abs(np.linalg.det(around.straight.jacobian(point))) for point in z])  # type: ignore[union-attr]
    plain = replace(around, straight=None).log_density(z)
    assert around.log_density(straight) == pytest.approx(plain - np.log(by_z))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_walkers_find_a_normal_density_from_far_off(dimension: int) -> None:
    rng = np.random.default_rng(3)
    root = np.tril(rng.normal(0, 0.5, (dimension, dimension)), -1) + np.diag(10.0 ** np.linspace(-2, 1, dimension))
    inverse = np.linalg.inv(root)

    def log_density(x: np.ndarray) -> np.ndarray:
        return -0.5 * ((x - 3) @ inverse.T) ** 2 @ np.ones(dimension)

    found, _ = sample(log_density, rng.standard_normal((60, dimension)), rng, 6000, burn_in=600)
    assert (found - 3) @ inverse.T == pytest.approx(np.zeros_like(found), abs=6)
    white = (found - 3) @ inverse.T
    assert white.mean(axis=0) == pytest.approx(np.zeros(dimension), abs=0.12)
    assert np.cov(white.T).reshape(dimension, dimension) == pytest.approx(np.eye(dimension), abs=0.15)


def test_the_walkers_find_a_density_with_a_wall() -> None:
    rng = np.random.default_rng(4)

    def log_density(x: np.ndarray) -> np.ndarray:
        return np.where((x >= 0).all(axis=1), -x.sum(axis=1), -np.inf)

    found, _ = sample(log_density, rng.random((60, 2)), rng, 6000, burn_in=300)
    assert found.min() >= 0
    # exponential: mean 1, standard deviation 1, median log 2
    assert found.mean(axis=0) == pytest.approx([1, 1], abs=0.08)
    assert found.std(axis=0) == pytest.approx([1, 1], abs=0.12)
    assert np.median(found, axis=0) == pytest.approx(np.log(2) * np.ones(2), abs=0.06)


RUNS = 900


def straight_lines(width: float = 1.0, shift: float = 0.0, runs: int = RUNS) -> Around:
    """Losses linear in two coordinates, so many runs that their posterior is normal: mean 0, covariance 1.

    Args:
        width: standard deviations of the approximation, in those of the posterior.
        shift: of its middle, likewise.
        runs: their number.
    """
    rng = np.random.default_rng(0)
    columns = np.linalg.qr(np.column_stack([np.ones(runs), rng.standard_normal((runs, 2))]))[0]
    residuals = np.where(np.arange(runs) % 2, 1.0, -1.0)
    residuals -= columns @ (columns.T @ residuals)  # no line explains them
    lines, far = columns[:, 1:], np.full(2, 50.0)
    point, nothing = np.array([shift, 0.0]), np.zeros((2, 2))
    return Around(
        lambda z_SP: z_SP @ lines.T,
        residuals,
        np.full(runs, runs / (residuals**2).sum()),
        point,
        width**2 * np.eye(2),
        point,
        nothing,
        -far,
        far,
        float(runs),
    )


@pytest.mark.parametrize(
    # per coordinate an approximation s times too wide is worth sqrt(2 s^2 - 1) / s^2 of its draws; one d off exp(-d^2)
    ("width", "shift", "share"),
    [(1.0, 0.0, 1.0), (2.0, 0.0, 7 / 16), (1.0, 0.7, np.exp(-0.49))],
)
def test_draws_of_a_wrong_approximation_are_worth_less(width: float, shift: float, share: float) -> None:
    around = straight_lines(width, shift)
    points = around.spread(6000, np.random.default_rng(1))
    assert around.worth(points) == pytest.approx(6000 * share, rel=0.06)


def test_the_draws_of_the_approximation_have_its_mean_its_width_and_its_tails() -> None:
    around = replace(straight_lines(3.0, 0.5), degrees=6.0)
    points = around.spread(40_000, np.random.default_rng(2))
    assert points.mean(axis=0) == pytest.approx([0.5, 0.0], abs=0.08)
    # Student's t with 6 degrees: half as much variance again
    assert np.cov(points.T) == pytest.approx(1.5 * 9 * np.eye(2), abs=0.8)
    sizes = np.abs(points[:, 1]) / 3
    assert np.mean(sizes > 2.447) == pytest.approx(0.05, abs=0.008)


def test_a_coordinate_at_its_bound_gets_a_little_room_inside() -> None:
    around = straight_lines()
    held = replace(
        around, covariance_PP=np.diag([1.0, 0.0]), z_P=np.array([0.0, -0.3]), lower_P=np.array([-50.0, -0.3])
    )
    assert held.width_P == pytest.approx([1.0, 0.02])
    narrow = replace(held, upper_P=np.array([50.0, 0.2]))
    assert narrow.width_P == pytest.approx([1.0, 0.01])
    points = held.spread(4000, np.random.default_rng(3))
    assert points[:, 1].min() >= -0.3
    # reflected at the bound: half of a normal
    assert np.mean(points[:, 1] + 0.3) == pytest.approx(0.02 * np.sqrt(2 / np.pi), rel=0.06)


def test_draws_beyond_a_bound_are_reflected_not_stacked_on_it() -> None:
    around = replace(straight_lines(), lower_P=np.array([-50.0, 0.0]), upper_P=np.array([0.2, 50.0]))
    points = around.spread(4000, np.random.default_rng(4))
    assert points[:, 1].min() >= 0 and points[:, 0].max() <= 0.2
    assert np.mean(points[:, 1] == 0) == 0
    assert np.mean(points[:, 0] == 0.2) == 0


def test_outside_the_bounds_there_is_no_density() -> None:
    around = replace(straight_lines(), lower_P=np.array([-1.0, -1.0]), upper_P=np.array([1.0, 1.0]))
    z = np.array([[0.0, 0.0], [1.01, 0.0], [0.0, -1.01], [1.0, -1.0]])
    assert np.isfinite(around.log_density(z)).tolist() == [True, False, False, True]


def test_the_prior_counts_once() -> None:
    prior = np.array([[2.0, 0.5], [0.5, 1.0]])
    plain = straight_lines()
    around = replace(plain, precision_PP=prior, mean_P=np.array([0.3, -0.2]))
    z = np.array([[0.0, 0.0], [1.0, -1.0], [-0.5, 2.0]])
    far = z - [0.3, -0.2]
    expected = -0.5 * np.einsum("sp,pq,sq->s", far, prior, far)
    assert around.log_density(z) - plain.log_density(z) == pytest.approx(expected)


@pytest.mark.parametrize(("runs", "walked"), [(14_000, True), (18_000, False)])
def test_walkers_are_used_until_a_hundred_sweeps_cost_too_much(runs: int, walked: bool, monkeypatch) -> None:
    asked = []

    def sample(log_density, walkers_SP, rng, draws, burn_in, most_sweeps):
        asked.append((len(walkers_SP), most_sweeps, burn_in))
        assert np.isfinite(log_density(walkers_SP)).all()
        return walkers_SP[:draws], Convergence(7.0, 1.5)

    monkeypatch.setattr("mixlaw.fit.posterior.around.sample", sample)
    drawn, found = draw(straight_lines(runs=runs), 0, 40)
    assert len(drawn) == 40
    if walked:
        ((walkers, sweeps, burn_in),) = asked
        assert walkers == 60
        assert 100 <= sweeps < 130
        assert burn_in == sweeps // 2
        assert found == Convergence(7.0, 1.5)
    else:
        assert not asked
        assert found.rhat == 1.0
        assert found.effective == pytest.approx(40, rel=0.02)


def test_walkers_start_where_the_posterior_is_dense(monkeypatch) -> None:
    seen = []

    def sample(log_density, walkers_SP, rng, draws, burn_in, most_sweeps):
        seen.append(log_density(walkers_SP))
        return walkers_SP[:draws], Convergence(7.0, 1.5)

    monkeypatch.setattr("mixlaw.fit.posterior.around.sample", sample)
    draw(straight_lines(width=30.0), 0, 40)
    # of the approximation's own draws all but a few hundredths lie more than 2 below the top
    assert np.median(seen[0]) > straight_lines().log_density(np.zeros((1, 2)))[0] - 2


def test_the_noise_is_integrated_out_under_a_weak_prior_at_its_estimate() -> None:
    around = straight_lines(runs=10)
    z = np.array([[0.0, 0.0], [1.5, 0.0], [2.0, -2.5]])
    squares = [(around.precision_R * (around.losses(point[None])[0] - around.losses_R) ** 2).sum() for point in z]

    def integrated(total: float) -> float:
        """Normal likelihood of ten runs times a scaled inverse chi-squared prior with 2 degrees at 1."""
        return quad(lambda v: v**-5 * np.exp(-total / 2 / v) * v**-2 * np.exp(-1 / v), 1e-4, 200, limit=200)[0]

    found, expected = around.log_density(z), np.log([integrated(total) for total in squares])
    assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-3)
    # residuals over half as many degrees of freedom as runs say half as much
    half = replace(around, degrees=5.0).log_density(z)
    ratio = np.log((2 + np.array(squares) / 2) / (2 + squares[0] / 2))
    assert half - half[0] == pytest.approx(-3.5 * ratio)


@pytest.mark.parametrize("with_base", [True, False])
def test_draws_of_as_few_runs_as_parameters_do_not_leave_the_runs(with_base) -> None:
    tokens, losses = np.array([0, 1e6, 3.2e6, 1e7, 3.2e7]), np.array([2.0005, 0.9762, 0.6445, 0.4171, 0.2609])
    tokens, losses = tokens[not with_base :], losses[not with_base :]
    names = tuple(f"r{i}" for i in range(len(tokens)))
    runs = RunTable(names, ("a",), ("a",), tokens[:, None], losses[:, None])
    told = fit_law(runs, "pairwise").predict(tokens[-4:, None])
    assert np.all((told.low[:, 0] < losses[-4:]) & (losses[-4:] < told.high[:, 0]))
