"""Any law along the simplex, where every loss may depend on every weight: what is minimised, under which ceilings.

    minimise  F(w) + s KL(w || p)     F(w) = sum_j g_j E[L_j(w N)]  or  max_j E[L_j(w N)]
    where     E[L_m(w N)] <= c_m

The expectation runs over the posterior draws of the laws' parameters. A ceiling may hold with a certainty instead
(`mixlaw.solve.sure`).

Shape letters: K domains, J targets, S draws, B mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.fit.alike import half_as_they_were, in_order, orders_at
from mixlaw.fit.curve import Drawn
from mixlaw.fit.result import Fit
from mixlaw.fit.units import MILLION
from mixlaw.solve.prior import Prior


@dataclass(frozen=True)
class Losses:
    """Losses of several targets at one budget.

    Attributes:
        drawn: each of the J targets' draws, tokens in millions; as many for all.
        budget: N, millions of tokens.
    """

    drawn: tuple[Drawn, ...]
    budget: float

    @staticmethod
    def of(
        fit: Fit,
        targets: list[str],
        budget_tokens: float,
        available: Mapping[str, float] | None = None,
        doubt: float | None = None,
    ) -> Losses:
        """Return the losses of a fit's targets.

        Args:
            fit: a fitted law.
            targets: their names.
            budget_tokens: N.
            available: as in `Fit.belief`.
            doubt: for regrets, the part of a mixture that lies outside what runs can be mixed to (`Belief.drawn`);
                half of the draws are then as they were before domains were taken to gain alike.
        """
        distance = float(fit.distance(budget_tokens))
        orders = orders_at(fit, distance)
        if doubt is not None:
            orders = {name: half_as_they_were(order) for name, order in orders.items()}
        beliefs = [in_order(fit.belief(name, available), orders.get(name)) for name in targets]
        drawn = [belief.drawn(distance, doubt or 0.0) for belief in beliefs]
        size = min(map(len, drawn), default=0)
        return Losses(tuple(d if len(d) == size else d.take(range(size)) for d in drawn), budget_tokens / MILLION)

    @property
    def draws(self) -> int:
        """S."""
        return len(self.drawn[0])

    def take(self, draws: list[int]) -> Losses:
        """Return the losses in some of the draws."""
        return replace(self, drawn=tuple(drawn.take(draws) for drawn in self.drawn))

    def by_draw(self, weights_BK: np.ndarray) -> np.ndarray:
        """Return (J, S, B) losses, nats."""
        tokens = weights_BK * self.budget
        return np.stack([drawn.predict(tokens) for drawn in self.drawn])

    def only(self, target: int) -> Losses:
        """Return the losses of the target at a place alone."""
        return replace(self, drawn=self.drawn[target : target + 1])

    def counted(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J,) losses as they count: expected ones, nats."""
        return self.by_draw(weights_K[None])[..., 0].mean(axis=1)

    def slopes_by_draw(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J, S, K) derivatives of the losses by the weights."""
        tokens = weights_K[None] * self.budget
        return self.budget * np.stack([drawn.gradient(tokens)[:, 0] for drawn in self.drawn])

    def slopes(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J, K) derivatives of `counted` by the weights."""
        return self.slopes_by_draw(weights_K).mean(axis=1)

    @property
    def convex(self) -> bool:
        """Whether every loss is known to be convex in the weights, in every draw."""
        return all(drawn.convex for drawn in self.drawn)


@dataclass(frozen=True)
class Ceiling:
    """What one loss may be at the most.

    Attributes:
        target: whose loss.
        nats: c_m; beside a mixture, in the mean over the draws.
        reference: what it is compared with: `base`, or the name of a mixture, `your` for one given by shares; None for
            a loss given in nats.
        percent: by which the reference's loss may be exceeded.
    """

    target: str
    nats: float
    reference: str | None = None
    percent: float = 0.0

    @property
    def name(self) -> str:
        """What a message calls it."""
        if self.reference is None:
            return f"'{self.target}' at most {self.nats:.4g}"
        side = "below" if self.percent < 0 else "above"
        said = {"base": "the base model", "your": "the reference"}.get(self.reference, self.reference)
        return f"'{self.target}' at most {self.nats:.4f} ({abs(self.percent):g} % {side} {said})"


