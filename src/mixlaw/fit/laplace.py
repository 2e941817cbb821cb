"""Posterior draws around a maximum a posteriori point.

The normal approximation at the point (Laplace) is exact for many runs and wrong at bounds and along curved ridges,
which few runs leave. Its draws therefore only start an ensemble of walkers (`mixlaw.fit.sampling`) on the posterior
density itself, for as many sweeps as the size of the problem allows: several hundred for a dozen runs of three domains,
none where hundreds of runs have made the posterior normal.

Shape letters: R runs, P coordinates, S draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.fit.sampling import sample

_WORK = 2.0e8
"""Elementary evaluations (draws x runs x coordinates) that the walkers may cost."""


def draw(
    losses: Callable[[np.ndarray], np.ndarray],
    losses_R: np.ndarray,
    precision_R: np.ndarray,
    z_P: np.ndarray,
    covariance_PP: np.ndarray,
    mean_P: np.ndarray,
    precision_PP: np.ndarray,
    lower_P: np.ndarray,
    upper_P: np.ndarray,
    degrees: float,
    seed: int,
    draws: int,
) -> np.ndarray:
    """Return (draws, P) draws of the coordinates.

    Args:
        losses: (S, P) -> (S, R), nats.
        losses_R: measured, nats.
        precision_R: one over the variance that each run is given.
        z_P: maximum a posteriori point.
        covariance_PP: of the normal approximation; zero rows for coordinates at a bound.
        mean_P: of the prior.
        precision_PP: of the prior.
        lower_P: bounds.
        upper_P: bounds.
        degrees: of freedom that the noise estimate has: the draws are Student's t with so many.
        seed: of the draws; with the order of the losses it makes the stream.
        draws: S.
    """
    ranks = np.argsort(losses_R, kind="stable").astype(np.int64).tobytes()
    rng = generator("posterior", seed, hashlib.sha256(ranks).hexdigest())
    values, vectors = np.linalg.eigh(0.5 * (covariance_PP + covariance_PP.T))
    root = vectors * np.sqrt(np.maximum(values, 0))
    width = np.sqrt(np.maximum(np.diag(covariance_PP), 0))
    # A coordinate at its bound has no curvature there: it starts spread out a little inside.
    width = np.where(width > 0, width, 0.02 * np.minimum(upper_P - lower_P, 1.0))

    def spread(count: int) -> np.ndarray:
        student = np.sqrt(degrees / np.maximum(rng.chisquare(max(degrees, 2.1), count), 1e-3))
        points = z_P + (rng.standard_normal((count, len(z_P))) @ root.T) * student[:, None]
        held = np.diag(covariance_PP) <= 0
        points[:, held] += width[held] * rng.standard_normal((count, int(held.sum())))
        points = np.where(points < lower_P, 2 * lower_P - points, points)
        points = np.where(points > upper_P, 2 * upper_P - points, points)
        return np.clip(points, lower_P, upper_P)

    walkers = max(2 * len(z_P) + 2, 60)
    walkers += walkers % 2
    sweeps = int(_WORK / (walkers * max(len(losses_R), 1) * len(z_P)))
    if sweeps < 100:
        return spread(draws)

    def log_density(z_SP: np.ndarray) -> np.ndarray:
        inside = np.all((z_SP >= lower_P) & (z_SP <= upper_P), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (precision_R * (losses(z_SP) - losses_R) ** 2).sum(axis=1)
        far = z_SP - mean_P
        prior = ((far @ precision_PP) * far).sum(axis=1)
        # The noise's size is known to within `degrees` of freedom: integrated out, the likelihood is a Student t.
        shape = 2.0
        density = -0.5 * prior - 0.5 * (degrees + shape) * np.log(shape + squares * degrees / len(losses_R))
        return np.where(inside & np.isfinite(density), density, -np.inf)

    # Where the normal approximation is too wide, a walker far out would need longer to come home than it is given: the
    # walkers start from the most probable fifth of its draws.
    start = np.vstack([spread(5 * walkers), np.repeat(z_P[None], walkers, axis=0)])
    start = start[np.argsort(-log_density(start), kind="stable")[:walkers]]
    start = np.clip(start + 1e-3 * width * rng.standard_normal(start.shape), lower_P, upper_P)
    sweeps = min(sweeps, 800)
    thin = max(sweeps // (2 * -(-draws // walkers)), 1)
    return sample(log_density, start, rng, draws, burn_in=sweeps // 2, thin=thin)
