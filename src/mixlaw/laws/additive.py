"""Mixture and budget act apart (`additive`), or the mixture also sets what the budget is worth (`additive_joint`).

    additive          L = E + 1 / sum_i C_i w_i^g + B D^(-b)                w_i = N_i / N, D = N all tokens
    additive_joint    L = E + 1 / sum_i C_i w_i^g + B(w) D^(-b)             B(w) = (sum_i w_i B_i^(1/p))^p

Under the first the best mixture is the same at every budget; under the second it moves. B_i is the coefficient of the
token term after training on domain i alone, and B(w) is a power mean of them.

Source: Shukor et al., "Scaling Laws for Optimal Data Mixtures", 2025, arXiv 2507.09404, the additive and joint laws.
Differs: no term in the model's size, since a study fine-tunes one model. One exponent g for all domains instead of one
each: a study has tens of runs, not hundreds. The joint law's coefficient, the power p of a weighted sum there, is
written as a power mean here, so that the weights in the sum have the unit and the meaning of B; the set of functions
is the same for p > 0. Shares are raised by one millionth, so that a domain without tokens has finite slopes. Weak
priors hold B and b where all runs have one total, and C, g, p where the runs cannot tell their terms from E.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    join,
    lattice,
    raised_shares,
    robust_linear,
    scalars,
    vector,
)
from mixlaw.laws.base import Parameter

_POINTS = 96
"""How many combinations of four numbers are tried as starting points. No data."""

_BOX = ([0.0, 0.0, np.log(0.05), EXPONENT_STARTS[0]], [0.95, 0.9, np.log(2.0), EXPONENT_STARTS[1]])
"""Ranges of these candidates: floor over the lowest loss, the token term's part of the rest, log g, log b. No data."""

_TINY = 1e-300
"""Keeps the base of a power above 0. No data."""

_MEAN_PRIOR = (0.0, 0.5)
"""Prior mean and standard deviation of log p: near the plain mean, p = 1. No data."""

_B_UNIT = "nats tokens^b"


