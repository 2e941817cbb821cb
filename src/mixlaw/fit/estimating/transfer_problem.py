"""The law `transfer` for one target as an estimation problem: coordinates, residuals, prior, posterior density.

The law's own parameters (C, k, alpha, beta, E) are badly scaled and nearly collinear, so the fit works in

    z = (log c, tau, alpha, log beta, E)        k = tau rho^(1 - alpha)

with tokens n, r in units of a typical effective amount, so that c is the reducible loss there, and with tau, the
worth of one token of another domain at rho, the smallest amount of other tokens in the runs. The paper's constraint
k R^alpha <= R is then just tau <= 1 (it binds at the smallest R), and 0 <= alpha <= 1 is a box as well.

Equation and priors are those of `mixlaw.laws.transfer`; the prior of k is that of tau, and beta's is of its logarithm.

Shape letters: R runs, P = 5 coordinates, S candidates or draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.fit.free_line import FreeLine, derivatives, predicted
from mixlaw.fit.magnitude import least
from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.laws._shares import EXPONENT_BOUNDS, ROBUST_SD
from mixlaw.laws.transfer import ONE_TOKEN, Transfer, effective_tokens, transfer_jacobian, transfer_losses

_PRIORS = {parameter.name: parameter.prior for parameter in Transfer(("own",), "own").parameters}
LOG_BETA_PRIOR = _PRIORS["beta"] or (0.0, np.inf)
TAU_PRIOR_SD = (_PRIORS["k"] or (0.0, np.inf))[1]

_CANDIDATES, _CANDIDATE_SD, _DIFFERENT = 1024, 1.2, 0.3
"""Candidates of starting points; how far their log beta scatters around the prior mean; how far starts must lie apart,
in tau, alpha and log beta. No data."""

_OTHERS_WORTH = 0.2
"""Weight of a token of another domain in the unit of tokens, which is chosen so that typical runs are near 1. No
data."""

_NOISE_DEGREES = 2.0
"""Degrees of freedom of the prior of the noise around its estimate: few, so weak. No data."""


@dataclass(frozen=True)
class TransferProblem:
    """One target's runs in the fit's units.

    Attributes:
        own_R: n, tokens of the target's domain, in units of `unit`.
        others_R: r, tokens of all other domains, in units of `unit`.
        losses_R: nats.
        unit: millions of tokens.
        rho: smallest positive r; 1 where no run has other tokens.
        lower: (P,) bounds.
        upper: (P,) bounds.
        informed: whether the priors are used.
        worth_R: how much each loss weighs against that of a run (`RunTable.worth_RJ`).
        free_RF: what the losses are known up to (`mixlaw.fit.free_line.free_columns`); None where nothing is free.
    """

    own_R: np.ndarray
    others_R: np.ndarray
    losses_R: np.ndarray
    unit: float
    rho: float
    lower: np.ndarray
    upper: np.ndarray
    informed: bool = True
    worth_R: np.ndarray | float = 1.0
    free_RF: np.ndarray | None = None

    @staticmethod
    def of(own_R: np.ndarray, others_R: np.ndarray, losses_R: np.ndarray, informed: bool = True) -> TransferProblem:
        """Return the problem for tokens in millions and losses in nats; all (R,)."""
        typical = np.maximum(own_R, ONE_TOKEN) + _OTHERS_WORTH * others_R
        unit = float(np.exp(np.mean(np.log(typical))))
        others = others_R / unit
        mixed = bool(np.any(others > 0))
        rho = float(others[others > 0].min()) if mixed else 1.0
        top = float(losses_R.max())
        reach = 30 + np.log(max(top, 1e-12))
        lower = np.array([reach - 90, 0.0, 0.0, np.log(EXPONENT_BOUNDS[0]), 0.0])
        # Without other tokens k and alpha mean nothing: they are held at zero.
        upper = np.array([reach, float(mixed), float(mixed), np.log(EXPONENT_BOUNDS[1]), least(losses_R)])
        return TransferProblem(own_R / unit, others, losses_R, unit, rho, lower, upper, informed)

    def take(self, rows: np.ndarray) -> TransferProblem:
        """Return the problem of some of the runs, in the same coordinates."""
        parts = (self.own_R[rows], self.others_R[rows], self.losses_R[rows])
        problem = TransferProblem(*parts, self.unit, self.rho, self.lower, self.upper, self.informed)
        free_RF = None if self.free_RF is None else self.free_RF[rows]
        return replace(problem, worth_R=np.broadcast_to(self.worth_R, self.losses_R.shape)[rows], free_RF=free_RF)

    @cached_property
    def line(self) -> FreeLine | None:
        """What takes lines and shifts out of residuals."""
        return FreeLine.of(self.free_RF, np.broadcast_to(self.worth_R, self.losses_R.shape), self.losses_R)

    @property
    def _least(self) -> float:
        """One token, in units of `unit`."""
        return ONE_TOKEN / self.unit

    def effective(self, tau: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return D of the runs in units of `unit`, at least one token."""
        return effective_tokens(tau * self.rho ** (1 - alpha), alpha, self.own_R, self.others_R, self._least)

    def theta(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (..., P) parameters (C, k, alpha, beta, E), tokens in units of `unit`."""
        log_c, tau, alpha, log_beta, E = np.moveaxis(z_SP, -1, 0)
        return np.stack([np.exp(log_c), tau * self.rho ** (1 - alpha), alpha, np.exp(log_beta), E], axis=-1)

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses of the problem's runs."""
        with np.errstate(over="ignore", invalid="ignore"):
            return predicted(self.line, transfer_losses(self.theta(z_SP), self.own_R, self.others_R, self._least))

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by z."""
        theta_P, runs = self.theta(z_P), (self.own_R, self.others_R, self._least)
        C, k, alpha, beta, _ = theta_P
        by_C, by_k, by_alpha, by_beta, by_E = transfer_jacobian(theta_P, *runs).T
        # k moves with alpha at the same tau
        columns = (C * by_C, self.rho ** (1 - alpha) * by_k, by_alpha - k * np.log(self.rho) * by_k, beta * by_beta)
        jacobian = np.stack([*columns, by_E], axis=1)
        return predicted(self.line, transfer_losses(theta_P, *runs)), derivatives(self.line, jacobian)

    def prior_residuals(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the prior as residuals of unit variance, (2,), and their derivatives by z, (2, P)."""
        if not self.informed:
            return np.zeros(0), np.zeros((0, 5))
        centre, sd = LOG_BETA_PRIOR
        jacobian = np.zeros((2, 5))
        jacobian[0, 3], jacobian[1, 1] = 1 / sd, 1 / TAU_PRIOR_SD
        return np.array([(z_P[3] - centre) / sd, z_P[1] / TAU_PRIOR_SD]), jacobian

    def log_posterior(self, z_SP: np.ndarray, noise: float, weights_R: np.ndarray) -> np.ndarray:
        """Return (S,) log posterior densities up to a constant.

        The noise variance is integrated out under a weak scaled inverse chi-squared prior (2 degrees of freedom at
        `noise`), which makes the likelihood a Student t: few runs give wide intervals.
        """
        inside = np.all((z_SP >= self.lower) & (z_SP <= self.upper), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (weights_R * (self.losses(z_SP) - self.losses_R) ** 2).sum(axis=1)
        centre, sd = LOG_BETA_PRIOR
        prior = ((z_SP[:, 3] - centre) / sd) ** 2 + (z_SP[:, 1] / TAU_PRIOR_SD) ** 2 if self.informed else 0.0
        shape = weights_R.sum() + _NOISE_DEGREES
        density = -0.5 * prior - 0.5 * shape * np.log(_NOISE_DEGREES * noise**2 + squares)
        return np.where(inside & np.isfinite(density), density, -np.inf)

    def straight(self, z_P: np.ndarray) -> RidgeCoordinates:
        """Return the coordinates in which the posterior around a point is not curved."""
        return RidgeCoordinates.of(self.effective(z_P[1], z_P[2]), 0, 3, 4)

    def starts(self, count: int) -> np.ndarray:
        """Return (count, P) starting points: the best and most different of a Sobol set over (tau, alpha, log beta).

        c and E are linear given the other three, so each candidate gets its robust least-squares values of them:
        the start is a global search over three numbers, not a guess at five. Deterministic.
        """
        from scipy.stats import norm, qmc

        cube = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(20250731)).random(_CANDIDATES)
        tau, alpha = cube[:, 0] ** 2 * self.upper[1], cube[:, 1] * self.upper[2]
        log_beta = LOG_BETA_PRIOR[0] + _CANDIDATE_SD * norm.ppf(np.clip(cube[:, 2], 1e-4, 1 - 1e-4))
        log_beta = np.clip(log_beta, self.lower[3], self.upper[3])
        D = self.effective(tau[:, None], alpha[:, None])
        slope, intercept, misfit = _robust_lines(np.exp(-np.exp(log_beta)[:, None] * np.log(D)), self.losses_R)
        log_c = np.log(np.maximum(slope, 1e-9 * self.losses_R.max() + 1e-30))
        candidates = np.column_stack([log_c, tau, alpha, log_beta, intercept])
        candidates = np.clip(candidates, self.lower, self.upper)
        order = np.argsort(misfit)
        chosen = [order[0]]
        for i in order[1:]:
            if len(chosen) == count:
                break
            distance = np.abs(candidates[chosen][:, 1:4] - candidates[i, 1:4]).sum(axis=1)
            if distance.min() > _DIFFERENT:
                chosen.append(i)
        return candidates[chosen]

    def natural(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters (C, k, alpha, beta, E), tokens in millions."""
        return Transfer(("own",), "own").rescale(self.theta(z_SP), self.unit)


def _robust_lines(x_SR: np.ndarray, y_R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return slope >= 0, intercept >= 0 and mean misfit of y on each row of x, by reweighted least squares."""
    weights = np.ones_like(x_SR)
    slope = intercept = misfit = np.zeros(len(x_SR))
    for _ in range(4):
        total = weights.sum(axis=1)
        x_mean = (weights * x_SR).sum(axis=1) / total
        y_mean = (weights * y_R).sum(axis=1) / total
        x_gap, y_gap = x_SR - x_mean[:, None], y_R - y_mean[:, None]
        spread = np.maximum((weights * x_gap**2).sum(axis=1), 1e-300)
        slope = np.maximum((weights * x_gap * y_gap).sum(axis=1) / spread, 0)
        intercept = y_mean - slope * x_mean
        through_zero = (weights * x_SR * y_R).sum(axis=1) / np.maximum((weights * x_SR**2).sum(axis=1), 1e-300)
        slope = np.where(intercept < 0, through_zero, slope)
        intercept = np.maximum(intercept, 0)
        residual = np.abs(slope[:, None] * x_SR + intercept[:, None] - y_R)
        scale = ROBUST_SD * np.median(residual, axis=1, keepdims=True) + 1e-12
        weights = np.minimum(1, 2 * scale / np.maximum(residual, 1e-300))
        misfit = (np.sqrt(weights) * residual).mean(axis=1)
    return slope, intercept, misfit
