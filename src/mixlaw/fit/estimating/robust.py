"""Robust maximum a posteriori fits: Huber's weights on noise-scaled residuals, several starts, no random numbers.

    minimise  sum_r h((L(z; x_r) - L_r) / sigma) + 1/2 |prior residuals(z)|^2      h Huber's function, bend at 2 sigma

sigma is not known: it starts at the best start's robust spread and is estimated again from the weighted residuals
after each fit. Huber's function is minimised by reweighting, so that each pass is a bounded nonlinear least-squares
problem with the analytic Jacobian (SciPy's trust-region reflective method).

Shape letters: R runs, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixlaw.core.errors import DidNotConverge
from mixlaw.laws._shares import ROBUST_SD

BEND = 2.0
"""Residuals beyond this many standard deviations count linearly. Usual. Chosen on: RegMix's held-out
mixtures, before the split, where others gained nothing."""

_PASSES, _CLIPPINGS = 5, 20
"""How often the noise is estimated, and the largest number of repetitions of each estimate. No data."""

_CLIPPED = 0.9205
"""Mean of min(x^2, BEND^2) for a standard normal x: makes the clipped estimate consistent.
Source: 1 + 3 P(x^2 > 4) - 4 phi(2), phi the normal density."""


class Problem(Protocol):
    """What the engine needs to know of an estimation problem."""

    @property
    def losses_R(self) -> np.ndarray: ...

    @property
    def worth_R(self) -> np.ndarray | float: ...

    @property
    def lower(self) -> np.ndarray: ...

    @property
    def upper(self) -> np.ndarray: ...

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def prior_residuals(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def starts(self, count: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Optimum:
    """A maximum a posteriori point.

    Attributes:
        z_P: coordinates.
        noise: residual standard deviation, nats.
        weights_R: Huber's weights, 1 for runs near the law, times what each run is worth.
        degrees: effective degrees of freedom left for the noise.
    """

    z_P: np.ndarray
    noise: float
    weights_R: np.ndarray
    degrees: float


def estimate(problem: Problem, starts: int = 4, near: Optimum | None = None) -> Optimum:
    """Return the maximum a posteriori point.

    Args:
        problem: residuals, prior and bounds.
        starts: how many different starting points to try in the first pass.
        near: an estimate from almost the same runs; then it alone is the start, with its noise.

    Raises:
        DidNotConverge: no start reached a finite optimum.
    """
    points = problem.starts(starts) if near is None else near.z_P[None]
    noise = _spread(problem, points[0]) if near is None else near.noise
    weights = _huber(problem, points[0], noise)
    result = None
    for _ in range(_PASSES if near is None else 2):
        solved = [_least_squares(problem, point, noise, weights) for point in points]
        solved = [s for s in solved if np.isfinite(s.cost)]
        if not solved:
            raise DidNotConverge(
                f"None of {len(points)} starts reached a finite optimum.",
                "Look in the run table for an absurd loss or token count.",
            )
        result = min(solved, key=lambda s: s.cost)
        points = result.x[None]
        noise, degrees = _noise(problem, result.x, noise, weights)
        weights = _huber(problem, result.x, noise)
    assert result is not None
    return Optimum(result.x, noise, weights, degrees)


def _least_squares(problem: Problem, start_P: np.ndarray, noise: float, weights_R: np.ndarray):
    root = np.sqrt(weights_R) / noise

    at: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def both(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and derivatives; SciPy asks for a point's residuals first and then for its Jacobian."""
        key = z.tobytes()
        if key not in at:
            at.clear()
            at[key] = problem.losses_and_jacobian(z)
        return at[key]

    def residuals(z: np.ndarray) -> np.ndarray:
        return np.concatenate([root * (both(z)[0] - problem.losses_R), problem.prior_residuals(z)[0]])

    def jacobian(z: np.ndarray) -> np.ndarray:
        return np.vstack([root[:, None] * both(z)[1], problem.prior_residuals(z)[1]])

    free = problem.upper > problem.lower
    lower, upper = problem.lower[free], problem.upper[free]
    held = np.where(free, 0.0, problem.lower)

    def whole(free_z: np.ndarray) -> np.ndarray:
        z = held.copy()
        z[free] = free_z
        return z

    with np.errstate(over="ignore", invalid="ignore"):
        result = least_squares_fit(
            lambda z: residuals(whole(z)),
            lambda z: jacobian(whole(z))[:, free],
            start_P[free],
            lower,
            upper,
            tolerance=1e-12,
        )
    result.x = whole(result.x)
    return result


