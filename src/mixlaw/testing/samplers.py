"""What must hold of a sampler, one function per property: densities that are known, and what it says of its draws.

A sampler is called as `mixlaw.fit.posterior.ensemble.sample` is: log density, walkers, generator and number of draws,
and returns the draws and their `Convergence`.

Shape letters: S draws, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.testing._comparison import claim_small, claim_that

_WALKERS = 60
_DRAWS = 4000
_AGAIN = 24

LogDensity = Callable[[np.ndarray], np.ndarray]
Sampler = Callable[[LogDensity, np.ndarray, np.random.Generator, int], tuple[np.ndarray, Convergence]]


class SamplerCheck(Protocol):
    """One property of a sampler."""

    __name__: str

    def __call__(self, sample: Sampler, seed: int = 0) -> None: ...


def check_sampler(sample: Sampler, seed: int = 0) -> None:
    """Run every check on a sampler; some seconds.

    Args:
        sample: (log density, (S, P) walkers, generator, draws) -> (draws, P) draws and what they are worth.
        seed: seed of walkers and draws.

    Raises:
        AssertionError: a property does not hold; the message names the property and the deviation.
    """
    for check in SAMPLER_CHECKS:
        check(sample, seed)


def a_normal_has_its_mean_and_covariance(sample: Sampler, seed: int = 0) -> None:
    """Four correlated normals of scales from .01 to 10, begun far off, have their means, widths and correlations."""
    root_PP = np.diag([0.01, 0.3, 1.0, 10.0]) @ np.tril(np.full((4, 4), 0.6) + 0.4 * np.eye(4))
    draws_SP, said = _run(sample, lambda x: _normal(x - 3, root_PP), 4, seed)
    white_SP = np.linalg.solve(root_PP, (draws_SP - 3).T).T
    _small(white_SP.mean(axis=0), "finds the mean of a normal, in standard deviations", _allowed(said))
    _small(np.cov(white_SP.T) - np.eye(4), "finds the covariance of a normal, after whitening", 2 * _allowed(said))


def a_wall_is_kept_to(sample: Sampler, seed: int = 0) -> None:
    """Exponentials, which end at 0, have mean and standard deviation 1, and no draw lies outside."""
    draws_SP, said = _run(sample, _exponential, 2, seed, walled=True)
    _claim(bool((draws_SP >= 0).all()), "draws nothing where the density is 0")
    _small(draws_SP.mean(axis=0) - 1, "finds the mean of an exponential", _allowed(said))
    _small(draws_SP.std(axis=0) - 1, "finds the standard deviation of an exponential", 2 * _allowed(said))


def a_curved_ridge_is_followed_to_its_ends(sample: Sampler, seed: int = 0) -> None:
    """y = x^2 and some noise, x normal: x has standard deviation 1, y mean 1 and variance 2.09."""
    draws_SP, said = _run(sample, _ridge, 2, seed)
    _small(draws_SP.mean(axis=0) - [0, 1], "finds the mean of a curved ridge", 2 * _allowed(said))
    away = draws_SP.std(axis=0) / [1, np.sqrt(2.09)] - 1
    _small(away, "finds the widths of a curved ridge, relatively", 3 * _allowed(said))


def the_same_generator_gives_the_same_draws(sample: Sampler, seed: int = 0) -> None:
    """The generator is the only source of randomness, and the walkers that were given are not changed."""
    walkers_SP = _walkers(2, seed)
    kept = walkers_SP.copy()
    once, again = (sample(_exponential, walkers_SP, np.random.default_rng(seed), 100)[0] for _ in range(2))
    _claim(once.shape == (100, 2), f"returns as many draws as were asked for, gave {once.shape}")
    _small(once - again, "the same generator gives the same draws", 0.0)
    _small(walkers_SP - kept, "leaves the walkers that were given as they are", 0.0)


def the_effective_number_is_that_of_independent_draws(sample: Sampler, seed: int = 0) -> None:
    """Means over 24 samplings scatter by 1 over the root of the effective draws said, within a factor of 2.

    The density is the curved ridge. Where the number said is that of all draws, correlated as they are, means scatter
    several times as much.
    """
    found = [_run(sample, _ridge, 2, seed + 1 + again) for again in range(_AGAIN)]
    away = [(draws_SP.mean(axis=0) - [0, 1]) / [1, np.sqrt(2.09)] for draws_SP, _ in found]
    scatter = np.sqrt(np.mean(np.square(away)))
    said = 1 / np.sqrt(np.mean([convergence.effective for _, convergence in found]))
    times = float(scatter / said)
    _claim(0.5 < times < 2, f"says how many independent draws it has; means scatter {times:.2g} times as much")
    worst = max(convergence.rhat for _, convergence in found)
    _claim(worst < 1.1, f"says that chains agree; R-hat is {worst:.3g}")


def what_is_not_reached_is_said(sample: Sampler, seed: int = 0) -> None:
    """Of two modes with nine tenths and one tenth of the mass, far apart, the shares are found, or said not to be.

    Half of the walkers begin at each. Shares within .1 are found; else `enough` must be false.
    """
    far = np.array([60.0, 0.0, 0.0])

    def log_density(x: np.ndarray) -> np.ndarray:
        squares = [((x - middle) ** 2).sum(axis=1) for middle in (0.0, far)]
        return np.logaddexp(np.log(0.9) - 0.5 * squares[0], np.log(0.1) - 0.5 * squares[1])

    walkers_SP = _walkers(3, seed)
    walkers_SP[::2] += far
    draws_SP, said = sample(log_density, walkers_SP, np.random.default_rng(seed), _DRAWS)
    share = float(np.mean(draws_SP[:, 0] > 30))
    reached = abs(share - 0.1) < 0.1
    _claim(reached or not said.enough, f"finds the shares of two modes or says that it did not; {share:.2f}, not .1")


SAMPLER_CHECKS: tuple[SamplerCheck, ...] = (
    a_normal_has_its_mean_and_covariance,
    a_wall_is_kept_to,
    a_curved_ridge_is_followed_to_its_ends,
    the_same_generator_gives_the_same_draws,
    the_effective_number_is_that_of_independent_draws,
    what_is_not_reached_is_said,
)
"""Every check, for `pytest.mark.parametrize`; each takes what `check_sampler` takes."""


def _run(
    sample: Sampler, log_density: LogDensity, size: int, seed: int, walled: bool = False
) -> tuple[np.ndarray, Convergence]:
    walkers_SP = np.abs(_walkers(size, seed)) if walled else _walkers(size, seed)
    return sample(log_density, walkers_SP, np.random.default_rng(seed), _DRAWS)


def _walkers(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).standard_normal((_WALKERS, size))


def _normal(x_SP: np.ndarray, root_PP: np.ndarray) -> np.ndarray:
    return -0.5 * (np.linalg.solve(root_PP, x_SP.T) ** 2).sum(axis=0)


def _ridge(x_SP: np.ndarray) -> np.ndarray:
    return -0.5 * (x_SP[:, 0] ** 2 + ((x_SP[:, 1] - x_SP[:, 0] ** 2) / 0.3) ** 2)


def _exponential(x_SP: np.ndarray) -> np.ndarray:
    return np.where((x_SP >= 0).all(axis=1), -x_SP.sum(axis=1), -np.inf)


def _allowed(said: Convergence) -> float:
    """Return five standard errors of a mean over as many independent draws as are said, but those of 100 at most."""
    return 5 / np.sqrt(max(said.effective, 100.0))


def _claim(holds: bool, claim: str) -> None:
    claim_that(holds, "sampler", claim)


def _small(away: np.ndarray, claim: str, tolerance: float) -> None:
    claim_small(np.asarray(away), "sampler", claim, tolerance)
