"""How far weights can be from the optimum: multipliers, the KKT residual and a bound on the gap.

    Lagrangian(v) = sum_j a_j L_j(v) + s KL(v) + sum_m b_m (L_m(v) - c_m)       a_j = g_j, or a_j >= 0 with sum 1
    gap = max over v in P of  grad Lagrangian(w) . (w - v)  +  F(w) - Lagrangian(w)

a (where the worst loss counts), b and the multipliers of the active linear constraints are those that come nearest to
cancelling the gradient, by nonnegative least squares. P is the polytope of the linear constraints. For convex losses
the Lagrangian lies above its tangent, so the optimum is at most `gap` below F(w), whatever the multipliers are; for
others a gap of 0 proves that no direction descends.

Source: the first term is the gap of Jaggi 2013, ICML, PMLR 28(1):427-435, section 2; the second is Lagrange's.

Shape letters: K domains, J targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.solve.coupled_objective import CoupledObjective
from mixlaw.solve.polytope import Polytope

_ACTIVE = 1e-7
"""A constraint this close to its limit counts as active; likewise, relatively, the worst of several losses. No data."""

_NOTHING = 1e-15
"""Smallest weight of which a logarithm is taken. No data."""

_STEP = 1e-6
"""Step of a weight over which the curvature is computed from slopes. No data."""

_HEAVY = 1e3
"""Weight of the sum of multipliers, which must be 1, against the gradient, of size 1. No data."""


@dataclass(frozen=True)
class Proof:
    """What is known of weights.

    Attributes:
        gap: nats.
        kkt_residual: what the multipliers leave of the gradient, relative to its largest entry.
        multiplier: of the sum of 1, negated: the marginal gain common to the free domains, nats per unit share.
        shares_J: a_j, how much each target counts in the gradient of the objective.
        prices: b_m of the ceilings.
        normals: of the constraints that have a multiplier, as rows.
    """

    gap: float
    kkt_residual: float
    multiplier: float
    shares_J: np.ndarray
    prices: np.ndarray
    normals: np.ndarray


def prove(objective: CoupledObjective, polytope: Polytope, weights_K: np.ndarray) -> Proof:
    """Return what is known of weights that meet all constraints."""
    losses_J = objective.losses.counted(weights_K) - objective.offsets_J
    slopes_JK = objective.losses.slopes(weights_K)
    worst_J = np.zeros(len(losses_J), bool)
    fixed = objective.pull_slope(weights_K)
    shares_J = objective.importance_J
    if objective.worst:
        worst_J = losses_J >= losses_J.max() - _ACTIVE * max(1.0, abs(float(losses_J.max())))
    else:
        fixed = fixed + shares_J @ slopes_JK
    room, steep = np.zeros(0), np.zeros((0, len(weights_K)))
    if objective.ceilings is not None:
        room = -objective.ceilings.excess(weights_K)
        steep = objective.ceilings.losses.slopes(weights_K)
    tight = room <= _ACTIVE
    columns = np.vstack([slopes_JK[worst_J], steep[tight], _active(polytope, weights_K)])
    found, scale = _multipliers(columns, fixed, int(worst_J.sum()))
    if objective.worst:
        shares_J = np.zeros(len(losses_J))
        shares_J[worst_J] = found[: worst_J.sum()]
    b = np.zeros(len(room))
    b[tight] = found[worst_J.sum() : worst_J.sum() + tight.sum()]
    residual = fixed + columns.T @ found
    slope = fixed + b @ steep + (shares_J @ slopes_JK if objective.worst else 0.0)
    gap = float(slope @ (weights_K - polytope.cheapest(slope))) + float(b @ room)
    if objective.worst:
        gap += float(shares_J @ (losses_J.max() - losses_J))
    used = found > 0
    used[-2 * len(polytope.equalities[1]) :] = True
    used[: worst_J.sum()] = False
    worst = slopes_JK[worst_J]
    normals = np.vstack([worst[1:] - worst[:1], columns[used]])
    # The two signs of the sum of 1 are the last two columns.
    multiplier = float(found[-1] - found[-2])
    return Proof(max(gap, 0.0), float(np.abs(residual).max()) / scale, multiplier, shares_J, b, normals)


def polish(objective: CoupledObjective, proof: Proof, weights_K: np.ndarray) -> np.ndarray:
    """Return the weights after one step of Newton's method on the Lagrangian, along the active constraints.

    A search that compares values cannot place the optimum better than the root of their rounding; slopes can. The
    curvature of the losses is that of slopes a millionth apart; that of a pull towards a prior is strength / w, so that
    small weights are scaled by their root, and move by a factor where they would move by more than half.
    """
    slope = _lagrangian_slope(objective, proof, weights_K)
    scale, stiff = np.ones(len(weights_K)), np.zeros(len(weights_K))
    if objective.prior is not None:
        stiff = objective.prior.slope(weights_K)[1]
        scale = np.where(stiff > 0, np.sqrt(np.clip(weights_K, _NOTHING, 1.0)), 1.0)
    _, sizes, directions = np.linalg.svd(proof.normals * scale)
    free = directions[int(np.sum(sizes > 1e-9 * sizes[0])) :]
    if not len(free):
        return weights_K
    rows = [_lagrangian_slope(objective, proof, np.maximum(weights_K + _STEP * scale * d, 0), False) for d in free]
    bend = (np.array(rows) - _lagrangian_slope(objective, proof, weights_K, False)) * scale / _STEP
    curvature = bend @ free.T + (free * stiff * scale**2) @ free.T
    moves, *_ = np.linalg.lstsq((curvature + curvature.T) / 2, -free @ (scale * slope), rcond=1e-12)
    change = scale * (moves @ free)
    held = np.maximum(weights_K, _NOTHING)
    far = (stiff > 0) & (np.abs(change) > held / 2)
    return np.where(far, held * np.exp(np.clip(change / held, -6.0, 6.0)), weights_K + change)


def _lagrangian_slope(
    objective: CoupledObjective, proof: Proof, weights_K: np.ndarray, pulled: bool = True
) -> np.ndarray:
    slope = proof.shares_J @ objective.losses.slopes(weights_K)
    if pulled:
        slope = slope + objective.pull_slope(weights_K)
    if objective.ceilings is not None and proof.prices.any():
        slope = slope + proof.prices @ objective.ceilings.losses.slopes(weights_K)
    return slope


def _active(polytope: Polytope, weights: np.ndarray) -> np.ndarray:
    """Return the outward normals of the constraints that hold with equality.

    Those of the equalities come last, each with both signs, and the sum of 1 the very last.
    """
    eye = np.eye(len(weights))
    rows, limits = polytope.inequalities
    equal, _ = polytope.equalities
    return np.vstack(
        [
            -eye[weights <= polytope.lower_K + _ACTIVE],
            eye[weights >= polytope.upper_K - _ACTIVE],
            rows[rows @ weights >= limits - _ACTIVE],
            equal[1:],
            -equal[1:],
            -equal[:1],
            equal[:1],
        ]
    )


def _multipliers(columns: np.ndarray, fixed: np.ndarray, worst: int) -> tuple[np.ndarray, float]:
    """Return nonnegative multipliers of the rows of `columns` that best cancel `fixed`, and the size of the gradients.

    The first `worst` of them sum to 1.
    """
    from scipy.optimize import nnls

    scale = max(float(np.abs(fixed).max()), float(np.abs(columns[:worst]).max(initial=0)), 1e-300)
    sizes = np.maximum(np.abs(columns).max(axis=1), 1e-300)
    sizes[:worst] = scale
    unit = np.zeros(len(columns))
    unit[:worst] = _HEAVY
    matrix = np.vstack([(columns / sizes[:, None]).T, unit])
    target = np.concatenate([-fixed / scale, [_HEAVY if worst else 0.0]])
    found, _ = nnls(matrix, target, maxiter=50 * max(matrix.shape))
    found *= scale / sizes
    if worst:
        found[:worst] /= max(float(found[:worst].sum()), 1e-300)
    return found, scale
