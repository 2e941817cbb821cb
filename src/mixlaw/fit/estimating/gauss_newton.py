"""Damped Gauss-Newton with box bounds and a normal prior, on the normal equations.

    minimise  sum_r (v_r (L_r(z) - y_r))^2 + (z - mu)^T Lambda (z - mu)      lower <= z <= upper

For many runs and tens of coordinates one Cholesky factor of P x P a step is ten to fifty times cheaper than the
singular value decompositions of SciPy's bounded solver, and the prior makes the matrix positive definite. A coordinate
at a bound that the gradient pushes outwards is held for that step (Bertsekas 1982, SIAM J. Control Optim. 20:221-246).
The damping follows the ratio of the decrease to the one that the quadratic promised (Nielsen 1999, report
IMM-REP-1999-05, Technical University of Denmark): half as many steps as multiplying and dividing by a constant.

Where a coordinate is the logarithm of an amount t in which the losses are nearly linear, two things are better known:
the cost's second derivative by log t, which Gauss-Newton leaves out, is its first one, and is added where positive;
and a step is straight in t where the runs feel it, not in log t.

Shape letters: R runs, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_STEPS, _TRIES = 200, 12
"""The largest number of steps, and of dampings that are tried for each. For safety: most searches end sooner. No
data."""

EXACT = 1e-7
"""The search ends when a step lowers the cost by a smaller part than this. No data."""

NONE = slice(0, 0)
"""No coordinates. No data."""

_LARGE = 60
"""From so many coordinates on, Cholesky's factor takes half of the time of NumPy's LU. For speed. No data."""

_FIRST_DAMPING = 1e-3
"""First damping, relative to the diagonal. Usual. No data."""


@dataclass(frozen=True)
class Minimum:
    """Where the search ended.

    Attributes:
        z_P: coordinates.
        cost: half the sum of squares, prior included.
        information_PP: J^T J of the data term alone.
        residuals_R: L - y, nats.
        losses_R: L, nats.
        free_P: coordinates that no bound holds.
        steps: how many were taken.
    """

    z_P: np.ndarray
    cost: float
    information_PP: np.ndarray
    residuals_R: np.ndarray
    losses_R: np.ndarray
    free_P: np.ndarray
    steps: int


def minimise(
    losses_and_jacobian: Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]],
    losses_R: np.ndarray,
    scale_R: np.ndarray,
    start_P: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    amounts: slice = NONE,
    exact: float = EXACT,
) -> Minimum:
    """Return the minimum that the start leads to.

    Args:
        losses_and_jacobian: z, memory -> (R,) losses and (R, P) derivatives, in that memory if it can be.
        losses_R: measured, nats.
        scale_R: v_r, one over the standard deviation a run is given.
        start_P: within the bounds.
        prior: (P,) mu and (P, P) Lambda, positive semi-definite.
        bounds: (P,) lower and upper.
        amounts: coordinates that are logarithms of what the losses are nearly linear in.
        exact: the search ends when a step lowers the cost by a smaller part.
    """
    (mean_P, precision_PP), (lower_P, upper_P) = prior, bounds
    z = np.clip(start_P, lower_P, upper_P)
    predicted, jacobian = losses_and_jacobian(z, None)
    # Fresh memory of this size costs more than what is computed in it.
    spare, weighted = np.empty_like(jacobian), np.empty_like(jacobian)
    hessian, damped = np.empty((2, len(z), len(z)))
    cost = _cost(predicted, losses_R, scale_R, z, mean_P, precision_PP)
    damping, growth, steps, places = _FIRST_DAMPING, 2.0, 0, np.arange(len(z))[amounts]
    for steps in range(1, _STEPS + 1):  # noqa: B007
        np.multiply(scale_R[:, None], jacobian, out=weighted)
        by_data = weighted.T @ (scale_R * (predicted - losses_R))
        gradient = by_data + precision_PP @ (z - mean_P)
        free = ~(((z <= lower_P) & (gradient > 0)) | ((z >= upper_P) & (gradient < 0)))
        np.matmul(weighted.T, weighted, out=hessian)
        felt = 0.5 * np.sqrt(np.diag(hessian)[amounts])
        hessian += precision_PP
        # The losses' second derivative by log t is the first one: Gauss-Newton leaves it out, and then circles.
        hessian[places, places] += np.maximum(by_data[amounts], 0.0)
        among, matrix, slope = _free_ones(hessian, gradient, free)
        moved = False
        for _ in range(_TRIES):
            step = np.zeros(len(z))
            step[among] = -_solve(matrix, slope, damping, damped)
            step[amounts] = _bent(step[amounts], felt)
            trial = np.clip(z + step, lower_P, upper_P)
            tried, tried_jacobian = losses_and_jacobian(trial, spare)
            tried_cost = _cost(tried, losses_R, scale_R, trial, mean_P, precision_PP)
            if tried_cost < cost:
                moved = True
                break
            damping, growth = damping * growth, 2 * growth
        if not moved:
            break
        step, gain = (trial - z)[among], cost - tried_cost
        expected = -(slope @ step + 0.5 * step @ matrix @ step)
        z, predicted, jacobian, spare, cost = trial, tried, tried_jacobian, jacobian, tried_cost
        ratio = min(gain / expected, 2.0) if expected > 0 else 0.0
        damping, growth = max(damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 1e-12), 2.0
        if gain <= exact * (cost + 1e-3):
            break
    np.multiply(scale_R[:, None], jacobian, out=weighted)
    free = (z > lower_P) & (z < upper_P)
    return Minimum(z, cost, weighted.T @ weighted, predicted - losses_R, predicted, free, steps)


def _free_ones(
    hessian: np.ndarray, gradient: np.ndarray, free: np.ndarray
) -> tuple[slice | np.ndarray, np.ndarray, np.ndarray]:
    """Return which coordinates a step has, their matrix and their slope: the free ones.

    Of many coordinates all, since copies of large matrices take long: a held one gets an equation of its own, step = 0.
    """
    if len(gradient) < _LARGE:
        return np.flatnonzero(free), hessian if free.all() else hessian[np.ix_(free, free)], gradient[free]
    held = np.flatnonzero(~free)
    hessian[held], hessian[:, held] = 0.0, 0.0
    hessian[held, held] = 1.0
    return slice(None), hessian, np.where(free, gradient, 0.0)


def _cost(
    predicted: np.ndarray, losses: np.ndarray, scale: np.ndarray, z: np.ndarray, mean: np.ndarray, precision: np.ndarray
) -> float:
    cost = 0.5 * float(((scale * (predicted - losses)) ** 2).sum() + (z - mean) @ precision @ (z - mean))
    return cost if np.isfinite(cost) else np.inf


def _bent(step: np.ndarray, felt: np.ndarray) -> np.ndarray:
    """Return the steps of logarithms of amounts t that are straight in x, where t = tau log(1 + exp(x)).

    Where the runs feel t, what they say is linear in t itself, and a straight step of log t that should bring t to
    nothing takes dozens of rounds. tau is twice the standard deviation that the runs alone give t, `felt` is t / tau.
    """
    far = np.maximum(felt, 1e-6)
    known = -np.expm1(-far)
    x = far + np.log(known) + step * far / known  # the inverse of log(1 + exp(x)), and the step
    return np.log(np.maximum(np.logaddexp(0.0, x), 1e-300)) - np.log(far)


def _solve(hessian: np.ndarray, gradient: np.ndarray, damping: float, damped: np.ndarray) -> np.ndarray:
    """Return the damped step, the other way; `damped` is memory for many coordinates' matrix."""
    diagonal = np.maximum(np.diag(hessian), 1e-12 * max(float(np.diag(hessian).max(initial=0)), 1e-300))
    if len(gradient) < _LARGE:
        damped = np.empty(hessian.shape)
    np.copyto(damped, hessian)
    damped.flat[:: len(diagonal) + 1] += damping * diagonal
    if len(gradient) >= _LARGE:
        from scipy.linalg.lapack import dposv  # type: ignore[attr-defined]

        # Its transpose is in the order that Cholesky's routine works in without a copy.
        _, step, wrong = dposv(damped.T, gradient, overwrite_a=True)
        return gradient / (diagonal * (1 + damping)) if wrong else step
    try:
        # NumPy's LU costs a fifth of what SciPy's checked Cholesky does at this size.
        return np.linalg.solve(damped, gradient)
    except np.linalg.LinAlgError:
        return gradient / (diagonal * (1 + damping))
