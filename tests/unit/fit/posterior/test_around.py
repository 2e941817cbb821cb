"""Draws follow the posterior density itself: its coordinates are a means, and leave no trace in the draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.fit.posterior.around import Around, draw
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
