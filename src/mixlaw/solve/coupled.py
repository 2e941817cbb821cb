"""The minimum of any law's losses under any constraints: a search from several starts, and a certificate.

SciPy's SLSQP with the laws' own gradients starts from the middle of the polytope, from every domain favoured in turn,
and from the best of a Dirichlet sample; from the best of them alone where the problem is known to be convex. The
largest of several losses becomes one more variable, which none of them may exceed. What SLSQP returns is moved onto the
constraints, which then hold to rounding. `mixlaw.solve.certificate` says what has been found.

Where there are ceilings, the largest excess over them is minimised first: that gives a start, or says that there is
none.

Shape letters: K domains, J targets, S draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.errors import Infeasible
from mixlaw.core.target_units import differences_in
from mixlaw.solve.certificate import Proof, polish, prove
from mixlaw.solve.coupled_objective import Ceilings, CoupledObjective
from mixlaw.solve.polytope import Polytope

_SEARCH_DRAWS = 64
"""Draws that the searches from several starts take; the last search takes all. For speed. No data."""

_SAMPLE, _SAMPLE_OF_GROUPS = 256, 32
"""How many random mixtures are tried as starts; fewer with groups, where each must be projected. No data."""

_SPREAD = 0.7
"""Parameter of the Dirichlet distribution of these: somewhat towards the corners. No data."""

_FAVOURED = 0.6
"""Share of the starts that favour a domain, in turn. No data."""

_TRIES = 8
"""Attempts to narrow the gap. No data."""

_TIGHT = 1e-9
"""Nats by which a ceiling may be missed. No data."""

_PROVEN = 1e-11
"""A gap that needs no narrowing, nats. No data."""

_EXACT, _COARSE = 1e-15, 1e-9
"""A search ends when a step lowers the objective by less, nats a target: the last one, and those that find where it
begins, or the smallest loss of one draw for its regret. No data."""

_PULLED = 1e-10
"""Smallest weight that is considered if a prior keeps weights away from 0. No data."""

_SNAP = 1e-6
"""Weights this near to a bound are tried at the bound. No data."""


@dataclass(frozen=True)
class Minimum:
    """Where the search ended.

    Attributes:
        weights_K: they meet all constraints.
        proof: how far from the optimum they can be.
        convex: whether the proof's gap bounds the distance to the optimum.
    """

    weights_K: np.ndarray
    proof: Proof
    convex: bool


def minimise(objective: CoupledObjective, polytope: Polytope) -> Minimum:
    """Return the best weights found, with their certificate.

    Raises:
        Infeasible: no mixture within the polytope was found that keeps to the ceilings.
    """
    convex = objective.convex
    starts = _starts(objective, polytope)
    if objective.ceilings is not None:
        starts = [_reach(objective.ceilings, polytope, starts)] + ([] if convex else starts)
    elif convex:
        starts = [min(starts, key=lambda weights: _merit(objective, weights))]
    some = objective
    if objective.ceilings is None and not convex:
        # Evenly spaced draws are as good as random ones and need no seed.
        draws = objective.losses.draws
        some = objective.take(np.unique(np.linspace(0, draws - 1, min(draws, _SEARCH_DRAWS)).astype(int)).tolist())
    found = [_descend(some, start, polytope, _COARSE) for start in starts]
    best = min(found, key=lambda weights: _merit(some, weights))
    weights = _descend(objective, best, polytope)
    return Minimum(*_polished(objective, polytope, weights), convex)


def best_by_draw(
    objective: CoupledObjective, near_K: np.ndarray, polytope: Polytope, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (count,) places of draws and each one's smallest objective under the same constraints, nats."""
    draws = np.unique(np.linspace(0, objective.losses.draws - 1, count).astype(int))
    found = []
    for draw in draws:
        one = objective.take([int(draw)])
        found.append(one.value(_descend(one, near_K, polytope, _COARSE)))
    return draws, np.array(found)


def _starts(objective: CoupledObjective, polytope: Polytope) -> list[np.ndarray]:
    K = len(polytope.lower_K)
    rng = np.random.default_rng(20251105)
    count = _SAMPLE if polytope.box else _SAMPLE_OF_GROUPS
    sample = np.array([polytope.project(row) for row in rng.dirichlet(np.full(K, _SPREAD), count)])
    order = np.argsort(objective.by_draw(sample).mean(axis=0))
    favoured = [np.full(K, (1 - _FAVOURED) / K) + _FAVOURED * row for row in np.eye(K)] if K <= 6 else []
    middle = [polytope.project(row) for row in (np.full(K, 1 / K), *favoured)]
    return [*middle, *sample[order[:2]]]


