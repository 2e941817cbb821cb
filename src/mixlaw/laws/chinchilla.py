"""A power law in all tokens, whatever the mixture: tells how much of a law's skill is the budget alone.

    L = E + B D^(-b)          D = sum_i N_i

Source: Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, arXiv 2203.15556, Eq. 2.
Differs: the term in the model's size is left out, since a study fine-tunes one model. Where all runs have the same
total only E + B is determined; weak priors on B and b then keep the other two directions finite.
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

_E, _B, _b = range(3)
_POINTS = 24
"""How many exponents are tried as starting points. No data."""


class Chinchilla(MixtureLaw):
    """`L = E + B D^-b` for any target, D being all tokens."""

    name = "chinchilla"

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
            Parameter("B", "nats tokens^b", 0.0, np.inf, "log", AMOUNT_PRIOR, role="amplitude"),
            Parameter("b", "1", *EXPONENT_BOUNDS, "log", EXPONENT_PRIOR, role="exponent"),
        )

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        E, B, b = scalars(theta_P, _E, _B, _b)
        return E + B * as_tokens(tokens_RK)[1] ** -b

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 3) derivatives by E, B, b."""
        _, B, b = scalars(theta_P, _E, _B, _b)
        total = as_tokens(tokens_RK)[1]
        power = total**-b
        return np.stack([np.ones_like(power), power, -B * power * np.log(total)], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens, the same for every domain."""
        _, B, b = scalars(theta_P, _E, _B, _b)
        tokens_RK, total = as_tokens(tokens_RK)
        return (-B * b * total ** (-b - 1))[..., None] * np.ones_like(tokens_RK)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: the mixture does not matter (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: no token does harm."""
        return True

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for another unit of tokens: B grows by factor^b."""
        theta_P = np.array(theta_P, dtype=np.float64)
        theta_P[..., _B] *= factor ** theta_P[..., _b]
        return theta_P

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over b, with E and B by linear least squares (see `Law.starts`)."""
        total = as_tokens(tokens_RK)[1]

        exponents_S = np.exp(lattice(EXPONENT_STARTS[:1], EXPONENT_STARTS[1:], _POINTS)[:, 0])
        lines_S2 = robust_lines(total ** -exponents_S[:, None], losses_R)
        return best_starts(self, np.column_stack([lines_S2, exponents_S]), tokens_RK, losses_R, count)
