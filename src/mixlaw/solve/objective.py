"""The law `transfer` along the simplex, as K convex functions of one weight each.

    f_i(w) = g_i L_i(w N),   D_i = N w + k (N (1 - w))^alpha
    dD/dw  = N (1 - alpha k R^alpha / R),   d2D/dw2 = N^2 alpha (alpha - 1) k R^alpha / R^2,   R = N (1 - w)

Shape letters: K domains, B problems, S posterior draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.transfer import ONE_TOKEN


@dataclass(frozen=True)
class TransferObjective:
    """Weighted losses at one budget; `mixlaw.solve.allocation.SeparableObjective`.

    Attributes:
        theta_KSP: (K, S, 5) parameters, tokens in millions.
        importance_K: g_i; 0 for a domain whose loss is of no interest.
        budget: N, millions of tokens.
        average: whether the S parameter draws are averaged into one problem (B = 1) or are S problems (B = S).
    """

    theta_KSP: np.ndarray
    importance_K: np.ndarray
    budget: float
    average: bool

    def value(self, weights_KB: np.ndarray) -> np.ndarray:
        """Return f_i(w_i), (K, B)."""
        C, beta, E = (self.theta_KSP[..., p] for p in (0, 3, 4))
        D = self._effective(weights_KB)[0]
        return self._over_draws(C * np.exp(-beta * np.log(np.maximum(D, ONE_TOKEN))) + E)

    def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f_i' and f_i'', both (K, B)."""
        C, alpha, beta = (self.theta_KSP[..., p] for p in (0, 2, 3))
        D, R, worth = self._effective(weights_KB)
        bend = alpha * worth / R
        D_1 = self.budget * (1 - bend)
        fall = C * beta * np.exp((-beta - 1) * np.log(D))
        convex = (beta + 1) / D * D_1**2 + self.budget**2 * (1 - alpha) * bend / R
        return self._over_draws(-fall * D_1), self._over_draws(fall * convex)

    def _effective(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k, alpha = self.theta_KSP[..., 1], self.theta_KSP[..., 2]
        # Weights are not resolved beyond 1e-16, so neither are the other domains' tokens where one takes all.
        R = self.budget * np.maximum(1 - weights_KB, 1e-16)
        worth = k * np.exp(alpha * np.log(R))
        return self.budget * weights_KB + worth, R, worth

    def _over_draws(self, values_KS: np.ndarray) -> np.ndarray:
        if self.average:
            values_KS = values_KS.mean(axis=1, keepdims=True)
        return self.importance_K[:, None] * values_KS
