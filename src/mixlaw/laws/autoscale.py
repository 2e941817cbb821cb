"""A power law in own tokens, to which all other domains together add a constant number of equivalent own tokens.

    L = E + C (N_eq + N_j)^(-b)          N_j tokens of the target's domain

Only the own tokens matter; N_eq is what the target behaves as if it had seen besides, from the other domains and from
the base model alike, however many tokens the other domains have in the run at hand.

Source: Kang et al., "AutoScale: Scale-Aware Data Mixing for Pre-Training LLMs", 2024, arXiv 2407.20177, the loss as a
function of one domain's tokens, (N_0 + N_j)^(-b) + E.
Differs: the coefficient C, without which the law would hold in one unit of tokens only. The paper fits the total
validation loss while one domain's tokens are moved around one base mixture, a curve per domain, and only needs it near
that mixture; here it is the loss of the domain's own validation set in all runs. One millionth of the total is added
to the tokens, so that no tokens and no equivalents give a finite loss. Weak priors hold C, N_eq and b where a few
points on a curve determine fewer than four numbers.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import (
    AMOUNT_PRIOR,
    EXPONENT_BOUNDS,
    EXPONENT_PRIOR,
    EXPONENT_STARTS,
    FLOOR,
    MixtureLaw,
    as_tokens,
    best_starts,
    lattice,
    robust_lines,
    scalars,
)
from mixlaw.laws.base import Parameter

_E, _C, _N, _b = range(4)
_POINTS = 64
"""How many combinations of N_eq and b are tried as starting points. No data."""

_EQUIVALENT_PRIOR = (float(np.log(0.1)), 2.0)
"""Prior mean and standard deviation of log N_eq, in totals of a typical run: 0.002 to 5. No data."""

_EQUIVALENT_STARTS = (float(np.log(1e-3)), float(np.log(3.0)))
"""Logarithms of the smallest and largest N_eq of the candidates. No data."""


class Autoscale(MixtureLaw):
    """`L = E + C (N_eq + N_j)^-b` for the target that is the domain's own validation set."""

    name = "autoscale"
    needs_own_domain = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
            Parameter("C", "nats tokens^b", 0.0, np.inf, "log", AMOUNT_PRIOR, role="amplitude"),
            Parameter("N_eq", "tokens", 0.0, np.inf, "log", _EQUIVALENT_PRIOR),
            Parameter("b", "1", *EXPONENT_BOUNDS, "log", EXPONENT_PRIOR, role="exponent"),
        )

    def _effective(self, equivalent: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        tokens_RK, total = as_tokens(tokens_RK)
        return equivalent + tokens_RK[:, self._own] + FLOOR * total

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats (see `Law.predict`)."""
        E, C, equivalent, b = scalars(theta_P, _E, _C, _N, _b)
        return E + C * self._effective(equivalent, tokens_RK) ** -b

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 4) derivatives by E, C, N_eq, b."""
        _, C, equivalent, b = scalars(theta_P, _E, _C, _N, _b)
        D = self._effective(equivalent, tokens_RK)
        power = D**-b
        return np.stack([np.ones_like(power), power, -C * b * power / D, -C * power * np.log(D)], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens: nearly zero for the other domains."""
        _, C, equivalent, b = scalars(theta_P, _E, _C, _N, _b)
        by_D = -C * b * self._effective(equivalent, tokens_RK) ** (-b - 1)
        return by_D[..., None] * ((np.arange(len(self.domains)) == self._own) + FLOOR)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: a falling power of a linear function (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: no token does harm."""
        return True

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for another unit of tokens: C grows by factor^b, N_eq by the factor."""
        theta_P = np.array(theta_P, dtype=np.float64)
        theta_P[..., _C] *= factor ** theta_P[..., _b]
        theta_P[..., _N] *= factor
        return theta_P

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starts over N_eq and b, with E and C by linear least squares (see `Law.starts`)."""
        lowest, highest = zip(_EQUIVALENT_STARTS, EXPONENT_STARTS, strict=True)
        points_S2 = np.exp(lattice(lowest, highest, _POINTS))
        powers_SR = np.stack([self._effective(equivalent, tokens_RK) ** -b for equivalent, b in points_S2])
        candidates_S4 = np.concatenate([robust_lines(powers_SR, losses_R), points_S2], axis=1)
        return best_starts(self, candidates_S4, tokens_RK, losses_R, count)
