"""Any law along the simplex, where every loss may depend on every weight, and its minimum with a certificate.

    minimise  f(w) = sum_j g_j mean_s L_j(w N; theta_s)      sum_i w_i = 1,  lower_i <= w_i <= upper_i

SciPy's SLSQP with the laws' own gradients starts from the middle of the bounds, from every domain favoured in turn, and
from the best of a Dirichlet sample. The proof is the Frank-Wolfe gap

    gap = max_v  grad f(w) . (w - v)      over the same weights

which is a sort, not a search. For a convex f the optimum is at most this much lower; for any other f a gap of 0 proves
that no direction descends, and the starts are what stands against other valleys. Whether f is convex is asked of the
laws, and failing that of random chords.

Source: the gap is that of Jaggi 2013, ICML, PMLR 28(1):427-435, section 2.

Shape letters: K domains, J targets, S draws, B mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixlaw.fit.result import TOKEN_UNIT, Fit
from mixlaw.laws.base import Law

_SEARCH_DRAWS = 64
_SAMPLE = 256
_CHORDS = 200


@dataclass(frozen=True)
class CoupledObjective:
    """Weighted losses of several targets at one budget.

    Attributes:
        laws: of the J targets.
        theta_JSP: one (S, P) array of parameter draws a target, tokens in millions.
        importance_J: g_j.
        budget: N, millions of tokens.
    """

    laws: tuple[Law, ...]
    theta_JSP: tuple[np.ndarray, ...]
    importance_J: np.ndarray
    budget: float

    @staticmethod
    def of(fit: Fit, importance: Mapping[str, float], budget_tokens: float) -> CoupledObjective:
        """Return the objective of a fit; targets of importance 0 are left out."""
        names = [name for name in fit.targets if importance.get(name, 0.0) > 0]
        return CoupledObjective(
            tuple(fit.law_of(name) for name in names),
            tuple(fit.theta_draws(name) for name in names),
            np.array([importance[name] for name in names]),
            budget_tokens / TOKEN_UNIT,
        )

    def take(self, draws: slice | list[int]) -> CoupledObjective:
        """Return the objective over some of the draws."""
        return CoupledObjective(
            self.laws, tuple(theta[draws] for theta in self.theta_JSP), self.importance_J, self.budget
        )

    def by_draw(self, weights_BK: np.ndarray) -> np.ndarray:
        """Return (S, B) objectives."""
        parts = [
            g * law.predict(theta, weights_BK * self.budget)
            for g, law, theta in zip(self.importance_J, self.laws, self.theta_JSP, strict=True)
        ]
        size = min(len(part) for part in parts)
        return np.sum([part[:size] for part in parts], axis=0)

    def value(self, weights_K: np.ndarray) -> float:
        """Return the expected objective, nats."""
        return float(self.by_draw(weights_K[None]).mean())

    def slope(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (K,) derivatives of the expected objective by the weights."""
        tokens_RK = weights_K[None] * self.budget
        parts = [
            g * law.gradient(theta, tokens_RK)[:, 0].mean(axis=0)
            for g, law, theta in zip(self.importance_J, self.laws, self.theta_JSP, strict=True)
        ]
        return self.budget * np.sum(parts, axis=0)


@dataclass(frozen=True)
class Minimum:
    """Where the search ended.

    Attributes:
        weights_K: within the bounds, sum 1.
        gap: Frank-Wolfe gap, nats.
        kkt_residual: largest violation of the optimality conditions, relative to the largest marginal gain.
        multiplier: the marginal gain common to all domains strictly between their bounds, nats per unit share.
        convex: whether the gap bounds the distance to the optimum.
    """

    weights_K: np.ndarray
    gap: float
    kkt_residual: float
    multiplier: float
    convex: bool


def minimise(objective: CoupledObjective, lower_K: np.ndarray, upper_K: np.ndarray) -> Minimum:
    """Return the best weights found, with their certificate."""
    draws = len(objective.theta_JSP[0])
    # Evenly spaced draws are as good as random ones and need no seed.
    some = objective.take(list(np.unique(np.linspace(0, draws - 1, min(draws, _SEARCH_DRAWS)).astype(int))))
    found = [_descend(some, start, lower_K, upper_K) for start in _starts(some, lower_K, upper_K)]
    best = _descend(objective, min(found, key=some.value), lower_K, upper_K)
    return _certified(objective, best, lower_K, upper_K)


