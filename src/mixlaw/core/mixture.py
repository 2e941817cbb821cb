"""Weights with a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mixlaw.core.errors import ConfigError


@dataclass(frozen=True)
class Mixture:
    """Shares of a budget in training tokens: `tokens[i] = w_i N`.

    Attributes:
        weights: domain -> share w_i >= 0, sum 1 (to 1e-6).
        budget_tokens: N, training tokens.

    Raises:
        ConfigError: a weight is negative or not finite, the weights do not sum to 1, or the budget is not positive.
    """

    weights: Mapping[str, float]
    budget_tokens: int

    def __post_init__(self) -> None:
        bad = {name: w for name, w in self.weights.items() if not (math.isfinite(w) and w >= 0)}
        if bad:
            raise ConfigError(f"Weights must be finite and not negative; got {bad}.", "Correct these weights.")
        total = math.fsum(self.weights.values())
        if abs(total - 1) > 1e-6:
            raise ConfigError(
                f"The weights sum to {total:.6g}; they are shares of the budget and must sum to 1.",
                "Divide each weight by the sum.",
            )
        if not self.budget_tokens > 0:
            raise ConfigError(f"The budget is {self.budget_tokens} tokens; it must be positive.", "Raise it.")

    @property
    def tokens(self) -> dict[str, int]:
        """Whole tokens of each domain; they sum to the budget (largest remainders take the odd ones)."""
        exact = {name: w * self.budget_tokens for name, w in self.weights.items()}
        tokens = {name: math.floor(value) for name, value in exact.items()}
        left = self.budget_tokens - sum(tokens.values())
        by_remainder = sorted(exact, key=lambda name: (tokens[name] - exact[name], name))
        for name in by_remainder[: max(left, 0)]:
            tokens[name] += 1
        return tokens

    @staticmethod
    def equal(domains: list[str], budget_tokens: int) -> Mixture:
        """Return the mixture with the same number of tokens of every domain."""
        return Mixture({name: 1 / len(domains) for name in domains}, budget_tokens)

    @staticmethod
    def natural(available_tokens: Mapping[str, float], budget_tokens: int) -> Mixture:
        """Return the mixture with shares proportional to the available tokens."""
        total = math.fsum(available_tokens.values())
        return Mixture({name: u / total for name, u in available_tokens.items()}, budget_tokens)
