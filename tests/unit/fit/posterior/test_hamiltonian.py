"""Draws by gradient have the mean and the width of a density that is known."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit.posterior.hamiltonian import _Chains, sample_by_gradient


class Normal:
    """A normal density whose metric is wrong by a factor in each coordinate."""

    def __init__(self, sd_P: np.ndarray, wrong: float = 1.0) -> None:
        self.sd_P, self.wrong, self.asked = sd_P, wrong, 0

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked += len(x_SP)
        return -0.5 * ((x_SP / self.sd_P) ** 2).sum(axis=1), -x_SP / self.sd_P**2

    def information(self, x_P: np.ndarray) -> np.ndarray:
        return np.diag(self.wrong / self.sd_P**2)


class Gumbel:
    """exp(-x - exp(-x)) in each coordinate: skewed, mean .5772, variance pi^2 / 6."""

    def __init__(self, P: int) -> None:
        self.P = P

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -(x_SP + np.exp(-x_SP)).sum(axis=1), np.exp(-x_SP) - 1

    def information(self, x_P: np.ndarray) -> np.ndarray:
        return np.diag(np.exp(-x_P) + 0.05)


class Flat:
    """exp(-x^4 / 4) in each coordinate: flat in the middle, steep outside, nowhere as a normal density."""

    def __init__(self, P: int) -> None:
        self.P = P

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x_SP = np.clip(x_SP, -1e3, 1e3)
        return -0.25 * (x_SP**4).sum(axis=1), -(x_SP**3)

    def information(self, x_P: np.ndarray) -> np.ndarray:
        return np.diag(3 * x_P**2 + 0.05)


class Half:
    """A half-normal: nothing below 0."""

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = x_SP[:, 0] > 0
        return np.where(inside, -0.5 * x_SP[:, 0] ** 2, -np.inf), np.where(inside[:, None], -x_SP, 0.0)

    def information(self, x_P: np.ndarray) -> np.ndarray:
        return np.eye(1)


@pytest.mark.parametrize("wrong", [0.3, 1.0, 4.0])
def test_two_hundred_coordinates_have_the_width_of_their_density(wrong: float) -> None:
    sd = np.exp(np.linspace(-5, 5, 200))
    drawn, found = sample_by_gradient(Normal(sd, wrong), 0.5 * sd, np.random.default_rng(0), 2000, 200_000)
    assert found.enough
    # Some 200 independent draws: a mean is known to .07, a standard deviation to .05.
    assert np.abs(drawn.mean(axis=0) / sd).max() < 0.35
    assert np.sqrt(((drawn / sd) ** 2).mean()) == pytest.approx(1.0, abs=0.05)


def test_a_skewed_density_has_its_mean_not_its_mode() -> None:
    drawn, found = sample_by_gradient(Gumbel(60), np.zeros(60), np.random.default_rng(1), 2000, 200_000)
    assert found.enough
    # The mode is 0; a normal approximation there would have mean 0 and variance 1.
    assert drawn.mean() == pytest.approx(0.5772, abs=0.03)
    assert drawn.var() == pytest.approx(np.pi**2 / 6, rel=0.06)


def test_nothing_is_drawn_outside_the_support() -> None:
    drawn, _ = sample_by_gradient(Half(), np.array([0.1]), np.random.default_rng(2), 2000, 200_000)
    assert drawn.min() > 0
    assert drawn.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.08)


def test_the_work_is_bounded_and_what_is_missing_is_said() -> None:
    sd = np.ones(50)
    sd[0] = 30.0

    class Blind(Normal):
        def information(self, x_P: np.ndarray) -> np.ndarray:
            return np.eye(50)  # knows nothing of the wide coordinate

    density = Blind(sd)
    drawn, found = sample_by_gradient(density, np.zeros(50), np.random.default_rng(3), 100, 5_000)
    assert drawn.shape == (100, 50)
    assert density.asked < 10_000
    assert not found.enough


def test_the_same_seed_gives_the_same_draws() -> None:
    one, two = (sample_by_gradient(Gumbel(5), np.zeros(5), np.random.default_rng(4), 50, 5_000)[0] for _ in range(2))
    assert np.array_equal(one, two)


def test_many_coordinates_turn_where_the_density_is_nearly_normal_and_only_there() -> None:
    normal = _Chains(Normal(np.exp(np.linspace(-2, 2, 80))), np.zeros(80), np.random.default_rng(0))
    normal.prepare()
    assert normal.turning and normal.size > 1.0
    few = _Chains(Normal(np.ones(5)), np.zeros(5), np.random.default_rng(0))
    few.prepare()
    assert not few.turning
    skewed = _Chains(Flat(80), np.zeros(80), np.random.default_rng(0))
    skewed.prepare()
    assert not skewed.turning


def test_turning_a_normal_density_accepts_every_step() -> None:
    chains = _Chains(Normal(np.exp(np.linspace(-2, 2, 80))), np.zeros(80), np.random.default_rng(0))
    chains.turning, chains.centre_P = True, np.zeros(80)
    assert chains._move(1.5, 10) == pytest.approx(1.0, abs=1e-9)