def best_by_draw(
    objective: CoupledObjective, near_K: np.ndarray, lower_K: np.ndarray, upper_K: np.ndarray, count: int
) -> np.ndarray:
    """Return (count,) objective at `near_K` minus at the best weights of single draws, nats, never below 0."""
    draws = np.unique(np.linspace(0, len(objective.theta_JSP[0]) - 1, count).astype(int))
    regret = []
    for draw in draws:
        one = objective.take([int(draw)])
        regret.append(max(one.value(near_K) - one.value(_descend(one, near_K, lower_K, upper_K)), 0.0))
    return np.array(regret)


def _starts(objective: CoupledObjective, lower: np.ndarray, upper: np.ndarray) -> list[np.ndarray]:
    K = len(lower)
    rng = np.random.default_rng(20251105)
    sample = np.array([_feasible(row, lower, upper) for row in rng.dirichlet(np.full(K, 0.7), _SAMPLE)])
    order = np.argsort(objective.by_draw(sample).mean(axis=0))
    favoured = [np.full(K, 0.4 / K) + 0.6 * row for row in np.eye(K)] if K <= 6 else []
    return [_feasible(row, lower, upper) for row in (np.full(K, 1 / K), *favoured, *sample[order[:2]])]


def _feasible(weights: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the nearest weights within the bounds that sum to 1 (Euclidean), by bisection of the shift."""
    low, high = float((lower - weights).min()) - 1, float((upper - weights).max()) + 1
    for _ in range(100):
        shift = (low + high) / 2
        if np.clip(weights + shift, lower, upper).sum() < 1:
            low = shift
        else:
            high = shift
    result = np.clip(weights + high, lower, upper)
    inside = (result > lower) & (result < upper)
    if inside.any():
        result[inside] += (1 - result.sum()) / inside.sum()
    return np.clip(result, lower, upper)


def _descend(objective: CoupledObjective, start: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    result = minimize(
        objective.value,
        start,
        jac=objective.slope,
        method="SLSQP",
        bounds=list(zip(lower, upper, strict=True)),
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(len(w))}],
        options={"ftol": 1e-13, "maxiter": 200},
    )
    weights = _feasible(np.nan_to_num(result.x, nan=1 / len(start)), lower, upper)
    return weights if objective.value(weights) <= objective.value(start) else start


def _certified(objective: CoupledObjective, weights: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Minimum:
    slope = objective.slope(weights)
    inside = (weights > lower + 1e-9) & (weights < upper - 1e-9)
    price = float(np.median(slope[inside])) if inside.any() else float(slope[weights > lower + 1e-9].max(initial=0))
    violation = np.where(inside, np.abs(slope - price), 0.0)
    violation = np.where(weights <= lower + 1e-9, np.maximum(price - slope, 0), violation)
    violation = np.where(weights >= upper - 1e-9, np.maximum(slope - price, 0), violation)
    violation = np.where(upper - lower <= 1e-9, 0.0, violation)
    gap = float(slope @ (weights - _cheapest(slope, lower, upper)))
    scale = max(float(np.abs(slope).max()), 1e-300)
    convex = all(getattr(law, "convex", False) for law in objective.laws) or _chords_say_convex(objective, lower, upper)
    return Minimum(weights, max(gap, 0.0), float(violation.max()) / scale, -price, convex)


def _cheapest(slope: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the weights within the bounds that minimise slope . v: the steepest domains filled first."""
    weights, left = lower.copy(), 1 - lower.sum()
    for i in np.argsort(slope):
        taken = min(upper[i] - lower[i], left)
        weights[i] += taken
        left -= taken
    return weights


def _chords_say_convex(objective: CoupledObjective, lower: np.ndarray, upper: np.ndarray) -> bool:
    rng = np.random.default_rng(20251106)
    K = len(lower)
    ends = np.array([_feasible(row, lower, upper) for row in rng.dirichlet(np.full(K, 0.5), 2 * _CHORDS)])
    a, b = ends[:_CHORDS], ends[_CHORDS:]
    some = objective.take(slice(0, _SEARCH_DRAWS))
    values = [some.by_draw(points).mean(axis=0) for points in (a, b, (a + b) / 2)]
    return bool(np.all(values[2] <= (values[0] + values[1]) / 2 + 1e-10))
