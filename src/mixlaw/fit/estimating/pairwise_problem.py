"""The law `pairwise` for one target as an estimation problem: coordinates, losses, derivatives.

    z = (log C, log n0, a, log beta, E, log t_i, e_i, h_i, gamma, gamma_E, gamma_beta, u_b)

i over the domains other than the target's own, with tokens in units of a typical run's total. h is left out of z where
interference is switched off, the three exponents of the model's size where all runs are of one size
(`mixlaw.fit.size`), and u, the shocks of batches, where no rows are checkpoints of one run (`mixlaw.fit.checkpoints`).

Shape letters: R runs, M other domains, P coordinates, S draws, B batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.core.lean import lean
from mixlaw.fit.checkpoints import Batches
from mixlaw.fit.estimating.gauss_newton import NONE
from mixlaw.fit.free_line import FreeLine, derivatives, predicted
from mixlaw.fit.magnitude import least
from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.fit.posterior.hamiltonian import MANY
from mixlaw.fit.size import SIZE
from mixlaw.laws._shares import EXPONENT_BOUNDS
from mixlaw.laws.pairwise import CURVE, Mixtures, Pairwise, log_odds

LOG_C, LOG_N0, A, LOG_BETA, E = range(len(CURVE))
_LOG_T, _GAMMAS, _SHOCKS = (-60.0, 30.0), (-2.0, 5.0), 10.0
"""Bounds of log t, of the exponents of size, and of shocks (nats): so wide that only priors limit them, since at a
bound a parameter would have no variance. No data."""


@dataclass(frozen=True)
class PairwiseProblem:
    """One target's runs.

    Attributes:
        law: made for the domains and the target.
        mixtures: tokens of the runs, in units.
        losses_R: nats.
        interference: whether z has h.
        log_sizes_R: logarithm of each model's size over the largest; None where z has no exponents of size.
        batches: of checkpoints, which share a shock; None where z has no shocks.
        worth_R: how much each loss weighs against that of a run (`RunTable.worth_RJ`); None where all weigh the same.
        free_RF: what the losses are known up to (`mixlaw.fit.free_line.free_columns`); None where nothing is free.
        trained: whether the runs go on with a model that knows something: it is one of them, of no tokens.
    """

    law: Pairwise
    mixtures: Mixtures
    losses_R: np.ndarray
    interference: bool
    log_sizes_R: np.ndarray | None = None
    batches: Batches | None = None
    worth_R: np.ndarray | None = None
    free_RF: np.ndarray | None = None
    trained: bool = False

    @cached_property
    def line(self) -> FreeLine | None:
        """What takes lines and shifts out of residuals."""
        return FreeLine.of(self.free_RF, self.root_worth_R**2 * np.ones(len(self.losses_R)), self.losses_R)

    @cached_property
    def _memory(self) -> tuple[np.ndarray, ...]:
        """Room for what derivatives are computed from, three (R, K): fresh memory costs more than an exponential."""
        return tuple(np.empty(self.mixtures.tokens_RK.shape) for _ in range(3))

    @cached_property
    def lean_R(self) -> np.ndarray:
        """How much the runs' mixtures lean on few domains."""
        return lean(self.mixtures.tokens_RK)

    @property
    def sources(self) -> int:
        """M."""
        return len(self.law.others)

    @property
    def root_worth_R(self) -> np.ndarray | float:
        """Roots of what the losses are worth, by which their residuals are scaled."""
        return 1.0 if self.worth_R is None else np.sqrt(self.worth_R)

    @property
    def size(self) -> int:
        """P."""
        return self.shocks.stop

    @property
    def many(self) -> bool:
        """Whether there are so many coordinates that time counts: searches then step in amounts of data themselves."""
        return self.size >= MANY

    @property
    def of_law(self) -> int:
        """How many coordinates are parameters of the law."""
        return len(CURVE) + self.sources * (3 if self.interference else 2)

    @property
    def exponents(self) -> slice:
        """The places of gamma, gamma_E and gamma_beta; empty where there are none."""
        return slice(self.of_law, self.of_law + len(SIZE) * (self.log_sizes_R is not None))

    @property
    def shocks(self) -> slice:
        """The places of u; empty where there are none."""
        first = self.exponents.stop
        return slice(first, first + (0 if self.batches is None else len(self.batches)))

    @property
    def amounts(self) -> slice:
        """The places of log t, in whose exponentials the losses are nearly linear; none of few coordinates."""
        return self.law.part("t") if self.many else NONE

    @property
    def _logarithms(self) -> np.ndarray:
        """The places of the coordinates that are logarithms."""
        part = self.law.part("t")
        return np.array([LOG_C, LOG_N0, LOG_BETA, *range(part.start, part.stop)])

    def take(self, rows: np.ndarray) -> PairwiseProblem:
        """Return the problem of some of the runs."""
        sizes = None if self.log_sizes_R is None else self.log_sizes_R[rows]
        tokens_RK = self.mixtures.tokens_RK[rows]
        batches = None if self.batches is None else self.batches.take(rows)
        worth_R, free_RF = (None if x is None else x[rows] for x in (self.worth_R, self.free_RF))
        parts = {"mixtures": Mixtures.of(tokens_RK), "losses_R": self.losses_R[rows], "log_sizes_R": sizes}
        return replace(self, **parts, batches=batches, worth_R=worth_R, free_RF=free_RF)

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
            least(self.losses_R),
        )
        lower[self.law.part("t")], upper[self.law.part("t")] = _LOG_T
        lower[self.exponents], upper[self.exponents] = _GAMMAS
        lower[self.shocks], upper[self.shocks] = -_SHOCKS, _SHOCKS
        return lower, upper

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses."""
        with np.errstate(over="ignore", invalid="ignore"):
            terms = self.law.terms(self.theta(z_SP), self.mixtures)
            losses_SR = terms.reducible * np.exp(self.log_shrink(z_SP, terms.log_D)) + self.floor(z_SP)
            return predicted(self.line, losses_SR)

    def losses_and_jacobian(self, z_P: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by z, these in `out` where it is given and nothing is free.

        Those of `Pairwise.derivatives` by logarithms where z has such, without what z leaves out: fits spend most of
        their time here.
        """
        theta_P, x, M = self.theta(z_P[None])[0], self.mixtures, self.sources
        with np.errstate(over="ignore", invalid="ignore"):
            terms = self.law.terms(theta_P, x, self._memory)
            reducible = terms.reducible * np.exp(self.log_shrink(z_P[None], terms.log_D[None])[0])
            floor = self.floor(z_P[None])[0]
            jacobian = np.empty((len(self.losses_R), self.size)) if out is None else out
            a, first, known = theta_P[A], len(CURVE), theta_P[LOG_N0] ** theta_P[A]
            by_log_D = reducible * (terms.slope - self.bent(z_P[None])[0])
            by_Q = by_log_D / (a * terms.Q)
            logs = np.multiply(terms.worth, x.log_RK, out=self._memory[2])
            jacobian[:, LOG_C] = reducible
            jacobian[:, LOG_N0] = by_Q * a * known
            jacobian[:, A] = by_Q * (known * z_P[LOG_N0] + logs.sum(-1)) - by_log_D * terms.log_D / a
            jacobian[:, LOG_BETA] = -reducible * terms.log_D * theta_P[LOG_BETA]
            jacobian[:, E] = self.floor_shrink(z_P[None])[0]
            self._others_into(jacobian[:, first : first + M], terms.worth, by_Q)
            self._others_into(jacobian[:, first + M : first + 2 * M], logs, by_Q)
            if self.interference:
                odds = log_odds(x, terms.log_D)
                self._others_into(jacobian[:, first + 2 * M : first + 3 * M], odds, reducible)
            jacobian[:, self.exponents] = self.by_exponents(z_P[None], reducible[None], terms.log_D[None])[0]
            if self.batches is not None:
                jacobian[:, self.shocks] = self.batches.member_RB
        return predicted(self.line, reducible + floor), derivatives(self.line, jacobian)

    def _others_into(self, out_RM: np.ndarray, values_RK: np.ndarray, times_R: np.ndarray) -> None:
        """Write the columns of the other domains, times a number of each run."""
        own = self.sources if self.law.own is None else self.law.own
        np.multiply(values_RK[:, :own], times_R[:, None], out=out_RM[:, :own])
        np.multiply(values_RK[:, own + 1 :], times_R[:, None], out=out_RM[:, own:])

    def log_shrink(self, z_SP: np.ndarray, log_D_SR: np.ndarray) -> np.ndarray:
        """Return the logarithm of what the models' sizes make of the reducible losses, (S, R) or (S, 1)."""
        if self.log_sizes_R is None:
            return np.zeros((len(z_SP), 1))
        first = self.exponents.start
        return -z_SP[:, first, None] * self.log_sizes_R - self.bent(z_SP) * log_D_SR

    def bent(self, z_SP: np.ndarray) -> np.ndarray:
        """Return by how much the models' sizes add to beta, (S, R) or (S, 1)."""
        if self.log_sizes_R is None:
            return np.zeros((len(z_SP), 1))
        return z_SP[:, self.exponents.stop - 1, None] * self.log_sizes_R

    def floor_shrink(self, z_SP: np.ndarray) -> np.ndarray:
        """Return what the models' sizes make of the floor, (S, R) or (S, 1)."""
        if self.log_sizes_R is None:
            return np.ones((len(z_SP), 1))
        return np.exp(-z_SP[:, self.exponents.start + 1, None] * self.log_sizes_R)

    def floor(self, z_SP: np.ndarray) -> np.ndarray:
        """Return the floors with the shocks of the batches, (S, R) or (S, 1) nats."""
        floor = z_SP[:, E, None] * self.floor_shrink(z_SP)
        return floor if self.batches is None else floor + z_SP[:, self.shocks] @ self.batches.member_RB.T

    def by_exponents(self, z_SP: np.ndarray, reducible_SR: np.ndarray, log_D_SR: np.ndarray) -> np.ndarray:
        """Return (S, R, 3 or 0) derivatives of the losses by the exponents of size."""
        if self.log_sizes_R is None:
            return np.zeros((*reducible_SR.shape, 0))
        by_E = z_SP[:, E, None] * self.floor_shrink(z_SP)
        return -np.stack([reducible_SR, by_E, reducible_SR * log_D_SR], axis=-1) * self.log_sizes_R[:, None]

    def straight(self, z_P: np.ndarray) -> RidgeCoordinates:
        """Return the coordinates in which the posterior around a point is not curved."""
        D_R = self.law.effective_tokens(self.theta(z_P[None])[0], self.mixtures)
        return RidgeCoordinates.of(D_R, LOG_C, LOG_BETA, E)

    def in_tokens(self, z_SP: np.ndarray, unit: float) -> np.ndarray:
        """Return the (S, 3) exponents of size for tokens that are `unit` times as many in the new unit."""
        exponents = z_SP[:, self.exponents].copy()
        exponents[:, 0] -= exponents[:, 2] * np.log(unit)
        return exponents

    def theta(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters of the law, tokens in units, at the largest size."""
        theta = np.zeros((len(z_SP), len(self.law.parameters)))
        theta[:, : self.of_law] = z_SP[:, : self.of_law]
        theta[:, self._logarithms] = np.exp(theta[:, self._logarithms])
        return theta
