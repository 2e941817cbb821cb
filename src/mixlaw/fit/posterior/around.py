"""Posterior draws around a maximum a posteriori point.

The normal approximation at the point (Laplace) is exact for many runs and wrong at bounds and along curved ridges,
which few runs leave, and in hundreds of coordinates, where small errors of each add up to a biased mean. Its draws
therefore only start an ensemble of walkers (`mixlaw.fit.posterior.ensemble`) on the posterior density itself, until the
draws suffice or cost too much. Where walkers cannot be paid for, its draws are pulled towards the point until the mean
of their losses is that of the point, within a tenth of the noise; what they are worth says that they are few.

Shape letters: R runs, P coordinates, S draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.fit.posterior.ensemble import sample

_WORK = 2.0e8
"""Most work that the walkers may take for a target (draws x runs x coordinates): some seconds. No data."""

_MOST_SWEEPS, _FEWEST_SWEEPS = 2000, 100
"""Largest and smallest number of sweeps of the ensemble; if the work allows fewer, the normal approximation is kept.
No data."""

_PULLED, _AGREE = 0.5, 0.1
"""The normal approximation's draws are pulled towards the point by this factor, until the mean of their losses
differs from the losses of the point by less than the second number of standard deviations of the noise (root mean
square over the runs). No data."""

_ROOM = 0.02
"""Standard deviation of a coordinate at its bound, in widths of its range. No data."""

_NEAR = 1e-3
"""Standard deviation of the walkers that start near the point, in those of the posterior. No data."""

NOISE_SHAPE = 2.0
"""Degrees of freedom of the prior of the noise around its estimate: few, so weak. No data."""

MISSED = 3.0
"""Root mean square of the residuals beyond the point's, in standard deviations of the scatter, at which a draw misses
the runs. With about as many runs as parameters the noise is hardly known, and the likelihood's tails are so heavy that
the prior's volume far from every run outweighs them: draws that stray there are drawn again without it. No data."""


