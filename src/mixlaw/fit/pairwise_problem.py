"""The law `pairwise` for one target as an estimation problem: coordinates, losses, derivatives.

    z = (log C, log n0, a, log beta, E, log t_i, e_i, h_i, gamma)   i over the domains other than the target's own

with tokens in units of a typical run's total. h is left out of z where interference is switched off, and gamma, the
exponent of the model's size, where all runs are of one size:

    L = (L_1 - E) (P / P_1)^-gamma + E                  P parameters; L_1 the law at the largest size, P_1

Source: the product of powers of size and tokens is Zhang, Liu, Cherry, Firat 2024, arXiv 2402.17193, Eq. 1.

Shape letters: R runs, M other domains, P coordinates, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.fit.flat import Flat
from mixlaw.laws.pairwise import A_RANGE, CURVE, Pairwise

LOG_C, LOG_N0, A, LOG_BETA, E = range(len(CURVE))
GAMMA = -1
"""Place of gamma in z, where it has one."""

FIRST = len(CURVE)
_NONE = -1e4
"""Stands for the logarithm of no tokens: whatever it is multiplied by, its exponential is 0."""


@dataclass(frozen=True)
class PairwiseProblem:
    """One target's runs.

    Attributes:
        own_R: log tokens of the target's own domain, in units; `_NONE` where there are none or no such domain.
        others_RM: tokens of the other domains, in units.
        log_others_RM: their logarithms.
        losses_R: nats.
        interference: whether z has h.
        log_sizes_R: logarithm of each model's size over the largest; None where z has no gamma.
    """

    own_R: np.ndarray
    others_RM: np.ndarray
    log_others_RM: np.ndarray
    losses_R: np.ndarray
    interference: bool
    log_sizes_R: np.ndarray | None = None

    @staticmethod
    def of(
        law: Pairwise,
        tokens_RK: np.ndarray,
        losses_R: np.ndarray,
        interference: bool,
        log_sizes_R: np.ndarray | None = None,
    ) -> PairwiseProblem:
        """Return the problem of one target; tokens in units of a typical run's total."""
        log_tokens = np.where(tokens_RK > 0, np.log(np.maximum(tokens_RK, 1e-300)), _NONE)
        own = law.own
        others = [i for i in range(tokens_RK.shape[1]) if i != own]
        own_R = np.full(len(tokens_RK), _NONE) if own is None else log_tokens[:, own]
        return PairwiseProblem(own_R, tokens_RK[:, others], log_tokens[:, others], losses_R, interference, log_sizes_R)

    @property
    def sources(self) -> int:
        """M."""
        return self.others_RM.shape[1]

    @property
    def size(self) -> int:
        """P."""
        return FIRST + self.sources * (3 if self.interference else 2) + (self.log_sizes_R is not None)

    def part(self, name: str) -> slice:
        """Return where `t`, `e` or `h` lie in z."""
        place = "teh".index(name)
        return slice(FIRST + place * self.sources, FIRST + (place + 1) * self.sources)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (P,) lower and upper bounds of z."""
        lower, upper = np.full(self.size, -1.0), np.full(self.size, 1.0)
        top = float(np.abs(self.losses_R).max()) + 1e-12
        lower[:FIRST] = np.log(top) - 30, -14.0, A_RANGE[0], np.log(1e-3), 0.0
        upper[:FIRST] = np.log(top) + 10, 4.0, A_RANGE[1], np.log(5.0), max(float(self.losses_R.min()), 0.0)
        # wide enough for the prior to hold them: a coefficient at a bound would have no variance
        lower[self.part("t")], upper[self.part("t")] = -60.0, 30.0
        if self.log_sizes_R is not None:
            lower[GAMMA], upper[GAMMA] = -2.0, 5.0
        return lower, upper

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses."""
        a = z_SP[:, A, None]
        with np.errstate(over="ignore"):
            source = z_SP[:, None, self.part("t")] + self.log_others_RM * (a[..., None] + z_SP[:, None, self.part("e")])
            Q = np.exp(a * z_SP[:, LOG_N0, None]) + np.exp(a * self.own_R) + np.exp(source).sum(-1)
            log_D = np.log(Q) / a
            log_reducible = z_SP[:, LOG_C, None] - np.exp(z_SP[:, LOG_BETA, None]) * log_D
            if self.interference:
                odds = self.others_RM * np.exp(-log_D)[..., None]
                log_reducible = log_reducible + (np.log1p(odds) * z_SP[:, None, self.part("h")]).sum(-1)
            if self.log_sizes_R is not None:
                log_reducible = log_reducible - z_SP[:, GAMMA, None] * self.log_sizes_R
            return np.exp(log_reducible) + z_SP[:, E, None]

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by z."""
        a, beta = z_P[A], np.exp(z_P[LOG_BETA])
        with np.errstate(over="ignore"):
            own, known = np.exp(a * self.own_R), np.exp(a * z_P[LOG_N0])
            worth = np.exp(z_P[self.part("t")] + self.log_others_RM * (a + z_P[self.part("e")]))
            Q = known + own + worth.sum(1)
            log_D = np.log(Q) / a
            log_reducible = z_P[LOG_C] - beta * log_D
            slope = np.full(len(log_D), -beta)
            if self.interference:
                odds = self.others_RM * np.exp(-log_D)[:, None]
                log_odds = np.log1p(odds)
                log_reducible = log_reducible + log_odds @ z_P[self.part("h")]
                slope = slope - (odds / (1 + odds)) @ z_P[self.part("h")]
            if self.log_sizes_R is not None:
                log_reducible = log_reducible - z_P[GAMMA] * self.log_sizes_R
            reducible = np.exp(log_reducible)
        jacobian = np.empty((len(Q), self.size))
        by_log_D = reducible * slope
        by_Q = by_log_D / (a * Q)
        # 0 log 0 is 0: no tokens, no change
        weighted = worth * np.where(self.others_RM > 0, self.log_others_RM, 0.0)
        own_weighted = own * np.where(self.own_R > _NONE, self.own_R, 0.0)
        jacobian[:, LOG_C] = reducible
        jacobian[:, LOG_N0] = by_Q * a * known
        jacobian[:, A] = by_Q * (own_weighted + known * z_P[LOG_N0] + weighted.sum(1)) - by_log_D * log_D / a
        jacobian[:, LOG_BETA] = -reducible * beta * log_D
        jacobian[:, E] = 1.0
        jacobian[:, self.part("t")] = by_Q[:, None] * worth
        jacobian[:, self.part("e")] = by_Q[:, None] * weighted
        if self.interference:
            jacobian[:, self.part("h")] = reducible[:, None] * log_odds
        if self.log_sizes_R is not None:
            jacobian[:, GAMMA] = -reducible * self.log_sizes_R
        return reducible + z_P[E], jacobian

    def flat(self, z_P: np.ndarray) -> Flat:
        """Return the coordinates in which the posterior around a point is not curved."""
        a = z_P[A]
        worth = np.exp(z_P[self.part("t")] + self.log_others_RM * (a + z_P[self.part("e")]))
        Q = np.exp(a * z_P[LOG_N0]) + np.exp(a * self.own_R) + worth.sum(axis=1)
        return Flat.of(np.maximum(Q, 1e-300) ** (1 / a), LOG_C, LOG_BETA, E)

    def theta(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters in the order of `Pairwise.parameters`, tokens in units, at the largest size."""
        theta = (z_SP if self.log_sizes_R is None else z_SP[:, :GAMMA]).copy()
        for place in (LOG_C, LOG_N0, LOG_BETA):
            theta[:, place] = np.exp(theta[:, place])
        theta[:, self.part("t")] = np.exp(theta[:, self.part("t")])
        if self.interference:
            return theta
        return np.hstack([theta, np.zeros((len(z_SP), self.sources))])
