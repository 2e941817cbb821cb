"""An exponential in the shares: each domain multiplies the reducible loss by its own factor.

    L = c + exp(sum_i t_i w_i)          w_i = N_i / N, sum_i w_i = 1

exp(t_i) is the reducible loss after training on domain i alone; the loss of a mixture lies between those, in geometric
proportion. The total N does not occur: two runs with the same shares and different totals have the same loss, so the
law fits studies whose runs share one budget, and misses whatever the budget does in others.

Source: Ye et al., "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance", 2024,
arXiv 2403.16952, Eq. 7, L = c + k exp(sum_i t_i w_i).
Differs: k is one of the exponents here. Because the shares sum to 1, k exp(sum_i t_i w_i) equals
exp(sum_i (t_i + log k) w_i), so k and a common shift of all t_i cannot be told apart; their sums, the t_i above, can.
A weak prior puts exp(t_i) between 0.05 and 20 nats, for domains that hardly vary between the runs.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import (
    AMOUNT_PRIOR,
    MixtureLaw,
    best_starts,
    by_tokens,
    exact_shares,
    join,
    robust_linear,
    scalars,
    vector,
)
from mixlaw.laws.base import Parameter

_FLOOR_FRACTIONS = 1 - np.geomspace(0.01, 1.0, 16)
"""Floors that are tried as starting points, as shares of the lowest loss. No data."""

_STEEPEST = 30.0
"""Bound of every t: far beyond any loss, so that exp cannot overflow. No data."""


class Exponential(MixtureLaw):
    """`L = c + exp(sum_i t_i w_i)` for any target, w being the shares of the tokens."""

    name = "exponential"

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("c", "nats", 0.0, np.inf, role="floor"),
            *(
                Parameter(f"t[{d}]", "log nats", -_STEEPEST, _STEEPEST, "linear", AMOUNT_PRIOR, source=d)
                for d in self.domains
            ),
        )

    def _reducible(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return np.exp((vector(theta_P, 1, len(self.domains)) * exact_shares(tokens_RK)).sum(axis=-1))

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        (c,) = scalars(theta_P, 0)
        return c + self._reducible(theta_P, tokens_RK)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 1 + K) derivatives by c and t."""
        reducible = self._reducible(theta_P, tokens_RK)[..., None]
        return join(np.ones_like(reducible), reducible * exact_shares(tokens_RK))

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens; along a ray from the origin they cancel."""
        by_shares = self._reducible(theta_P, tokens_RK)[..., None] * vector(theta_P, 1, len(self.domains))
        return by_tokens(by_shares, tokens_RK)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: an exponential of a linear function (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return False: more tokens of one domain lower the shares of the others."""
        return False

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters unchanged: shares have no unit."""
        return np.array(theta_P, dtype=np.float64)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over the floor c, with t by linear least squares on log(L - c) (see `Law.starts`).

        A residual of L is one of log(L - c) times L - c, hence the weights.
        """
        shares = exact_shares(tokens_RK)
        losses_R = np.asarray(losses_R, dtype=np.float64)

        def candidate(fraction: float) -> np.ndarray:
            c = fraction * float(losses_R.min())
            above = np.maximum(losses_R - c, 1e-12)
            t = robust_linear(shares, np.log(above), above**2, nonnegative=False)
            return np.concatenate([[c], t])

        return best_starts(self, map(candidate, _FLOOR_FRACTIONS), tokens_RK, losses_R, count)
