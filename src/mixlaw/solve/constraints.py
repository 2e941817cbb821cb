"""Bounds on the weights, from what the user says and from what the data hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.core.tokens import format_tokens

_SLACK = 1e-9


@dataclass(frozen=True)
class Constraints:
    """What a mixture must meet.

    Attributes:
        minimum: domain -> smallest share.
        maximum: domain -> largest share.
        available: domain -> distinct training tokens there are, U_i.
        max_epochs: most passes over a domain: w_i N <= max_epochs U_i; None for no such cap.
    """

    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)
    max_epochs: float | None = None

    def bounds(self, domains: tuple[str, ...], budget_tokens: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (K,) smallest and largest weights.

        Raises:
            ConfigError: an unknown domain, or a value out of its range.
            Infeasible: the bounds cannot be met together; names the domains that bind.
        """
        self._check(domains)
        lower = np.array([self.minimum.get(domain, 0.0) for domain in domains])
        upper = np.array([min(self.maximum.get(d, 1.0), self._supply(d) / budget_tokens, 1.0) for d in domains])
        crossed = [d for d, low, high in zip(domains, lower, upper, strict=True) if low > high + _SLACK]
        if crossed:
            name = crossed[0]
            low, high = self.minimum[name], upper[domains.index(name)]
            raise Infeasible(
                f"No mixture meets the bounds: '{name}' must have a share of at least {low:.4g}, and can have at most "
                f"{high:.4g} at {format_tokens(budget_tokens)} tokens{self._why(name, budget_tokens)}.",
                "Lower its minimum, or raise its maximum or its supply.",
                tuple(crossed),
            )
        if lower.sum() > 1 + _SLACK:
            raise self._floors_too_high(domains, lower)
        if upper.sum() < 1 - _SLACK:
            raise self._caps_too_low(domains, upper, budget_tokens)
        return np.minimum(lower, upper), upper

    def _supply(self, domain: str) -> float:
        if self.max_epochs is None or domain not in self.available:
            return math.inf
        return self.max_epochs * self.available[domain]

    def _largest_budget(self, domains: tuple[str, ...]) -> float:
        """Return the largest N with sum_i min(maximum_i, supply_i / N) >= 1: share caps shrink with the budget."""
        held = np.array([self.maximum.get(d, 1.0) for d in domains])
        supplies = np.array([self._supply(d) for d in domains])
        if held.sum() < 1:
            return 0.0
        # As the budget grows, domains pass from their share cap to their supply cap in the order of supply / maximum.
        # The caps' sum is the least over all splits, so each split bounds N from above and the right one attains it.
        order = np.argsort(supplies / np.maximum(held, 1e-300))
        room = 1 - (held.sum() - np.cumsum(held[order]))
        with np.errstate(divide="ignore"):
            return float(np.where(room > 0, np.cumsum(supplies[order]) / np.maximum(room, 1e-300), np.inf).min())

    def _why(self, domain: str, budget_tokens: float) -> str:
        supply = self._supply(domain)
        if supply / budget_tokens >= self.maximum.get(domain, 1.0):
            return ""
        return f" ({format_tokens(self.available[domain])} available, at most {self.max_epochs:g} epochs)"

    def _check(self, domains: tuple[str, ...]) -> None:
        for what, given, top in (
            ("minimum", self.minimum, 1.0),
            ("maximum", self.maximum, 1.0),
            ("available", self.available, math.inf),
        ):
            for domain, value in given.items():
                if domain not in domains:
                    raise ConfigError(
                        f"{what}: there is no domain '{domain}'; there are {', '.join(map(repr, domains))}.",
                        "Mend the name.",
                    )
                if not (math.isfinite(value) and 0 <= value <= top):
                    rule = "a share between 0 and 1" if top == 1 else "a number of tokens >= 0"
                    raise ConfigError(f"{what} of '{domain}' is {value}; it must be {rule}.", "Mend the value.")
        if self.max_epochs is not None and not (math.isfinite(self.max_epochs) and self.max_epochs > 0):
            raise ConfigError(f"max_epochs is {self.max_epochs}; it must be positive.", "Mend the value.")

    @staticmethod
    def _floors_too_high(domains: tuple[str, ...], lower: np.ndarray) -> Infeasible:
        binding = [domain for domain, low in zip(domains, lower, strict=True) if low > 0]
        return Infeasible(
            f"No mixture meets the floors: the smallest shares of {_listed(binding)} sum to {lower.sum():.4g}; "
            "shares sum to 1.",
            "Lower some of them.",
            tuple(binding),
        )

    def _caps_too_low(self, domains: tuple[str, ...], upper: np.ndarray, budget_tokens: float) -> Infeasible:
        total = float(upper.sum())
        by_supply = [d for d in domains if self._supply(d) / budget_tokens < self.maximum.get(d, 1.0)]
        by_maximum = [d for d in domains if d in self.maximum and d not in by_supply]
        if by_supply:
            supplies = [f"'{d}' ({format_tokens(self.available[d])} available)" for d in by_supply]
            capped = f", and {_listed(by_maximum)} at their largest share," if by_maximum else ""
            verb = "bind" if len(by_supply) + len(by_maximum) > 1 else "binds"
            feasible = self._largest_budget(domains)
            hint = f"Lower the budget to {format_tokens(math.floor(feasible))}" if feasible >= 1 else "Raise a maximum"
            if not by_maximum:
                hint += f", or raise max_epochs to {math.ceil(10 * self.max_epochs / total) / 10:g}"  # type: ignore[operator]
            return Infeasible(
                f"No mixture meets the caps. At {format_tokens(budget_tokens)} tokens and max_epochs="
                f"{self.max_epochs:g} the domains supply {format_tokens(total * budget_tokens)}; "
                f"{_joined(supplies)}{capped} {verb}.",
                hint + ".",
                tuple(by_supply + by_maximum),
            )
        return Infeasible(
            f"No mixture meets the caps: with the largest shares of {_listed(by_maximum)}, all shares sum to at most "
            f"{total:.4g}; they must sum to 1.",
            "Raise some of them.",
            tuple(by_maximum),
        )


def _listed(names: list[str]) -> str:
    return _joined([f"'{name}'" for name in names])


def _joined(words: list[str]) -> str:
    if len(words) > 8:
        words = [*words[:7], f"{len(words) - 7} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
