"""Losses that each depend on one weight alone, as K convex functions (`mixlaw.solve.allocation.SeparableObjective`).

    f_i(w) = g_i E[L_i(w N)] + s w log(w / p_i)

Shape letters: K domains, B problems, S posterior draws, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.base import Separable
from mixlaw.solve.prior import Prior


@dataclass(frozen=True)
class SeparableLosses:
    """Weighted losses at one budget.

    Attributes:
        law: of any target: what `along_own` says depends on the parameters alone.
        theta_KSP: (K, S, P) parameters, tokens in millions.
        importance_K: g_i; 0 for a domain whose loss is of no interest.
        budget: N, millions of tokens.
        average: whether the S parameter draws are averaged into one problem (B = 1) or are S problems (B = S).
        prior: the pull, or None.
    """

    law: Separable
    theta_KSP: np.ndarray
    importance_K: np.ndarray
    budget: float
    average: bool
    prior: Prior | None = None

    def value(self, weights_KB: np.ndarray) -> np.ndarray:
        """Return f_i(w_i), (K, B)."""
        value = self._over_draws(self.law.along_own(self.theta_KSP, weights_KB, self.budget)[0])
        return value if self.prior is None else value + self.prior.terms(weights_KB.T).T

    def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f_i' and f_i'', both (K, B)."""
        _, first, second = self.law.along_own(self.theta_KSP, weights_KB, self.budget)
        first, second = self._over_draws(first), self._over_draws(second)
        if self.prior is None:
            return first, second
        pull, stiffness = self.prior.slope(weights_KB.T)
        return first + pull.T, second + stiffness.T

    def _over_draws(self, values_KS: np.ndarray) -> np.ndarray:
        if self.average:
            values_KS = values_KS.mean(axis=1, keepdims=True)
        return self.importance_K[:, None] * values_KS
