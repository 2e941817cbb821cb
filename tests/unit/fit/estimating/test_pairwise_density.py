"""The density in its own coordinates: gradient, volume and information against differences; draws against walkers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating import pairwise_density
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.estimating.pairwise_density import PairwiseDensity
from mixlaw.fit.estimating.pairwise_point import Target, fit_points
from mixlaw.fit.estimating.pairwise_problem import LOG_BETA, LOG_C, A, E
from mixlaw.fit.posterior.around import Around, draw
from mixlaw.fit.posterior.hamiltonian import sample_by_gradient
from mixlaw.fit.units import typical_total
from mixlaw.laws.pairwise import Pairwise


def planted(K: int, R: int, noise: float, seed: int = 0) -> tuple[RunTable, np.ndarray]:
    """Runs of K domains with one target, and its parameters: others are worth about .05; a tenth of amounts is 0."""
    rng = np.random.default_rng(seed)
    names = tuple(f"d{i}" for i in range(K))
    tokens = rng.dirichlet(np.full(K, 0.5), R) * K * np.exp(rng.uniform(-1, 1, (R, 1)))
    tokens[rng.random(tokens.shape) < 0.1] = 0.0
    worth = np.exp(rng.normal(np.log(0.05), 1.0, K - 1))
    theta = np.r_[0.8, 0.05, 0.7, 0.2, 0.9, worth, np.zeros(2 * (K - 1))]
    losses = Pairwise(names, names[0]).predict(theta, tokens) + noise * rng.standard_normal(R)
    return RunTable(tuple(f"r{i}" for i in range(R)), names, names[:1], tokens * 1e6, losses[:, None]), theta


def around_of(fit: Target) -> Around:
    problem, z = fit.problem, fit.z_P[None]
    precision = fit.weights_R / fit.scatter.at(problem.losses(z)[0]) ** 2
    normal = (fit.z_P, fit.covariance_PP, fit.mean_P, fit.precision_PP)
    return Around(
        problem.losses, problem.losses_R, precision, *normal, *problem.bounds(), fit.degrees, problem.straight(fit.z_P)
    )


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """All digits, also with many coordinates: differences of seven digits are noise."""
    monkeypatch.setattr(pairwise_density, "_ROUGH", np.inf)


def density_of(interference: bool, sizes: bool = False, K: int = 4) -> PairwiseDensity:
    runs, _ = planted(K, 30, 0.01)
    if sizes:
        runs = replace(runs, params_R=np.where(np.arange(30) % 3, 1e9, 1e8))
    (fit,) = fit_points(runs, typical_total(runs.tokens_RK), interference)
    return PairwiseDensity(fit.problem, around_of(fit))


# With 30 domains n0 has another coordinate.
CASES = pytest.mark.parametrize(
    ("interference", "sizes", "K"), [(False, False, 4), (True, False, 4), (True, True, 4), (False, False, 30)]
)


def near(density: PairwiseDensity) -> np.ndarray:
    start = density.start()
    return start + 0.01 * np.random.default_rng(1).standard_normal(len(start))


@pytest.mark.usefixtures("exact")
@CASES
def test_the_gradient_is_that_of_the_density(interference: bool, sizes: bool, K: int) -> None:
    density, step = density_of(interference, sizes, K), 1e-5
    x = near(density)
    steps = step * np.eye(len(x))
    by_difference = (density.gradient(x + steps)[0] - density.gradient(x - steps)[0]) / (2 * step)
    slope = density.gradient(x[None])[1][0]
    assert slope == pytest.approx(by_difference, rel=1e-4, abs=1e-4 * np.abs(slope).max())


@pytest.mark.usefixtures("exact")
@CASES
def test_the_density_is_that_of_the_problem_times_the_volume(interference: bool, sizes: bool, K: int) -> None:
    density, step = density_of(interference, sizes, K), 1e-6
    plain = replace(density.around, straight=None)
    x = near(density)
    gaps = []
    for point in (x, x + 0.02, x - 0.05):
        steps = step * np.eye(len(x))
        by_x = (density.z(point + steps) - density.z(point - steps)).T / (2 * step)
        volume = np.linalg.slogdet(by_x)[1]
        gaps.append(density.gradient(point[None])[0][0] - plain.log_density(density.z(point[None]))[0] - volume)
    # The two differ by a constant, whatever the point.
    assert gaps == pytest.approx([gaps[0]] * 3, abs=1e-4)


@pytest.mark.usefixtures("exact")
@CASES
def test_the_information_is_that_of_the_losses_and_the_prior(interference: bool, sizes: bool, K: int) -> None:
    density, step = density_of(interference, sizes, K), 1e-6
    x, around = near(density), density.around
    steps = step * np.eye(len(x))
    by_x = (density.z(x + steps) - density.z(x - steps)).T / (2 * step)
    losses = (around.losses(density.z(x + steps)) - around.losses(density.z(x - steps))).T / (2 * step)
    away = around.losses(density.z(x[None]))[0] - around.losses_R
    each = around.degrees / len(away)
    scale = (around.degrees + 2) * each / (2 + each * (around.precision_R * away**2).sum())
    expected = losses.T @ (scale * around.precision_R[:, None] * losses) + by_x.T @ around.precision_PP @ by_x
    off = density.information(x) - expected
    # What the volume holds is added on the diagonal of u, v and x alone.
    assert np.abs(off - np.diag(np.diag(off))).max() < 1e-4 * np.abs(expected).max()
    assert 0 < off[LOG_BETA, LOG_BETA] < 0.6
    assert 0 < off[A, A] < 0.6


@pytest.mark.parametrize("interference", [False, True])
def test_seven_digits_change_no_density_that_matters(interference: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, _ = planted(40, 120, 1e-3)
    (fit,) = fit_points(runs, typical_total(runs.tokens_RK), interference)
    rough = PairwiseDensity(fit.problem, around_of(fit))
    monkeypatch.setattr(pairwise_density, "_ROUGH", np.inf)
    exact, x = PairwiseDensity(fit.problem, around_of(fit)), near(rough)
    assert (rough._kind, exact._kind) == (np.float32, float)
    points = x + 0.1 * np.random.default_rng(2).standard_normal((20, len(x)))
    (log_S, slope_SP), (exact_S, exact_SP) = rough.gradient(points), exact.gradient(points)
    # A density that is off by a hundredth accepts one proposal in a hundred wrongly.
    gaps = (log_S - exact_S)[np.isfinite(exact_S)]
    assert len(gaps) > 10
    assert np.ptp(gaps) < 0.01 * max(1.0, np.ptp(exact_S[np.isfinite(exact_S)]) / 10)
    assert np.abs(slope_SP - exact_SP).max() < 1e-3 * np.abs(exact_SP).max()


def test_where_the_noise_is_as_small_as_the_seventh_digit_all_are_kept() -> None:
    runs, _ = planted(40, 120, 1e-7)
    (fit,) = fit_points(runs, typical_total(runs.tokens_RK), False)
    around = replace(around_of(fit), precision_R=np.full(120, 1e14))
    assert PairwiseDensity(fit.problem, around)._kind is float


def test_the_start_is_the_point() -> None:
    density = density_of(True)
    z, point = density.z(density.start()[None])[0], density.around.z_P
    assert 0.05 * point[E] < z[E] < point[E] + 1e-9 or point[E] == 0
    assert np.delete(z, [LOG_C, LOG_BETA, E]) == pytest.approx(np.delete(point, [LOG_C, LOG_BETA, E]), abs=1e-6)
    if 0.05 < point[A] < 0.95 and point[E] > 0.1:
        assert z == pytest.approx(point, abs=1e-6)


def test_draws_are_those_of_the_walkers() -> None:
    runs, _ = planted(3, 20, 0.01, seed=5)
    (fit,) = fit_points(runs, typical_total(runs.tokens_RK), False)
    around = around_of(fit)
    density = PairwiseDensity(fit.problem, around)
    x, found = sample_by_gradient(density, density.start(), np.random.default_rng(0), 2000, 60_000)
    mine = fit.problem.losses(density.z(x))
    theirs = np.vstack([fit.problem.losses(draw(around, seed, 1000)[0]) for seed in range(2)])
    assert found.enough
    assert np.abs((mine.mean(axis=0) - theirs.mean(axis=0)) / theirs.std(axis=0)).max() < 0.3
    assert mine.std(axis=0) / theirs.std(axis=0) == pytest.approx(np.ones(20), abs=0.25)


def test_with_forty_domains_the_mean_over_draws_is_the_truth() -> None:
    noise = 0.01
    runs, theta = planted(40, 120, noise, seed=2)
    (one,) = PairwiseEstimator(False).fit(runs, 0, 200)
    assert one.convergence is not None and one.convergence.enough
    asked, curve = np.random.default_rng(9).dirichlet(np.full(40, 0.5), 200) * 40, one.curve
    off = curve.law.predict(curve.draws_SP, asked).mean(axis=0) - curve.law.predict(theta, asked)
    # The mean over draws of the normal approximation is off by several times the noise here.
    assert abs(float(off.mean())) < 0.3 * noise


def test_where_walkers_cannot_be_paid_for_the_mean_stays_at_the_point() -> None:
    runs, _ = planted(40, 120, 0.01, seed=2)
    (fit,) = fit_points(runs, typical_total(runs.tokens_RK), False)
    around = around_of(fit)
    raw = around.spread(200, np.random.default_rng(0))
    point = around.losses(fit.z_P[None])[0]

    def shift(points: np.ndarray) -> float:
        return float(np.sqrt(np.mean(around.precision_R * (around.losses(points).mean(axis=0) - point) ** 2)))

    assert shift(raw) > 0.5
    assert shift(around.pulled(raw)) <= 0.1
