"""The law `transfer` along the simplex, as K convex functions of one weight each.

    f_i(w) = g_i L_i(w N),   D_i = N (w + raised) + k R^alpha,   R = N (1 - w + raised)
    dD/dw  = N (1 - alpha k R^alpha / R),   d2D/dw2 = N^2 alpha (alpha - 1) k R^alpha / R^2

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
        raised: the share of the mixture by which the law raises tokens; 0 for the equation as printed.
    """

    theta_KSP: np.ndarray
    importance_K: np.ndarray
    budget: float
    average: bool
    raised: float = 0.0

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
        R = self.budget * (np.maximum(1 - weights_KB, 1e-16) + self.raised)
        worth = k * np.exp(alpha * np.log(R))
        return self.budget * (weights_KB + self.raised) + worth, R, worth

    def _over_draws(self, values_KS: np.ndarray) -> np.ndarray:
        if self.average:
            values_KS = values_KS.mean(axis=1, keepdims=True)
        return self.importance_K[:, None] * values_KS


@dataclass(frozen=True)
class Prior:
    """A pull towards a mixture: `strength KL(w || share) = strength sum_i w_i log(w_i / share_i)`.

    Domains without a share have no term: the caller keeps their weights at 0.

    Attributes:
        share_K: the mixture, sum 1.
        strength: nats.
    """

    share_K: np.ndarray
    strength: float

    def terms(self, weights: np.ndarray) -> np.ndarray:
        """Return the terms of the sum, (..., K)."""
        ratio = np.where(self._some(weights), weights, 1.0) / np.where(self.share_K > 0, self.share_K, 1.0)
        return self.strength * np.where(self._some(weights), weights * np.log(ratio), 0.0)

    def slope(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivatives of the terms, both (..., K); a weight of 0 counts as 1e-16."""
        held = np.maximum(weights, 1e-16)
        first = self.strength * (np.log(held / np.where(self.share_K > 0, self.share_K, 1.0)) + 1)
        return np.where(self.share_K > 0, first, 0.0), np.where(self.share_K > 0, self.strength / held, 0.0)

    def _some(self, weights: np.ndarray) -> np.ndarray:
        return (weights > 0) & (self.share_K > 0)


@dataclass(frozen=True)
class PulledObjective:
    """`TransferObjective` with a pull towards a prior, which is separate and convex too.

    Attributes:
        losses: without the pull.
        prior: the pull.
    """

    losses: TransferObjective
    prior: Prior

    def value(self, weights_KB: np.ndarray) -> np.ndarray:
        """Return f_i(w_i), (K, B)."""
        return self.losses.value(weights_KB) + self.prior.terms(weights_KB.T).T

    def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f_i' and f_i'', both (K, B)."""
        first, second = self.losses.slope(weights_KB)
        pull, stiffness = self.prior.slope(weights_KB.T)
        return first + pull.T, second + stiffness.T
