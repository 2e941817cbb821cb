"""Linear constraints on the weights, from what the user says and from what the data hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.core.linear_constraint import LinearConstraint
from mixlaw.core.suggestions import suggest
from mixlaw.core.tokens import format_tokens, tokens_down, told_apart
from mixlaw.solve.feasibility import Limit, conflict
from mixlaw.solve.polytope import Polytope

_SLACK = 1e-9
"""By how much bounds may contradict each other: rounding. No data."""


@dataclass(frozen=True)
class Constraints:
    """What a mixture must meet.

    Attributes:
        minimum: domain -> smallest share.
        maximum: domain -> largest share.
        available: domain -> distinct training tokens there are, U_i.
        max_epochs: most passes over a domain: w_i N <= max_epochs U_i; None for no such cap.
        groups: further linear constraints, as values or as texts such as `code + math <= 0.5`.
        excluded: domains whose weight must be 0, because a prior has none of them.
    """

    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)
    max_epochs: float | None = None
    groups: Sequence[str | LinearConstraint] = ()
    excluded: tuple[str, ...] = ()

    def polytope(self, domains: tuple[str, ...], budget_tokens: float) -> Polytope:
        """Return the weights that meet all constraints.

        Raises:
            ConfigError: an unknown domain, a value out of its range, or a group that cannot be read.
            Infeasible: the constraints cannot be met together; names those of which none can be spared.
        """
        lower, upper = self.bounds(domains, budget_tokens)
        groups = [self._read(group, domains) for group in self.groups]
        if not groups:
            return Polytope(lower, upper)
        rows = [np.array([group.terms.get(domain, 0.0) for domain in domains]) for group in groups]
        limits = []
        for group, row in zip(groups, rows, strict=True):
            sign = -1.0 if group.sign == ">=" else 1.0
            limits.append(Limit(f"'{group}'", sign * row, sign * group.bound, group.sign == "=="))
        self._require_some_mixture([*limits, *self._edges(domains, lower, upper, budget_tokens)], budget_tokens)
        below, equal = ([limit for limit in limits if limit.equal is kind] for kind in (False, True))
        return Polytope(lower, upper, *_stacked(below), *_stacked(equal))

    def bounds(self, domains: tuple[str, ...], budget_tokens: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (K,) smallest and largest weights.

        Raises:
            ConfigError: an unknown domain, or a value out of its range.
            Infeasible: the bounds cannot be met together; names the domains that bind.
        """
        self.check(domains)
        lower = np.array([self.minimum.get(domain, 0.0) for domain in domains])
        upper = np.array([min(self._cap(d), self._supply(d) / budget_tokens, 1.0) for d in domains])
        crossed = [d for d, low, high in zip(domains, lower, upper, strict=True) if low > high + _SLACK]
        if crossed:
            name = crossed[0]
            low, high = _told_apart(self.minimum[name], upper[domains.index(name)])
            raise Infeasible(
                f"No mixture meets the bounds: '{name}' must have a share of at least {low}, but can have at "
                f"most {high} at {format_tokens(budget_tokens)} tokens{self._why(name, budget_tokens)}.",
                "Lower its minimum, or raise its maximum or its supply.",
                tuple(crossed),
            )
        if lower.sum() > 1 + _SLACK:
            raise self._floors_too_high(domains, lower)
        if upper.sum() < 1 - _SLACK:
            raise self._caps_too_low(domains, upper, budget_tokens)
        return np.minimum(lower, upper), upper

    @staticmethod
    def _read(group: str | LinearConstraint, domains: tuple[str, ...]) -> LinearConstraint:
        if isinstance(group, str):
            return LinearConstraint.parse(group, domains)
        if not isinstance(group, LinearConstraint):
            raise ConfigError(f"A group is {group!r}; it must be a text.", "Write it like code + math <= 0.5.")
        group.require(domains)
        return group

    def _edges(
        self, domains: tuple[str, ...], lower: np.ndarray, upper: np.ndarray, budget_tokens: float
    ) -> list[Limit]:
        """Return the bounds that say more than 0 <= w <= 1, as messages call them."""
        found = []
        for row, domain, low, high in zip(np.eye(len(domains)), domains, lower, upper, strict=True):
            if low > 0:
                found.append(Limit(f"the smallest share {low:.4g} of '{domain}'", -row, -low, domain=domain))
            if high < 1:
                name = f"the largest share {high:.4g} of '{domain}'{self._why(domain, budget_tokens)}"
                found.append(Limit(name, row, high, domain=domain))
        return found

    @staticmethod
    def _require_some_mixture(limits: list[Limit], budget_tokens: float) -> None:
        clash = conflict(limits)
        if not clash:
            return
        names = tuple(dict.fromkeys(limit.domain or limit.name.strip("'") for limit in clash))
        if len(clash) == 1:
            raise Infeasible(
                f"No mixture meets {clash[0].name}: shares lie between 0 and 1 and sum to 1.",
                "Change its limit.",
                names,
            )
        raise Infeasible(
            f"No mixture meets {_joined([limit.name for limit in clash])} together at "
            f"{format_tokens(budget_tokens)} tokens; without any one of them some mixture does.",
            "Loosen one of them.",
            names,
        )

    def _cap(self, domain: str) -> float:
        return 0.0 if domain in self.excluded else self.maximum.get(domain, 1.0)

    def _supply(self, domain: str) -> float:
        if self.max_epochs is None or domain not in self.available:
            return math.inf
        return self.max_epochs * self.available[domain]

    def _largest_budget(self, domains: tuple[str, ...]) -> float:
        """Return the largest N with sum_i min(maximum_i, supply_i / N) >= 1: share caps shrink with the budget."""
        held = np.array([self._cap(d) for d in domains])
        supplies = np.array([self._supply(d) for d in domains])
        if held.sum() < 1:
            return 0.0
        # As the budget grows, domains pass from their share cap to their supply cap in the order of supply / maximum.
        # The caps' sum is the least over all splits, so each split bounds N from above and the right one attains it.
        with np.errstate(divide="ignore", over="ignore"):  # a domain that may have nothing comes last
            order = np.argsort(supplies / np.maximum(held, 1e-300))
            room = 1 - (held.sum() - np.cumsum(held[order]))
            return float(np.where(room > 0, np.cumsum(supplies[order]) / np.maximum(room, 1e-300), np.inf).min())

    def _why(self, domain: str, budget_tokens: float) -> str:
        if domain in self.excluded:
            return " (the prior has none of it)"
        supply = self._supply(domain)
        if supply / budget_tokens >= self._cap(domain):
            return ""
        return f" ({format_tokens(self.available[domain])} available, at most {self.max_epochs:g} epochs)"

    def check(self, domains: tuple[str, ...]) -> None:
        """Raise ConfigError where a bound or a supply names no domain or is out of its range."""
        for what, given, top in (
            ("min", self.minimum, 1.0),
            ("max", self.maximum, 1.0),
            ("available", self.available, math.inf),
        ):
            for domain, value in given.items():
                if domain not in domains:
                    raise ConfigError(
                        f"{what}: there is no domain '{domain}'; {suggest(domain, domains)}.", "Correct the name."
                    )
                if not (math.isfinite(value) and 0 <= value <= top):
                    rule = "a share between 0 and 1" if top == 1 else "a number of tokens >= 0"
                    raise ConfigError(f"{what} of '{domain}' is {value}; it must be {rule}.", "Correct the value.")
        if self.max_epochs is not None and not (math.isfinite(self.max_epochs) and self.max_epochs > 0):
            raise ConfigError(f"max_epochs is {self.max_epochs}; it must be positive.", "Correct the value.")

    @staticmethod
    def _floors_too_high(domains: tuple[str, ...], lower: np.ndarray) -> Infeasible:
        binding = [domain for domain, low in zip(domains, lower, strict=True) if low > 0]
        total = _told_apart(float(lower.sum()), 1.0)[0]
        return Infeasible(
            f"No mixture meets the floors: the smallest shares of {_listed(binding)} sum to {total}; shares sum to 1.",
            "Lower some of them.",
            tuple(binding),
        )

    def _caps_too_low(self, domains: tuple[str, ...], upper: np.ndarray, budget_tokens: float) -> Infeasible:
        total = float(upper.sum())
        by_supply = [d for d in domains if self._supply(d) / budget_tokens < self._cap(d)]
        by_maximum = [d for d in domains if self._cap(d) < 1 and d not in by_supply]
        if by_supply:
            supplies = [f"'{d}' ({format_tokens(self.available[d])} available)" for d in by_supply]
            capped = f", and {_listed(by_maximum)} at their largest share," if by_maximum else ""
            verb = "bind" if len(by_supply) + len(by_maximum) > 1 else "binds"
            feasible = self._largest_budget(domains)
            hint = f"Lower the budget to {tokens_down(feasible)}" if feasible >= 1 else "Raise a maximum"
            if total == 0:
                hint = "Give some domain more available tokens"
            if not by_maximum and total > 0:
                hint += f", or raise max_epochs to {math.ceil(10 * self.max_epochs / total) / 10:.10g}"  # type: ignore[operator]
            budget, supply = told_apart(budget_tokens, total * budget_tokens)
            return Infeasible(
                f"No mixture meets the caps. At {budget} tokens and max_epochs={self.max_epochs:g} the domains supply "
                f"{supply}; "
                f"{_joined(supplies)}{capped} {verb}.",
                hint + ".",
                tuple(by_supply + by_maximum),
            )
        return Infeasible(
            f"No mixture meets the caps: with the largest shares of {_listed(by_maximum)}, all shares sum to at most "
            f"{_told_apart(total, 1.0)[0]}; they must sum to 1.",
            "Raise some of them.",
            tuple(by_maximum),
        )


def _stacked(limits: list[Limit]) -> tuple[np.ndarray, np.ndarray]:
    if not limits:
        return np.zeros((0, 0)), np.zeros(0)
    return np.stack([limit.row_K for limit in limits]), np.array([limit.value for limit in limits])


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Return two shares in four digits, or in as many as show that they differ."""
    found = next((d for d in range(4, 17) if f"{one:.{d}g}" != f"{other:.{d}g}"), 4)
    return f"{one:.{found}g}", f"{other:.{found}g}"


def _listed(names: list[str]) -> str:
    return _joined([f"'{name}'" for name in names])


def _joined(words: list[str]) -> str:
    if len(words) > 8:
        words = [*words[:7], f"{len(words) - 7} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