def _merit(objective: CoupledObjective, weights: np.ndarray) -> tuple[float, float]:
    """Return what to compare by: the miss of the ceilings first, then the objective."""
    miss = objective.excess(weights)
    value = objective.value(weights)
    return (miss if miss > _TIGHT else 0.0), value if np.isfinite(value) else np.inf


def _snapped(objective: CoupledObjective, weights: np.ndarray, polytope: Polytope) -> np.ndarray:
    """Return the weights with those next to a bound put at it, where that costs nothing."""
    trial = np.where(weights - polytope.lower_K <= _SNAP, polytope.lower_K, weights)
    trial = np.where(polytope.upper_K - trial <= _SNAP, polytope.upper_K, trial)
    trial = _restored(objective, polytope.project(trial), polytope)
    here, there = _merit(objective, weights), _merit(objective, trial)
    return trial if there[0] <= here[0] and there[1] <= here[1] + 1e-13 * abs(here[1]) else weights


def _polished(objective: CoupledObjective, polytope: Polytope, weights: np.ndarray) -> tuple[np.ndarray, Proof]:
    """Return the weights after as many of Newton's steps and searches as narrow the gap, and their proof."""
    proof = prove(objective, polytope, weights)
    for attempt in range(_TRIES):
        if proof.gap <= _PROVEN:
            break
        moved = polish(objective, proof, weights) if attempt != 1 else _descend(objective, weights, polytope)
        moved = _restored(objective, polytope.project(moved), polytope)
        for trial in (moved, _snapped(objective, moved, polytope)):
            other = prove(objective, polytope, trial)
            if other.gap < proof.gap and _merit(objective, trial)[0] <= _merit(objective, weights)[0]:
                weights, proof = trial, other
    return weights, proof


def _descend(objective: CoupledObjective, start: np.ndarray, polytope: Polytope, exact: float = _EXACT) -> np.ndarray:
    from scipy.optimize import minimize

    K = len(start)
    program = _Program(objective, polytope)
    first = program.start(start)
    lower = polytope.lower_K
    if objective.prior is not None:  # the slope at 0 is infinite
        lower = np.maximum(lower, np.minimum(_PULLED, polytope.upper_K))
    bounds = [*zip(lower, polytope.upper_K, strict=True), *[(None, None)] * (len(first) - K)]
    result = minimize(
        program.value, first, jac=program.slope, method="SLSQP", bounds=bounds, constraints=program.constraints(),
        options={"ftol": exact, "maxiter": 300},
    )  # fmt: skip
    moved = result.x[:K]
    if not np.all(np.isfinite(moved)):
        return start
    weights = _restored(objective, polytope.project(moved), polytope)
    return weights if _merit(objective, weights) <= _merit(objective, start) else start


def _restored(objective: CoupledObjective, weights: np.ndarray, polytope: Polytope) -> np.ndarray:
    """Return the nearest weights that keep to the ceilings, by Newton's steps; unchanged where they do already."""
    if objective.ceilings is None:
        return weights
    rows, limits = polytope.inequalities
    for _ in range(10):
        excess = objective.ceilings.excess(weights)
        if excess.max() <= _TIGHT / 10:
            break
        slopes = objective.ceilings.losses.slopes(weights)
        sizes = np.maximum(np.abs(slopes).max(axis=1), 1e-300)
        reach = (slopes @ weights - excess - _TIGHT / 100) / sizes
        weights = polytope.correct(weights, np.vstack([rows, slopes / sizes[:, None]]), np.concatenate([limits, reach]))
        if polytope.violation(weights) > _TIGHT:  # the tangents leave no room: the ceilings are still far
            weights = polytope.project(weights)
    return weights


