"""Two ways to the best weights: exactly, where each loss depends on one weight alone, and by search, everywhere else.

Shape letters: K domains, J targets, S draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mixlaw.fit.result import TOKEN_UNIT, Fit
from mixlaw.laws._shares import FLOOR
from mixlaw.laws.transfer import effective_tokens
from mixlaw.solve.allocation import SeparableObjective, allocate, refine
from mixlaw.solve.coupled import best_by_draw, minimise
from mixlaw.solve.coupled_objective import CoupledObjective, Losses
from mixlaw.solve.goal import Goal
from mixlaw.solve.objective import PulledObjective, TransferObjective
from mixlaw.solve.region import Region
from mixlaw.solve.solution import Certificate

_REGRET_DRAWS = 50
"""Posterior draws whose own optimum is searched for where the law couples the domains."""

_NEAR = 1e-9
"""Gap of a draw's optimum, relative to its objective, that needs no exact search."""


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
    fit: Fit, goal: Goal, budget_tokens: float, region: Region, available: Mapping[str, float] | None = None
) -> Engine:
    """Return the exact engine where the problem is separable, else the one that searches."""
    alone = fit.law == "transfer" and fit.plain and fit.rival is None
    if alone and region.box and goal.ceilings is None and not goal.worst:
        return Separable(fit, goal, budget_tokens, region)
    return Coupled(fit, goal, budget_tokens, region, available)


class Separable:
    """The law `transfer` under bounds: each domain's loss depends on its own weight alone."""

    def __init__(self, fit: Fit, goal: Goal, budget_tokens: float, region: Region) -> None:
        self.region, self.prior, self.budget = region, goal.prior, budget_tokens / TOKEN_UNIT
        self.theta_KSP = _draws(fit, budget_tokens)
        self.importance_K = np.array([goal.importance.get(domain, 0.0) for domain in fit.domains])
        self.draws = self.theta_KSP.shape[1]

    def _objective(self, draws: np.ndarray | None = None) -> SeparableObjective:
        """Return the expectation over all draws, or one problem for each of some draws."""
        theta = self.theta_KSP if draws is None else self.theta_KSP[:, draws]
        losses = TransferObjective(theta, self.importance_K, self.budget, average=draws is None, raised=FLOOR)
        return losses if self.prior is None else PulledObjective(losses, self.prior)

    def best(self) -> tuple[np.ndarray, Certificate]:
        """See `Engine.best`."""
        best = allocate(self._objective(), self.region.lower_K, self.region.upper_K)
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
        each, edges = self._objective(draws), (self.region.lower_K, self.region.upper_K)
        near = refine(each, np.repeat(near_K[:, None], self.draws, axis=1), *edges)
        values = self._value(each, near.weights_KB)
        far = draws[~(near.gap_B <= _NEAR * np.abs(values))]
        if len(far):
            some = self._objective(far)
            values[far] = self._value(some, allocate(some, *edges, problems=len(far)).weights_KB)
        return draws, values

    def marginal(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.marginal`. A domain's tokens are its own target's own, and every other target's other tokens."""
        C, k, alpha, beta, _ = np.moveaxis(self.theta_KSP, -1, 0)
        tokens = (weights_K * self.budget)[:, None]
        total = tokens.sum()
        own, others = tokens + FLOOR * total, np.maximum(total - tokens, 0) + FLOOR * total
        step = 1e-4 * max(self.budget, 1e-6)
        here, as_own, as_other = (
            C * effective_tokens(k, alpha, *pair) ** -beta
            for pair in ((own, others), (own + step, others), (own, others + step))
        )
        by_own, by_other = (self.importance_K[:, None] * (here - more) / step for more in (as_own, as_other))
        return (by_own + by_other.sum(axis=0) - by_other).T

    @staticmethod
    def _value(objective: SeparableObjective, weights_KB: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return objective.value(weights_KB).sum(axis=0)


class Coupled:
    """Any law under any constraints: every loss may depend on every weight."""

    def __init__(
        self, fit: Fit, goal: Goal, budget_tokens: float, region: Region, available: Mapping[str, float] | None
    ) -> None:
        names = [name for name in fit.targets if goal.importance.get(name, 0.0) > 0]
        self.region = region
        self.objective = CoupledObjective(
            Losses.of(fit, names, budget_tokens, available),
            np.array([goal.importance[name] for name in names]),
            goal.worst,
            goal.prior,
            goal.ceilings,
        )
        self.shares_J = self.objective.importance_J

    def best(self) -> tuple[np.ndarray, Certificate]:
        """See `Engine.best`."""
        best = minimise(self.objective, self.region)
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
        return best_by_draw(self.objective, near_K, self.region, _REGRET_DRAWS if len(near_K) <= 40 else 20)

    def marginal(self, weights_K: np.ndarray) -> np.ndarray:
        """See `Engine.marginal`; where the worst counts, of the targets that are worst, as their multipliers share."""
        slopes_JSK = self.objective.losses.slopes_by_draw(weights_K)
        return -np.tensordot(self.shares_J, slopes_JSK, axes=1) / self.objective.losses.budget


def _draws(fit: Fit, budget_tokens: float) -> np.ndarray:
    """Return (K, S, P) posterior draws; a domain without a target has a constant loss of 0."""
    drawn = {target: fit.theta_draws(target, budget_tokens) for target in fit.targets}
    nothing = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (len(next(iter(drawn.values()))), 1))
    return np.stack([drawn.get(domain, nothing) for domain in fit.domains])