@dataclass(frozen=True)
class Ceilings:
    """Losses that may not be exceeded.

    Attributes:
        losses: of the targets that have one, as they count.
        each: the ceilings.
        limits_JS: what each loss may be in each draw, nats; None: c_m.
        certainty: with which they are to hold, a share of 1; None where the expected losses are to keep to them.
    """

    losses: Losses
    each: tuple[Ceiling, ...]
    limits_JS: np.ndarray | None = None
    certainty: float | None = None

    @property
    def nats_J(self) -> np.ndarray:
        """c_m."""
        return np.array([ceiling.nats for ceiling in self.each])

    def excess_by_draw(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J, S) nats above each ceiling, each draw taken for the truth."""
        limits = self.nats_J[:, None] if self.limits_JS is None else self.limits_JS
        return self.losses.by_draw(weights_K[None])[..., 0] - limits

    def excess(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J,) nats above each ceiling; negative where there is room."""
        return self.losses.counted(weights_K) - self.nats_J


@dataclass(frozen=True)
class CoupledObjective:
    """Weighted or worst losses of several targets, with ceilings on some and a pull towards a prior.

    Attributes:
        losses: of the targets of interest.
        importance_J: g_j; not used where the worst counts.
        worst: whether the largest expected loss is minimised instead of the weighted sum.
        prior: the pull, or None.
        ceilings: or None.
        offsets_J: nats taken off each loss.
    """

    losses: Losses
    importance_J: np.ndarray
    worst: bool = False
    prior: Prior | None = None
    ceilings: Ceilings | None = None
    offsets_J: np.ndarray | float = 0.0

    @staticmethod
    def of(
        fit: Fit,
        importance: Mapping[str, float],
        budget_tokens: float,
        available: Mapping[str, float] | None = None,
    ) -> CoupledObjective:
        """Return the weighted objective of a fit; targets of importance 0 are left out."""
        names = [name for name in fit.targets if importance.get(name, 0.0) > 0]
        return CoupledObjective(
            Losses.of(fit, names, budget_tokens, available), np.array([importance[name] for name in names])
        )

    def take(self, draws: list[int]) -> CoupledObjective:
        """Return the objective over some of the draws; the ceilings stay those over all."""
        return replace(self, losses=self.losses.take(draws))

    def by_draw(self, weights_BK: np.ndarray) -> np.ndarray:
        """Return (S, B) objectives, each draw taken for the truth."""
        return self._joined(np.moveaxis(self.losses.by_draw(weights_BK), 0, -1)) + self._pull(weights_BK)

    def value(self, weights_K: np.ndarray) -> float:
        """Return the objective of the expected losses, nats."""
        return float(self._joined(self.losses.counted(weights_K)) + self._pull(weights_K))

    def slope(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (K,) derivatives by the weights; where the worst counts, of the one that is worst."""
        shares = self.importance_J
        if self.worst:
            worst = int(np.argmax(self.losses.counted(weights_K) - self.offsets_J))
            shares = np.eye(len(self.importance_J))[worst]
        return shares @ self.losses.slopes(weights_K) + self.pull_slope(weights_K)

    def pull_slope(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (K,) derivatives of the pull towards the prior."""
        return np.zeros(len(weights_K)) if self.prior is None else self.prior.slope(weights_K)[0]

    @property
    def convex(self) -> bool:
        """Whether the whole problem is known to be convex."""
        return self.losses.convex and (self.ceilings is None or self.ceilings.losses.convex)

    def excess(self, weights_K: np.ndarray) -> float:
        """Return the nats by which the weights miss the worst ceiling, at least 0."""
        return 0.0 if self.ceilings is None else max(0.0, float(self.ceilings.excess(weights_K).max()))

    def _joined(self, losses: np.ndarray) -> np.ndarray:
        """Return the objective of losses whose last axis is J."""
        losses = losses - self.offsets_J
        return losses.max(axis=-1) if self.worst else losses @ self.importance_J

    def _pull(self, weights: np.ndarray) -> np.ndarray | float:
        return 0.0 if self.prior is None else self.prior.terms(weights).sum(axis=-1)