class Additive(MixtureLaw):
    """`L = E + 1 / sum_i C_i w_i^g + B D^-b` for any target."""

    name = "additive"

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
            *(
                Parameter(f"C[{domain}]", "1 / nats", 1e-6, 1e6, "log", (0.0, 2.0), source=domain)
                for domain in self.domains
            ),
            Parameter("g", "1", 1e-2, 5.0, "log", (float(np.log(0.5)), 1.0)),
            *self._coefficients(),
            Parameter("b", "1", *EXPONENT_BOUNDS, "log", EXPONENT_PRIOR, role="exponent"),
        )

    def _coefficients(self) -> tuple[Parameter, ...]:
        return (Parameter("B", _B_UNIT, 0.0, np.inf, "log", AMOUNT_PRIOR, role="amplitude"),)

    def _coefficient(self, theta_P: np.ndarray, shares_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return B (..., R), its derivatives by its parameters (..., R, any) and by the shares (..., R, K)."""
        (B,) = scalars(theta_P, len(self.domains) + 2)
        return B, np.ones((1, 1)), np.zeros((1, len(self.domains)))

    def _mixture(self, theta_P: np.ndarray, shares_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return w_i^g, C_i w_i^g, both (..., R, K), and 1 / sum_i C_i w_i^g, (..., R)."""
        g = vector(theta_P, len(self.domains) + 1, 1)
        powers = shares_RK**g
        terms = vector(theta_P, 1, len(self.domains)) * powers
        return powers, terms, 1 / terms.sum(axis=-1)

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        E, b = scalars(theta_P, 0, -1)
        shares, total = raised_shares(tokens_RK), as_tokens(tokens_RK)[1]
        return E + self._mixture(theta_P, shares)[2] + self._coefficient(theta_P, shares)[0] * total**-b

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives by the parameters in their order."""
        (b,) = scalars(theta_P, -1)
        shares, total = raised_shares(tokens_RK), as_tokens(tokens_RK)[1]
        powers, terms, term = self._mixture(theta_P, shares)
        B, by_parameters, _ = self._coefficient(theta_P, shares)
        square, power = term[..., None] ** 2, (total**-b)[..., None]
        return join(
            np.ones_like(power),
            -square * powers,
            -square * (terms * np.log(shares)).sum(axis=-1, keepdims=True),
            power * by_parameters,
            -B[..., None] * power * np.log(total)[:, None],
        )

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens."""
        g, b = scalars(theta_P, len(self.domains) + 1, -1)
        shares, total = raised_shares(tokens_RK), as_tokens(tokens_RK)[1]
        _, terms, term = self._mixture(theta_P, shares)
        B, _, coefficient_by_shares = self._coefficient(theta_P, shares)
        power = total**-b
        by_shares = (-(term**2) * g)[..., None] * terms / shares + power[..., None] * coefficient_by_shares
        return by_tokens(by_shares, tokens_RK) - (b * B * power / total)[..., None]

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return whether sum_i C_i w_i^g is concave: then its inverse is convex (see `mixlaw.laws.base.Convex`)."""
        return bool(np.all(theta_SP[:, len(self.domains) + 1] <= 1))

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return False: more tokens of one domain lower the shares of the others."""
        return False

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for another unit of tokens: every B grows by factor^b."""
        theta_P = np.array(theta_P, dtype=np.float64)
        for p, parameter in enumerate(self.parameters):
            if parameter.role == "amplitude":
                theta_P[..., p] *= factor ** theta_P[..., -1]
        return theta_P

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over g, b and the sizes of the terms, with C, E and B by linear least squares."""
        return best_starts(self, self._candidates(tokens_RK, losses_R), tokens_RK, losses_R, count)

    def _candidates(self, tokens_RK: np.ndarray, losses_R: np.ndarray) -> Iterator[np.ndarray]:
        """Yield E, C_i, g, B, b. First C_i from 1 / (L - E - B D^-b), weighted as L is; then E, B and C's scale."""
        shares, total = raised_shares(tokens_RK), as_tokens(tokens_RK)[1]
        losses = np.asarray(losses_R, dtype=np.float64)
        for point in lattice(*_BOX, _POINTS):
            g, b = np.exp(point[2:])
            powers, decay = shares**g, total**-b
            rest = losses - point[0] * losses.min()
            rest = np.maximum(rest - point[1] * (rest / decay).min() * decay, 1e-3 * losses.max())
            C = robust_linear(powers, 1 / rest, rest**4)
            C = np.maximum(C, max(1e-3 * C.max(), 1e-6))
            term = 1 / (powers @ C)
            E, B, scale = robust_linear(np.stack([np.ones_like(term), decay, term], axis=1), losses)
            yield np.concatenate([[E], C / max(scale, 1e-3), [g, B, b]])


class AdditiveJoint(Additive):
    """`L = E + 1 / sum_i C_i w_i^g + B(w) D^-b` for any target, with a coefficient per domain."""

    name = "additive_joint"

    def _coefficients(self) -> tuple[Parameter, ...]:
        amplitude = (_B_UNIT, 0.0, np.inf, "log", AMOUNT_PRIOR)
        return (
            *(Parameter(f"B[{d}]", *amplitude, source=d, role="amplitude") for d in self.domains),
            Parameter("p", "1", 0.1, 10.0, "log", _MEAN_PRIOR),
        )

    def _coefficient(self, theta_P: np.ndarray, shares_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        K = len(self.domains)
        B_K, p = np.maximum(vector(theta_P, K + 2, K), _TINY), vector(theta_P, 2 * K + 2, 1)
        # Relative to the largest, B_i^(1/p) cannot overflow, and the raised shares keep the sum above FLOOR.
        top = B_K.max(axis=-1, keepdims=True)
        ratios = np.log(B_K / top)
        powers = np.exp(ratios / p)
        total = (shares_RK * powers).sum(axis=-1, keepdims=True)
        B = top * total**p
        parts = shares_RK * powers / total
        by_p = B * (np.log(total) - (parts * ratios).sum(axis=-1, keepdims=True) / p)
        return B[..., 0], join(B * parts / B_K, by_p), B * p * powers / total

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return whether both terms are: the power mean B(w) is a power of a linear function, convex for p >= 1."""
        return super().convex(theta_SP) and bool(np.all(theta_SP[:, 2 * len(self.domains) + 2] >= 1))

    def _candidates(self, tokens_RK: np.ndarray, losses_R: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the additive law's starts with one B for all domains, and with one each for p = 1."""
        K = len(self.domains)
        shares, total = raised_shares(tokens_RK), as_tokens(tokens_RK)[1]
        for start in super()._candidates(tokens_RK, losses_R):
            E, C, g, B, b = start[0], start[1 : K + 1], start[K + 1], start[K + 2], start[K + 3]
            yield np.concatenate([start[: K + 2], np.repeat(B, K), [1.0, b]])
            left = np.maximum(losses_R - E - 1 / (shares**g @ C), 0.0)
            B_K = robust_linear(shares * (total**-b)[:, None], left)
            yield np.concatenate([start[: K + 2], np.maximum(B_K, 1e-2 * B_K.max()), [1.0, b]])