@dataclass(frozen=True)
class Around:
    """A maximum a posteriori point and what surrounds it.

    Attributes:
        losses: (S, P) -> (S, R), nats.
        losses_R: measured, nats.
        precision_R: one over the variance that each run is given.
        z_P: the point.
        covariance_PP: of the normal approximation; zero rows for coordinates at a bound.
        mean_P: of the prior.
        precision_PP: of the prior.
        lower_P: bounds.
        upper_P: bounds.
        degrees: of freedom that the noise estimate has: the draws are Student's t with so many.
        straight: coordinates in which the posterior is not curved, where the law has such.
        most_squares: the largest sum of squares of the residuals, in variances, that a draw may have.
    """

    losses: Callable[[np.ndarray], np.ndarray]
    losses_R: np.ndarray
    precision_R: np.ndarray
    z_P: np.ndarray
    covariance_PP: np.ndarray
    mean_P: np.ndarray
    precision_PP: np.ndarray
    lower_P: np.ndarray
    upper_P: np.ndarray
    degrees: float
    straight: RidgeCoordinates | None = None
    most_squares: float = np.inf

    @property
    def width_P(self) -> np.ndarray:
        """Standard deviations; a coordinate at its bound has no curvature there and gets a little room inside."""
        inside = _ROOM * np.minimum(self.upper_P - self.lower_P, 1.0)
        return np.where(self._held, inside, np.sqrt(np.maximum(np.diag(self.covariance_PP), 0)))

    @property
    def _held(self) -> np.ndarray:
        return np.diag(self.covariance_PP) <= 0

    def straighten(self, z_SP: np.ndarray) -> np.ndarray:
        """Return the straight coordinates of z."""
        return z_SP if self.straight is None else self.straight.straighten(z_SP)

    def curve(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Return z of straight coordinates, and the logarithm of the volume of their unit in z."""
        return (x_SP, 0.0) if self.straight is None else self.straight.curve(x_SP)

    def spread(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return (count, P) draws of the normal approximation, as z within the bounds."""
        z, held = self.z_P, self._held
        change = np.eye(len(z)) if self.straight is None else self.straight.jacobian(z)
        covariance = change @ self.covariance_PP @ change.T
        values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
        student = np.sqrt(self.degrees / np.maximum(rng.chisquare(max(self.degrees, 2.1), count), 1e-3))
        away = rng.standard_normal((count, len(z))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        points = self.curve(self.straighten(z[None])[0] + away * student[:, None])[0]
        points[:, held] = z[held] + self.width_P[held] * rng.standard_normal((count, int(held.sum())))
        points = np.where(points < self.lower_P, 2 * self.lower_P - points, points)
        points = np.where(points > self.upper_P, 2 * self.upper_P - points, points)
        return np.clip(np.nan_to_num(points, nan=0.0), self.lower_P, self.upper_P)

    def stream(self, seed: int) -> np.random.Generator:
        """Return the source of randomness of a seed; the order of the losses is part of it."""
        ranks = np.argsort(self.losses_R, kind="stable").astype(np.int64).tobytes()
        return generator("posterior", seed, hashlib.sha256(ranks).hexdigest())

    def pulled(self, points_SP: np.ndarray) -> np.ndarray:
        """Return points pulled towards the point until the mean of their losses agrees with its losses."""
        point_R = self.losses(self.z_P[None])[0]
        for _ in range(20):
            with np.errstate(over="ignore", invalid="ignore"):
                shift_R = self.losses(points_SP).mean(axis=0) - point_R
            if np.mean(self.precision_R * shift_R**2) <= _AGREE**2:
                break
            points_SP = self.z_P + _PULLED * (points_SP - self.z_P)
        return points_SP

    def worth(self, points_SP: np.ndarray) -> float:
        """Return how many independent draws of the posterior those of the normal approximation are worth.

        By importance weights, Kish's effective number; the approximation's own density is taken from its distances.
        """
        x_SP = self.straighten(points_SP)
        far = (points_SP - self.z_P)[:, ~self._held]
        inverse = np.linalg.pinv(self.covariance_PP[np.ix_(~self._held, ~self._held)], hermitian=True)
        distance = ((far @ inverse) * far).sum(axis=1)
        log_q = -0.5 * (self.degrees + far.shape[1]) * np.log1p(distance / self.degrees)
        log_w = self.log_density(x_SP) - self.curve(x_SP)[1] - log_q
        weights = np.exp(np.nan_to_num(log_w - log_w.max(), nan=-np.inf))
        return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))

    def strays(self, z_SP: np.ndarray) -> bool:
        """Whether draws have left the runs: their mean misses what the point says of these (`MISSED`)."""
        shift_R = self.losses(z_SP).mean(axis=0) - self.losses(self.z_P[None])[0]
        return not np.mean(self.precision_R * shift_R**2) <= MISSED**2

    def bounded(self) -> Around:
        """Return the same where no draw may miss the runs (`MISSED`)."""
        at_point = float(self.precision_R @ (self.losses(self.z_P[None])[0] - self.losses_R) ** 2)
        return replace(self, most_squares=at_point + MISSED**2 * len(self.losses_R))

    def log_density(self, x_SP: np.ndarray) -> np.ndarray:
        """Return (S,) log posterior densities in straight coordinates, up to a constant."""
        z_SP, log_volume = self.curve(x_SP)
        inside = np.all((z_SP >= self.lower_P) & (z_SP <= self.upper_P), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (self.precision_R * (self.losses(z_SP) - self.losses_R) ** 2).sum(axis=1)
            far = z_SP - self.mean_P
            prior = ((far @ self.precision_PP) * far).sum(axis=1)
        # The noise's size is known to within `degrees` of freedom: integrated out, the likelihood is a Student t.
        each = self.degrees / len(self.losses_R)
        density = -0.5 * prior - 0.5 * (self.degrees + NOISE_SHAPE) * np.log(NOISE_SHAPE + squares * each)
        inside &= squares <= self.most_squares
        return np.where(inside & np.isfinite(density), density + log_volume, -np.inf)


def draw(around: Around, seed: int, draws: int) -> tuple[np.ndarray, Convergence]:
    """Return (draws, P) draws of the coordinates, and what they are worth.

    Args:
        around: the point.
        seed: of the draws; with the order of the losses it makes the stream.
        draws: S.
    """
    z, runs, rng = around.z_P, len(around.losses_R), around.stream(seed)
    walkers = max(2 * len(z) + 2, 60)
    walkers += walkers % 2
    sweeps = min(int(_WORK / (walkers * max(runs, 1) * len(z))), _MOST_SWEEPS)
    if sweeps < _FEWEST_SWEEPS:
        points = around.spread(draws, rng)
        return around.pulled(points), Convergence(around.worth(points), 1.0)
    # Where the normal approximation is too wide, a walker far out would need longer to come home than it is given: the
    # walkers start from the most probable fifth of its draws.
    near = z + _NEAR * around.width_P * rng.standard_normal((walkers, len(z)))
    start = np.vstack([around.spread(5 * walkers, rng), np.clip(near, around.lower_P, around.upper_P)])
    start = around.straighten(start)
    start = start[np.argsort(-around.log_density(start), kind="stable")[:walkers]]
    x_SP, found = sample(around.log_density, start, rng, draws, min(200, sweeps // 2), sweeps)
    return np.clip(around.curve(x_SP)[0], around.lower_P, around.upper_P), found
