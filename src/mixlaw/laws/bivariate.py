"""A power of the target's own share times a power law in all tokens.

    L = w_j^(-a) (B S^(-b) + C)          w_j = N_j / N of the target's domain, S = N all tokens

More of the own domain lowers the whole loss by a factor, floor included, whatever the other domains are.

Source: Ge et al., "BiMix: A Bivariate Data Mixing Law for Language Model Pretraining", 2024, arXiv 2405.14908, the
bivariate law L = A / w_j^a (B / S^b + C).
Differs: A = 1, because A only multiplies B and C and no run could tell the three apart. The share is raised by one
millionth, so that a run without the own domain has a finite loss. Weak priors on a, B and b hold them where the runs
vary neither the own share nor the total.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import (
    AMOUNT_PRIOR,
    EXPONENT_BOUNDS,
    EXPONENT_PRIOR,
    EXPONENT_STARTS,
    MixtureLaw,
    as_tokens,
    best_starts,
    by_tokens,
    lattice,
    raised_shares,
    robust_linear,
    scalars,
)
from mixlaw.laws.base import Parameter

_a, _B, _b, _C = range(4)
_POINTS = 64
"""How many combinations of two numbers are tried as starting points. No data."""


class Bivariate(MixtureLaw):
    """`L = w_j^-a (B S^-b + C)` for the target that is the domain's own validation set."""

    name = "bivariate"
    needs_own_domain = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("a", "1", 0.0, 5.0, "linear", (0.1, 0.5)),
            Parameter("B", "nats tokens^b", 0.0, np.inf, "log", AMOUNT_PRIOR, role="amplitude"),
            Parameter("b", "1", *EXPONENT_BOUNDS, "log", EXPONENT_PRIOR, role="exponent"),
            Parameter("C", "nats", 0.0, np.inf),
        )

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        a, B, b, C = scalars(theta_P, _a, _B, _b, _C)
        own = raised_shares(tokens_RK)[:, self._own]
        return own**-a * (B * as_tokens(tokens_RK)[1] ** -b + C)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 4) derivatives by a, B, b, C."""
        a, B, b, _ = scalars(theta_P, _a, _B, _b, _C)
        own, total = raised_shares(tokens_RK)[:, self._own], as_tokens(tokens_RK)[1]
        by_C = own**-a
        by_B = by_C * total**-b
        by_a = -np.log(own) * self.predict(theta_P, tokens_RK)
        return np.stack([by_a, by_B, -B * by_B * np.log(total), by_C], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens."""
        a, B, b, _ = scalars(theta_P, _a, _B, _b, _C)
        tokens_RK, total = as_tokens(tokens_RK)
        own = raised_shares(tokens_RK)[:, self._own]
        by_own = -a * self.predict(theta_P, tokens_RK) / own
        by_shares = by_own[..., None] * (np.arange(len(self.domains)) == self._own)
        by_total = -b * B * own**-a * total ** (-b - 1)
        return by_tokens(by_shares, tokens_RK) + by_total[..., None]

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: a falling power of one weight (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return False: more tokens of another domain lower the own share."""
        return False

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for another unit of tokens: B grows by factor^b."""
        theta_P = np.array(theta_P, dtype=np.float64)
        theta_P[..., _B] *= factor ** theta_P[..., _b]
        return theta_P

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over a and b, with B and C by linear least squares (see `Law.starts`)."""
        own, total = raised_shares(tokens_RK)[:, self._own], as_tokens(tokens_RK)[1]

        def candidate(point: np.ndarray) -> np.ndarray:
            a, b = point[0], float(np.exp(point[1]))
            factor = own**-a
            B, C = robust_linear(np.stack([factor * total**-b, factor], axis=1), losses_R)
            return np.array([a, B, b, C])

        points = lattice([0.0, EXPONENT_STARTS[0]], [0.6, EXPONENT_STARTS[1]], _POINTS)
        return best_starts(self, map(candidate, points), tokens_RK, losses_R, count)
