"""Two ways to the best weights: exactly, where each loss depends on one weight alone, and by search, everywhere else.

Shape letters: K domains, J targets, S draws.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixlaw.fit.result import Fit
from mixlaw.laws.base import Separable
from mixlaw.solve.allocation import SeparableObjective, allocate, refine
from mixlaw.solve.coupled import best_by_draw, minimise
from mixlaw.solve.coupled_objective import CoupledObjective, Losses
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.separable import SeparableLosses
from mixlaw.solve.solution import Certificate
from mixlaw.solve.wishes import Criterion

_REGRET_DRAWS, _REGRET_DRAWS_OF_MANY, _MANY_DOMAINS = 50, 20, 40
"""For laws that couple the domains: how many posterior draws get a search for their own optimum, how many if there
are many domains, and from how many on. For speed. No data."""

_STEP = 1e-4
"""Relative change of the budget for a central derivative: its error is of the order of a hundred-millionth. No data."""

_NEAR = 1e-9
"""A draw's optimum with a smaller gap, relative to its objective, is not searched for more exactly. No data."""


class Engine(Protocol):
    """Solves one problem. Objectives include the pull towards the prior; losses do not."""

    def best(self) -> tuple[np.ndarray, Certificate]:
        """Return (K,) weights and what is proven of them."""
        ...

    def expected(self, weights_K: np.ndarray) -> float:
        """Return the objective of the expected losses, nats."""
        ...

    def by_draw(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (S,) objectives, each draw taken for the truth, nats."""
        ...

    def best_by_draw(self, near_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return places of draws, and the smallest objective of each under the same constraints, nats."""
        ...

    def marginal(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (S, K): how fast the losses' part of the objective falls with tokens of a domain, nats per million."""
        ...


def engine_for(
    fit: Fit, criterion: Criterion, budget_tokens: float, polytope: Polytope, doubt: float | None = None
) -> Engine:
    """Return the exact engine where the problem is separable, else the one that searches.

    Args:
        fit: a fitted law.
        criterion: what is minimised.
        budget_tokens: N.
        polytope: of the weights.
        doubt: for regrets, how much of the mixture that they are seen from lies outside what runs can be mixed to
            (`Losses.of`).
    """
    losses = Losses.of(fit, list(fit.targets), budget_tokens, criterion.available, doubt)
    if polytope.box and criterion.ceilings is None and not criterion.worst and _separable(fit, losses):
        return Exact(fit, criterion, losses, polytope)
    return Coupled(fit, criterion, budget_tokens, polytope, doubt)


def _separable(fit: Fit, losses: Losses) -> bool:
    """Whether one law of one kind holds for every target, whose loss depends on its own domain's weight alone."""
    laws = [drawn.parts[0][0] for drawn in losses.drawn]
    alone = all(len(drawn.parts) == 1 for drawn in losses.drawn) and len({type(law) for law in laws}) == 1
    return alone and all(isinstance(law, Separable) and law.own is not None for law in laws)


class Exact:
    """A separable law under bounds: each domain's loss depends on its own weight alone."""

    def __init__(self, fit: Fit, criterion: Criterion, losses: Losses, polytope: Polytope) -> None:
        self.polytope, self.prior, self.losses = polytope, criterion.prior, losses
        drawn = dict(zip(fit.targets, (d.parts[0] for d in losses.drawn), strict=True))
        self.law, some = next(iter(drawn.values()))
        # A domain without a target has importance 0, whatever its parameters.
        self.theta_KSP = np.stack([drawn[domain][1] if domain in drawn else some for domain in fit.domains])
        self.importance_K = np.array([criterion.importance.get(domain, 0.0) for domain in fit.domains])
        self.draws = self.theta_KSP.shape[1]

    def _objective(self, draws: np.ndarray | None = None) -> SeparableObjective:
        """Return the expectation over all draws, or one problem for each of some draws."""
        theta = self.theta_KSP if draws is None else self.theta_KSP[:, draws]
        assert isinstance(self.law, Separable)
        return SeparableLosses(self.law, theta, self.importance_K, self.losses.budget, draws is None, self.prior)

    def best(self) -> tuple[np.ndarray, Certificate]:
        """See `Engine.best`."""
        best = allocate(self._objective(), self.polytope.lower_K, self.polytope.upper_K)
        residual, gap, price = (float(x[0]) for x in (best.kkt_residual_B, best.gap_B, best.multiplier_B))
        return best.weights_KB[:, 0], Certificate(residual, gap, price)

    def expected(self, weights_K: np.ndarray) -> float:
        """See `Engine.expected`."""
        return float(self._value(self._objective(), weights_K[:, None])[0])

    def by_draw(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.by_draw`."""
        return self._value(self._objective(np.arange(self.draws)), np.repeat(weights_K[:, None], self.draws, axis=1))

    def best_by_draw(self, near_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine.best_by_draw`."""
        draws = np.arange(self.draws)
        each, edges = self._objective(draws), (self.polytope.lower_K, self.polytope.upper_K)
        near = refine(each, np.repeat(near_K[:, None], self.draws, axis=1), *edges)
        values = self._value(each, near.weights_KB)
        far = draws[~(near.gap_B <= _NEAR * np.abs(values))]
        if len(far):
            some = self._objective(far)
            values[far] = self._value(some, allocate(some, *edges, problems=len(far)).weights_KB)
        return draws, values

    def marginal(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.marginal`.

        With f(w, N) the loss of a domain, a further token of its own changes it by f_w / N + r, and one of any other
        domain by r = f_N - w f_w / N.
        """
        assert isinstance(self.law, Separable)
        N, w_K1 = self.losses.budget, weights_K[:, None]
        more, less = (self.law.along_own(self.theta_KSP, w_K1, N * (1 + sign * _STEP))[0] for sign in (1, -1))
        by_weight = self.law.along_own(self.theta_KSP, w_K1, N)[1] / N
        by_other = self.importance_K[:, None] * ((more - less) / (2 * _STEP * N) - w_K1 * by_weight)
        return -(self.importance_K[:, None] * by_weight + by_other.sum(axis=0)).T

    @staticmethod
    def _value(objective: SeparableObjective, weights_KB: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return objective.value(weights_KB).sum(axis=0)


class Coupled:
    """Any law under any constraints: every loss may depend on every weight."""

    def __init__(
        self, fit: Fit, criterion: Criterion, budget_tokens: float, polytope: Polytope, doubt: float | None = None
    ) -> None:
        names = [name for name in fit.targets if criterion.importance.get(name, 0.0) > 0]
        self.polytope = polytope
        self.objective = CoupledObjective(
            Losses.of(fit, names, budget_tokens, criterion.available, doubt),
            np.array([criterion.importance[name] for name in names]),
            criterion.worst,
            criterion.prior,
            criterion.ceilings,
        )
        self.shares_J = self.objective.importance_J

    def best(self) -> tuple[np.ndarray, Certificate]:
        """See `Engine.best`."""
        best = minimise(self.objective, self.polytope)
        self.shares_J = best.proof.shares_J
        kind = "global" if best.convex else "stationary"
        return best.weights_K, Certificate(best.proof.kkt_residual, best.proof.gap, best.proof.multiplier, kind)

    def expected(self, weights_K: np.ndarray) -> float:
        """See `Engine.expected`."""
        return self.objective.value(weights_K)

    def by_draw(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.by_draw`."""
        return self.objective.by_draw(weights_K[None])[:, 0]

    def best_by_draw(self, near_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine.best_by_draw`; of some evenly spaced draws."""
        count = _REGRET_DRAWS if len(near_K) <= _MANY_DOMAINS else _REGRET_DRAWS_OF_MANY
        return best_by_draw(self.objective, near_K, self.polytope, count)

    def marginal(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.marginal`; where the worst counts, of the targets that are worst, as their multipliers share."""
        slopes_JSK = self.objective.losses.slopes_by_draw(weights_K)
        return -np.tensordot(self.shares_J, slopes_JSK, axes=1) / self.objective.losses.budget