def least_squares_fit(
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    tolerance: float = 1e-15,
    evaluations: int = 400,
) -> Any:
    """Return the bounded nonlinear least-squares point that a start leads to: `.x`, `.cost`, `.status`.

    Args:
        residuals: x -> (M,).
        jacobian: x -> (M, P), exact.
        start: (P,); moved inside the bounds.
        lower: (P,) bounds, may be infinite.
        upper: (P,) bounds, may be infinite.
        tolerance: relative, of the point, the cost and the gradient.
        evaluations: at most so many; then `.status` is 0.

    Source: SciPy's trust-region reflective method (Branch, Coleman, Li 1999, SIAM J. Sci. Comput. 21:1-23).
    """
    from scipy.optimize import least_squares

    width = np.where(np.isfinite(upper) & np.isfinite(lower), np.asarray(upper) - lower, 1.0)
    return least_squares(
        residuals,
        np.clip(start, np.asarray(lower) + 1e-9 * width, np.asarray(upper) - 1e-9 * width),
        jac=jacobian,  # type: ignore[arg-type]
        bounds=(lower, upper),
        x_scale="jac",
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
        max_nfev=evaluations,
    )


def _residuals(problem: Problem, z_P: np.ndarray) -> np.ndarray:
    return problem.losses_and_jacobian(z_P)[0] - problem.losses_R


def _floor(problem: Problem) -> float:
    """The smallest noise that is believed: a hundred-millionth of the losses' size."""
    return 1e-8 * float(np.abs(problem.losses_R).max()) + 1e-300


def _spread(problem: Problem, z_P: np.ndarray) -> float:
    return max(ROBUST_SD * float(np.median(np.abs(_residuals(problem, z_P)))), _floor(problem))


def _huber(problem: Problem, z_P: np.ndarray, noise: float) -> np.ndarray:
    sizes_R = np.abs(_residuals(problem, z_P)) * np.sqrt(problem.worth_R)
    return np.minimum(1.0, BEND * noise / np.maximum(sizes_R, 1e-300)) * problem.worth_R


def _noise(problem: Problem, z_P: np.ndarray, noise: float, weights_R: np.ndarray) -> tuple[float, float]:
    """Return the residual standard deviation and its degrees of freedom.

    A coordinate that the prior holds uses up less than one degree: the trace of the hat matrix counts them.
    """
    losses, by_z = problem.losses_and_jacobian(z_P)
    free = (problem.upper > problem.lower) & (z_P > problem.lower + 1e-9) & (z_P < problem.upper - 1e-9)
    data = (np.sqrt(weights_R) / noise)[:, None] * by_z[:, free]
    prior = problem.prior_residuals(z_P)[1][:, free]
    stacked = np.vstack([data, prior])
    used = 0.0
    if stacked.size:
        q, _ = np.linalg.qr(stacked)
        used = float((q[: len(data)] ** 2).sum())
    degrees = max(len(losses) - used, 1.0)
    sizes_R = np.abs(losses - problem.losses_R) * np.sqrt(problem.worth_R)
    return clipped_noise(sizes_R, degrees, noise, _floor(problem)), degrees


def clipped_noise(sizes_R: np.ndarray, degrees: float, noise: float, least: float) -> float:
    """Return the standard deviation of residuals of which some may have gone wrong, by Huber's proposal 2.

    They are clipped at the bend before they are squared, so that a run gone wrong cannot raise the noise until it looks
    harmless. Solved by repeated substitution.

    Args:
        sizes_R: sizes of the residuals.
        degrees: of freedom that they have.
        noise: where the substitution starts.
        least: the answer is never smaller.
    """
    noise = max(noise, least)
    for _ in range(_CLIPPINGS):
        clipped = np.minimum(sizes_R, BEND * noise)
        noise = max(float(np.sqrt((clipped**2).sum() / (degrees * _CLIPPED))), least)
    return noise
