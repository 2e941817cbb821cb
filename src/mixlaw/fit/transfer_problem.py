"""The law `transfer` for one target as an estimation problem: coordinates, residuals, prior, posterior density.

The law's own parameters (C, k, alpha, beta, E) are badly scaled and nearly collinear, so the fit works in

    z = (log c, tau, alpha, log beta, E)        L = c D^-beta + E,   D = n + tau rho (r / rho)^alpha

with tokens n, r in units of a typical effective amount, so that c is the reducible loss there, and with tau, the
worth of one token of another domain at rho, the smallest amount of other tokens in the runs. The paper's constraint
k R^alpha <= R is then just tau <= 1 (it binds at the smallest R), and 0 <= alpha <= 1 is a box as well.

Two coordinates have a prior, both scale-free; the others are flat within their bounds:

    log beta ~ Normal(log 0.2, 0.7)     published fine-tuning exponents lie between 0.03 and 0.5 (Zhang et al. 2024,
                                        arXiv 2402.17193, Table 4; Li 2025, Table 1); five points on a curve hardly
                                        determine it, and E follows from it
    tau      ~ half-normal(0.3)         sceptical: another domain's token counts for less than an own one until the
                                        runs say otherwise

Shape letters: R runs, P = 5 coordinates, S candidates or draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import FitError
from mixlaw.fit.flat import Flat

NAMES = ("C", "k", "alpha", "beta", "E")
LOG_BETA_PRIOR = (np.log(0.2), 0.7)
TAU_PRIOR_SD = 0.3
_BETA_RANGE = (1e-3, 5.0)
_ONE_TOKEN = 1e-6


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
    """

    own_R: np.ndarray
    others_R: np.ndarray
    losses_R: np.ndarray
    unit: float
    rho: float
    lower: np.ndarray
    upper: np.ndarray
    informed: bool = True

    @staticmethod
    def of(own_R: np.ndarray, others_R: np.ndarray, losses_R: np.ndarray, informed: bool = True) -> TransferProblem:
        """Return the problem for tokens in millions and losses in nats; all (R,)."""
        typical = np.maximum(own_R, _ONE_TOKEN) + 0.2 * others_R
        unit = float(np.exp(np.mean(np.log(typical))))
        others = others_R / unit
        mixed = bool(np.any(others > 0))
        rho = float(others[others > 0].min()) if mixed else 1.0
        top = float(losses_R.max())
        reach = 30 + np.log(max(top, 1e-12))
        lower = np.array([reach - 90, 0.0, 0.0, np.log(_BETA_RANGE[0]), 0.0])
        # Without other tokens k and alpha mean nothing: they are held at zero.
        upper = np.array([reach, float(mixed), float(mixed), np.log(_BETA_RANGE[1]), float(losses_R.min())])
        return TransferProblem(own_R / unit, others, losses_R, unit, rho, lower, upper, informed)

    def take(self, rows: np.ndarray) -> TransferProblem:
        """Return the problem of some of the runs, in the same coordinates."""
        parts = (self.own_R[rows], self.others_R[rows], self.losses_R[rows])
        return TransferProblem(*parts, self.unit, self.rho, self.lower, self.upper, self.informed)

    def effective(self, tau: np.ndarray, alpha: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return D in units of `unit`, at least one token."""
        worth = np.where(others > 0, tau * self.rho * (np.maximum(others, 1e-300) / self.rho) ** alpha, 0.0)
        return np.maximum(own + worth, _ONE_TOKEN / self.unit)

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses of the problem's runs."""
        log_c, tau, alpha, log_beta, E = (z_SP[:, p, None] for p in range(5))
        with np.errstate(over="ignore"):
            D = self.effective(tau, alpha, self.own_R, self.others_R)
            return np.exp(log_c - np.exp(log_beta) * np.log(D)) + E

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by z."""
        log_c, tau, alpha, log_beta, E = z_P
        beta = np.exp(log_beta)
        ratio = np.maximum(self.others_R, 1e-300) / self.rho
        share = np.where(self.others_R > 0, self.rho * ratio**alpha, 0.0)
        D = np.maximum(self.own_R + tau * share, _ONE_TOKEN / self.unit)
        reducible = np.exp(log_c - beta * np.log(D))
        by_D = -beta * reducible / D
        columns = (
            reducible,
            by_D * share,
            by_D * tau * share * np.log(ratio),
            -beta * np.log(D) * reducible,
            np.ones_like(D),
        )
        return reducible + E, np.stack(columns, axis=1)

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
        degrees = 2.0
        density = -0.5 * prior - 0.5 * (weights_R.sum() + degrees) * np.log(degrees * noise**2 + squares)
        return np.where(inside & np.isfinite(density), density, -np.inf)

    def flat(self, z_P: np.ndarray) -> Flat:
        """Return the coordinates in which the posterior around a point is not curved."""
        return Flat.of(self.effective(z_P[1], z_P[2], self.own_R, self.others_R), 0, 3, 4)

    def starts(self, count: int) -> np.ndarray:
        """Return (count, P) starting points: the best and most different of a Sobol set over (tau, alpha, log beta).

        c and E are linear given the other three, so each candidate gets its robust least-squares values of them:
        the start is a global search over three numbers, not a guess at five. Deterministic.
        """
        from scipy.stats import norm, qmc

        cube = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(20250731)).random(1024)
        tau, alpha = cube[:, 0] ** 2 * self.upper[1], cube[:, 1] * self.upper[2]
        log_beta = LOG_BETA_PRIOR[0] + 1.2 * norm.ppf(np.clip(cube[:, 2], 1e-4, 1 - 1e-4))
        log_beta = np.clip(log_beta, self.lower[3], self.upper[3])
        D = self.effective(tau[:, None], alpha[:, None], self.own_R, self.others_R)
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
            if distance.min() > 0.3:
                chosen.append(i)
        return candidates[chosen]

    def natural(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters (C, k, alpha, beta, E), tokens in millions."""
        log_c, tau, alpha, log_beta, E = z_SP.T
        beta = np.exp(log_beta)
        return np.column_stack(
            [np.exp(log_c) * self.unit**beta, tau * (self.rho * self.unit) ** (1 - alpha), alpha, beta, E]
        )


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
        scale = 1.4826 * np.median(residual, axis=1, keepdims=True) + 1e-12
        weights = np.minimum(1, 2 * scale / np.maximum(residual, 1e-300))
        misfit = (np.sqrt(weights) * residual).mean(axis=1)
    return slope, intercept, misfit


def require_matching_domains(domains: tuple[str, ...], targets: tuple[str, ...]) -> None:
    """Raise FitError where a target is not a domain: the law needs the target's own tokens."""
    stray = [target for target in targets if target not in domains]
    if stray:
        raise FitError(
            f"Law 'transfer' needs a domain for every target; {', '.join(map(repr, stray))} has none among "
            f"{', '.join(map(repr, domains))}.",
            "Name each loss column after the domain it validates, or drop the column.",
        )
