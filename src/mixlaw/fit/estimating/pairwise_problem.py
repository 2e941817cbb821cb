"""The law `pairwise` for one target as an estimation problem: coordinates, losses, derivatives.

    z = (log C, log n0, a, log beta, E, log t_i, e_i, h_i, gamma)   i over the domains other than the target's own

with tokens in units of a typical run's total. h is left out of z where interference is switched off, and gamma, the
exponent of the model's size, where all runs are of one size (`mixlaw.fit.size`).

Shape letters: R runs, M other domains, P coordinates, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.laws._shares import EXPONENT_BOUNDS
from mixlaw.laws.pairwise import CURVE, Mixtures, Pairwise, log_odds

LOG_C, LOG_N0, A, LOG_BETA, E = range(len(CURVE))
GAMMA = -1
"""Place of gamma in z, where it has one. No data."""

_LOG_T, _GAMMAS = (-60.0, 30.0), (-2.0, 5.0)
"""Bounds of log t and gamma: so wide that priors hold them, since at a bound they would have no variance. No data."""


@dataclass(frozen=True)
class PairwiseProblem:
    """One target's runs.

    Attributes:
        law: made for the domains and the target.
        mixtures: tokens of the runs, in units.
        losses_R: nats.
        interference: whether z has h.
        log_sizes_R: logarithm of each model's size over the largest; None where z has no gamma.
    """

    law: Pairwise
    mixtures: Mixtures
    losses_R: np.ndarray
    interference: bool
    log_sizes_R: np.ndarray | None = None

    @property
    def sources(self) -> int:
        """M."""
        return len(self.law.others)

    @property
    def size(self) -> int:
        """P."""
        return self.of_law + (self.log_sizes_R is not None)

    @property
    def of_law(self) -> int:
        """How many coordinates are parameters of the law."""
        return len(CURVE) + self.sources * (3 if self.interference else 2)

    @property
    def _logarithms(self) -> np.ndarray:
        """The places of the coordinates that are logarithms."""
        part = self.law.part("t")
        return np.array([LOG_C, LOG_N0, LOG_BETA, *range(part.start, part.stop)])

    def take(self, rows: np.ndarray) -> PairwiseProblem:
        """Return the problem of some of the runs."""
        sizes = None if self.log_sizes_R is None else self.log_sizes_R[rows]
        tokens_RK = self.mixtures.tokens_RK[rows]
        return PairwiseProblem(self.law, Mixtures.of(tokens_RK), self.losses_R[rows], self.interference, sizes)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (P,) lower and upper bounds of z."""
        lower, upper = np.full(self.size, -1.0), np.full(self.size, 1.0)
        top = float(np.abs(self.losses_R).max()) + 1e-12
        a = self.law.parameters[A]
        lower[: len(CURVE)] = np.log(top) - 30, -14.0, a.lower, np.log(EXPONENT_BOUNDS[0]), 0.0
        upper[: len(CURVE)] = (
            np.log(top) + 10,
            4.0,
            a.upper,
            np.log(EXPONENT_BOUNDS[1]),
            max(float(self.losses_R.min()), 0.0),
        )
        lower[self.law.part("t")], upper[self.law.part("t")] = _LOG_T
        if self.log_sizes_R is not None:
            lower[GAMMA], upper[GAMMA] = _GAMMAS
        return lower, upper

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.law.terms(self.theta(z_SP), self.mixtures).reducible * self._shrink(z_SP) + z_SP[:, E, None]

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by z.

        Those of `Pairwise.derivatives` by logarithms where z has such, without what z leaves out: fits spend most of
        their time here.
        """
        theta_P, x, M = self.theta(z_P[None])[0], self.mixtures, self.sources
        with np.errstate(over="ignore", invalid="ignore"):
            terms = self.law.terms(theta_P, x)
            reducible = terms.reducible * np.ravel(self._shrink(z_P[None]))
            jacobian = np.empty((len(self.losses_R), self.size))
            a, first, known = theta_P[A], len(CURVE), theta_P[LOG_N0] ** theta_P[A]
            by_log_D = reducible * terms.slope
            by_Q = by_log_D / (a * terms.Q)
            logs = terms.worth * x.log_RK
            jacobian[:, LOG_C] = reducible
            jacobian[:, LOG_N0] = by_Q * a * known
            jacobian[:, A] = by_Q * (known * z_P[LOG_N0] + logs.sum(-1)) - by_log_D * terms.log_D / a
            jacobian[:, LOG_BETA] = -reducible * terms.log_D * theta_P[LOG_BETA]
            jacobian[:, E] = 1.0
            self._others_into(jacobian[:, first : first + M], terms.worth, by_Q)
            self._others_into(jacobian[:, first + M : first + 2 * M], logs, by_Q)
            if self.interference:
                odds = log_odds(x, terms.log_D)
                self._others_into(jacobian[:, first + 2 * M : first + 3 * M], odds, reducible)
            if self.log_sizes_R is not None:
                jacobian[:, GAMMA] = -reducible * self.log_sizes_R
        return reducible + z_P[E], jacobian

    def _others_into(self, out_RM: np.ndarray, values_RK: np.ndarray, times_R: np.ndarray) -> None:
        """Write the columns of the other domains, times a number of each run."""
        own = self.sources if self.law.own is None else self.law.own
        np.multiply(values_RK[:, :own], times_R[:, None], out=out_RM[:, :own])
        np.multiply(values_RK[:, own + 1 :], times_R[:, None], out=out_RM[:, own:])

    def _shrink(self, z_SP: np.ndarray) -> np.ndarray:
        """Return what the models' sizes make of the reducible losses, (S, R) or 1."""
        return np.ones(1) if self.log_sizes_R is None else np.exp(-z_SP[:, GAMMA, None] * self.log_sizes_R)

    def straight(self, z_P: np.ndarray) -> RidgeCoordinates:
        """Return the coordinates in which the posterior around a point is not curved."""
        D_R = self.law.effective_tokens(self.theta(z_P[None])[0], self.mixtures)
        return RidgeCoordinates.of(D_R, LOG_C, LOG_BETA, E)

    def theta(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters of the law, tokens in units, at the largest size."""
        theta = np.zeros((len(z_SP), len(self.law.parameters)))
        theta[:, : self.of_law] = z_SP[:, : self.of_law]
        theta[:, self._logarithms] = np.exp(theta[:, self._logarithms])
        return theta
