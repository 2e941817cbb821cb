"""The rectified power law of fine-tuning: a loss that hardly falls until there are enough tokens.

    L = E + B / (D_t + D^b)          D = sum_i N_i

A base model has seen data like the target's already: as long as D^b is small against D_t, what it knows counts for more
than what it is shown. Beyond, the loss is a power law in D. No mixture matters: the law is for one domain, or for how
far the budget alone goes.

Source: Lin et al. 2024, "Selecting Large Language Model to Fine-tune via Rectified Scaling Law", arXiv 2402.02314:
L(D) = B / (D_l + D^beta) + E.
Differs: weak priors on B, D_t and b, which hold what a curve that has not turned yet leaves open; D_t is the paper's
D_l, b its beta.
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
    lattice,
    robust_lines,
    scalars,
)
from mixlaw.laws.base import Parameter

_E, _B, _D, _b = range(4)
_POINTS = 64
"""How many combinations of D_t and b are tried as starting points. No data."""

_KNOWN_PRIOR = (0.0, 2.0)
"""Prior mean and standard deviation of log D_t, in (tokens of a typical run)^b: .02 to 50. No data."""

_KNOWN_STARTS = (-4.0, 4.0)
"""Smallest and largest log D_t of the candidates. No data."""

_FEW = 1e-9
"""Smallest token count for which a slope is computed, in units of a typical run. For safety. No data."""


class Rectified(MixtureLaw):
    """`L = E + B / (D_t + D^b)` for any target, D being all tokens."""

    name = "rectified"
    knows_base = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
            Parameter("B", "nats tokens^b", 0.0, np.inf, "log", AMOUNT_PRIOR, role="amplitude"),
            Parameter("D_t", "tokens^b", 0.0, np.inf, "log", _KNOWN_PRIOR),
            Parameter("b", "1", *EXPONENT_BOUNDS, "log", EXPONENT_PRIOR, role="exponent"),
        )

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        E, B, D_t, b = scalars(theta_P, _E, _B, _D, _b)
        return E + B / (D_t + as_tokens(tokens_RK)[1] ** b)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 4) derivatives by E, B, D_t, b."""
        _, B, D_t, b = scalars(theta_P, _E, _B, _D, _b)
        total = as_tokens(tokens_RK)[1]
        power = total**b
        below = D_t + power
        by_D = -B / below**2
        by_b = by_D * power * np.log(np.where(total > 0, total, 1.0))
        return np.stack([np.ones_like(below), 1 / below, by_D, by_b], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens, the same for every domain."""
        _, B, D_t, b = scalars(theta_P, _E, _B, _D, _b)
        tokens_RK, total = as_tokens(tokens_RK)
        total = np.maximum(total, _FEW)
        slope = -B / (D_t + total**b) ** 2 * b * total ** (b - 1)
        return slope[..., None] * np.ones_like(tokens_RK)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: the mixture does not matter (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: no token does harm."""
        return True

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for another unit of tokens: B and D_t grow by factor^b."""
        theta_P = np.array(theta_P, dtype=np.float64)
        theta_P[..., [_B, _D]] *= factor ** theta_P[..., _b, None]
        return theta_P

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over D_t and b, with E and B by linear least squares (see `Law.starts`)."""
        total = as_tokens(tokens_RK)[1]

        lower, upper = zip(_KNOWN_STARTS, EXPONENT_STARTS, strict=True)
        points_S2 = np.exp(lattice(lower, upper, _POINTS))
        lines_S2 = robust_lines(1 / (points_S2[:, :1] + total ** points_S2[:, 1:]), losses_R)
        return best_starts(self, np.concatenate([lines_S2, points_S2], axis=1), tokens_RK, losses_R, count)