class _Program:
    """The problem as SLSQP takes it: the weights, and the largest loss where that is minimised."""

    def __init__(self, objective: CoupledObjective, polytope: Polytope) -> None:
        self.objective, self.polytope, self.K = objective, polytope, len(polytope.lower_K)
        self.unit = 1.0 if objective.worst else max(float(np.sum(objective.importance_J)), 1e-300)
        self._known: dict[str, tuple[bytes, Any]] = {}

    def start(self, weights: np.ndarray) -> np.ndarray:
        return np.append(weights, self._losses(weights).max()) if self.objective.worst else weights

    def value(self, x: np.ndarray) -> float:
        weights = x[: self.K]
        if not self.objective.worst:
            return self.objective.value(weights) / self.unit
        prior = self.objective.prior
        return float(x[-1] + (0.0 if prior is None else prior.terms(weights).sum()))

    def slope(self, x: np.ndarray) -> np.ndarray:
        if self.objective.worst:
            return np.append(self.objective.pull_slope(x[: self.K]), 1.0)
        return self.objective.slope(x) / self.unit

    def constraints(self) -> list[dict[str, Any]]:
        matrix, values = self.polytope.equalities
        rows, limits = self.polytope.inequalities
        found = [self._linear("eq", -matrix, values)]
        if len(limits):
            found.append(self._linear("ineq", -rows, limits))
        if self.objective.worst:
            rising = np.ones((len(self.objective.importance_J), 1))
            found.append(
                {
                    "type": "ineq",
                    "fun": lambda x: x[-1] - self._losses(x[: self.K]),
                    "jac": lambda x: np.hstack([-self._kept("slopes", x, self.objective.losses.slopes), rising]),
                }
            )
        if (ceilings := self.objective.ceilings) is not None:
            found.append(
                {
                    "type": "ineq",
                    "fun": lambda x: -ceilings.excess(x[: self.K]),
                    "jac": lambda x: self._padded(-ceilings.losses.slopes(x[: self.K])),
                }
            )
        return found

    def _linear(self, kind: str, rows: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        padded = self._padded(rows)
        return {"type": kind, "fun": lambda x: padded @ x + values, "jac": lambda x: padded}

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        return np.hstack([rows, np.zeros((len(rows), 1))]) if self.objective.worst else rows

    def _losses(self, weights: np.ndarray) -> np.ndarray:
        return self._kept("losses", weights, self.objective.losses.counted) - self.objective.offsets_J

    def _kept(self, what: str, x: np.ndarray, compute: Callable[[np.ndarray], Any]) -> Any:
        """Return a value at the weights, computed once for each point."""
        weights = x[: self.K]
        key = weights.tobytes()
        if what not in self._known or self._known[what][0] != key:
            self._known[what] = (key, compute(weights))
        return self._known[what][1]


def _reach(ceilings: Ceilings, polytope: Polytope, starts: list[np.ndarray]) -> np.ndarray:
    """Return weights that keep to the ceilings, with room to spare where there is some."""
    losses, names = ceilings.losses, [ceiling.name for ceiling in ceilings.each]
    furthest = CoupledObjective(losses, np.ones(len(names)), worst=True, offsets_J=ceilings.nats_J)
    best = min((_descend(furthest, start, polytope) for start in _few(furthest, starts)), key=furthest.value)
    if furthest.value(best) <= _TIGHT:
        return best
    # Which cannot be kept even alone, and how near one comes.
    said, missed = [], []
    so, surely, remedy = _certainty(ceilings)
    for j, name in enumerate(names):
        single = CoupledObjective(losses.only(j), np.ones(1))
        lowest = min(single.value(_descend(single, start, polytope)) for start in _few(single, [best, *starts]))
        if lowest > ceilings.nats_J[j] + _TIGHT:
            said.append(f"{name} (the smallest loss any allowed mixture reaches{so} is {lowest:.4f})")
            missed.append(losses.drawn[j].target)
    if said:
        raise Infeasible(
            f"No mixture meets the ceilings{surely}: {'; '.join(said)}.",
            f"Raise these ceilings{remedy}.",
            tuple(missed),
        )
    shares = prove(furthest, polytope, best).shares_J
    tied = [j for j in range(len(names)) if shares[j] > 1e-6] or list(range(len(names)))
    unit = differences_in([losses.drawn[j].target for j in tied])
    raise Infeasible(
        f"No mixture meets these ceilings together{surely}: {'; '.join(names[j] for j in tied)}; the closest "
        f"mixture exceeds one of them by {furthest.value(best):.4f} {unit}.",
        f"Raise one of them{remedy}.",
        tuple(losses.drawn[j].target for j in tied),
    )


def _certainty(ceilings: Ceilings) -> tuple[str, str, str]:
    """Return what messages say of the certainty that was asked for: at a loss, at a limit, and as a remedy."""
    if ceilings.certainty is None:
        return "", "", ", or the budget"
    return (
        " so surely",
        f" with a certainty of {100 * ceilings.certainty:g} %",
        " or the budget, or lower the certainty",
    )


def _few(objective: CoupledObjective, starts: list[np.ndarray]) -> list[np.ndarray]:
    return starts[:1] if objective.convex else starts
