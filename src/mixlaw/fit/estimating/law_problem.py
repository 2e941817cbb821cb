"""The estimator of any law: each target alone, in the coordinates that the law's parameters ask for.

A parameter of scale `log` is fitted as its logarithm, the others as they are; tokens are counted in units of a typical
run's total, so that the law's priors and starts fit. The estimate and the draws are turned back to millions of tokens.

Shape letters: R runs, K domains, P parameters, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixlaw.core.errors import TooFewRuns
from mixlaw.core.plurals import plural
from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Curve, Scatter
from mixlaw.fit.estimating.estimator import Estimated, predicted_by_refitting, require_different
from mixlaw.fit.estimating.information import Information, information
from mixlaw.fit.estimating.robust import estimate
from mixlaw.fit.estimating.sound import made, require_finite, require_sound
from mixlaw.fit.free_line import FreeLine, derivatives, free_columns, predicted
from mixlaw.fit.posterior.around import Around, draw
from mixlaw.fit.units import MILLION, typical_total
from mixlaw.laws import LawKind
from mixlaw.laws.base import Law

_TINY = 1e-12
"""Keeps a bound above 0 if a loss is 0. No data."""

_WIDE = 40.0
"""Bound of the logarithm of a parameter without bounds. No data."""

_STARTS = 4
"""How many starting points a law is asked for. No data."""

_UNHELD = 1e-2
"""Precision that is added to every coordinate, so that one without information from runs or prior moves by its own
scale only. No data."""


@dataclass(frozen=True)
class LawProblem:
    """One target's runs under a law; `mixlaw.fit.estimating.robust.Problem`.

    Attributes:
        law: of the target.
        tokens_RK: in units of a typical run's total.
        losses_R: nats.
        worth_R: how much each loss weighs against that of a run (`RunTable.worth_RJ`).
        free_RF: what the losses are known up to (`mixlaw.fit.free_line.free_columns`); None where nothing is free.
    """

    law: Law
    tokens_RK: np.ndarray
    losses_R: np.ndarray
    worth_R: np.ndarray
    free_RF: np.ndarray | None

    @staticmethod
    def of(law: Law, tokens_RK: np.ndarray, runs: RunTable, j: int) -> LawProblem:
        """Return the problem of target j on the runs that measured it, in a canonical order: the same to the bit."""
        losses_R, shape = runs.losses_RJ[:, j], runs.losses_RJ.shape
        measured = np.flatnonzero(np.isfinite(losses_R))
        rows = measured[np.lexsort((*tokens_RK[measured].T, losses_R[measured]))]
        worth_RJ = np.ones(shape) if runs.worth_RJ is None else runs.worth_RJ
        free_RF = free_columns(runs, j)
        free_RF = None if free_RF is None else free_RF[rows]
        return LawProblem(law, tokens_RK[rows], losses_R[rows], worth_RJ[rows, j], free_RF)

    @cached_property
    def line(self) -> FreeLine | None:
        """What takes lines and shifts out of residuals."""
        return FreeLine.of(self.free_RF, self.worth_R, self.losses_R)

    @property
    def log_P(self) -> np.ndarray:
        """Which parameters are fitted as their logarithm."""
        return np.array([p.scale == "log" for p in self.law.parameters])

    @property
    def lower(self) -> np.ndarray:
        """Bounds of the coordinates."""
        return self._bound([p.lower for p in self.law.parameters], -_WIDE)

    @property
    def upper(self) -> np.ndarray:
        """Bounds of the coordinates."""
        return self._bound([p.upper for p in self.law.parameters], _WIDE)

    def _bound(self, values: list[float], wide: float) -> np.ndarray:
        bounds = np.array(values, float)
        with np.errstate(divide="ignore"):
            bounds = np.where(self.log_P, np.log(np.maximum(bounds, 0)), bounds)
        # An additive parameter without a bound: losses are its scale.
        top = 100 * float(np.abs(self.losses_R).max() + _TINY)
        return np.where(np.isfinite(bounds), bounds, np.where(self.log_P, wide, np.sign(wide) * top))

    def theta(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) parameters."""
        return np.where(self.log_P, np.exp(np.where(self.log_P, z_SP, 0.0)), z_SP)

    def losses(self, z_SP: np.ndarray) -> np.ndarray:
        """Return (S, R) losses."""
        with np.errstate(over="ignore", invalid="ignore"):
            return predicted(self.line, self.law.predict(self.theta(z_SP), self.tokens_RK))

    def losses_and_jacobian(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses and (R, P) derivatives by the coordinates."""
        theta = self.theta(z_P[None])[0]
        with np.errstate(over="ignore", invalid="ignore"):
            jacobian = self.law.jacobian(theta, self.tokens_RK) * np.where(self.log_P, theta, 1.0)
            losses_R = predicted(self.line, self.law.predict(theta, self.tokens_RK))
        return losses_R, derivatives(self.line, np.nan_to_num(jacobian))

    def prior_residuals(self, z_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the priors as residuals of unit variance, and their derivatives."""
        places = [p for p, parameter in enumerate(self.law.parameters) if parameter.prior is not None]
        mean, sd = np.array([self.law.parameters[p].prior for p in places], float).reshape(-1, 2).T
        jacobian = np.zeros((len(places), len(z_P)))
        jacobian[np.arange(len(places)), places] = 1 / sd
        return (z_P[places] - mean) / sd, jacobian

    def starts(self, count: int) -> np.ndarray:
        """Return up to (count, P) starting points, as coordinates."""
        theta = np.atleast_2d(self.law.starts(self.tokens_RK, self.losses_R, count))
        z = np.where(self.log_P, np.log(np.maximum(theta, 1e-300)), theta)
        return np.clip(z, self.lower, self.upper)


@dataclass(frozen=True)
class LawEstimator:
    """`mixlaw.fit.estimating.estimator.Estimator` of a law without one of its own.

    Attributes:
        kind: the law.
    """

    kind: LawKind

    @property
    def any_size(self) -> bool:
        """Whether the law says so of itself."""
        return bool(getattr(self.kind.law, "any_size", False))

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> list[Estimated]:
        """See `Estimator.fit`."""
        for target in runs.targets:
            require_different(runs, target, self.kind.name)
        tokens_RK = runs.tokens_RK / MILLION
        unit = typical_total(tokens_RK)
        problems = [
            LawProblem.of(made(self.kind, runs.domains, target), tokens_RK / unit, runs, j)
            for j, target in enumerate(runs.targets)
        ]
        return [_fit_one(problem, unit, seed, draws) for problem in problems]

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """See `Estimator.held_out`."""
        return predicted_by_refitting(self, runs, folds)


def _fit_one(problem: LawProblem, unit: float, seed: int, draws: int) -> Estimated:
    law = problem.law
    unheld = sum(parameter.prior is None for parameter in law.parameters)
    distinct = len(np.unique(problem.tokens_RK, axis=0))
    if distinct < unheld:
        raise TooFewRuns(
            f"Target '{law.target}' was measured at {plural(distinct, 'different mixture')}"
            f"; law '{law.name}' has {unheld} "
            "parameters without a prior.",
            f"Add at least {unheld - distinct} more, or choose a simpler law.",
        )
    require_sound(law, problem.tokens_RK, problem.losses_R, _STARTS)
    require_finite(law, problem.losses(problem.starts(_STARTS)))
    best = estimate(problem, starts=_STARTS)
    lower, upper = problem.lower, problem.upper
    near = 1e-7 * np.minimum(upper - lower, 1.0)
    inside = (best.z_P > lower + near) & (best.z_P < upper - near)
    theta = law.rescale(problem.theta(best.z_P[None]), unit)[0]
    drawn, found = theta[None], None
    if draws:
        covariance, precision, mean = _normal(problem, best.z_P, best.noise, best.weights_R, inside)
        precisions = best.weights_R / best.noise**2
        normal = (best.z_P, covariance, mean, precision)
        z, found = draw(
            Around(problem.losses, problem.losses_R, precisions, *normal, lower, upper, best.degrees), seed, draws
        )
        drawn = law.rescale(problem.theta(z), unit)
    named = [parameter.name for parameter, within in zip(law.parameters, inside, strict=True) if not within]
    known = _known(problem, best.z_P, inside)
    return Estimated(Curve(law, theta, drawn, Scatter(best.noise)), tuple(named), known, found)


def _known(problem: LawProblem, z_P: np.ndarray, inside: np.ndarray) -> Information:
    """Return what the runs say about the parameters that neither a bound nor a prior holds."""
    free = [p for p, parameter in enumerate(problem.law.parameters) if inside[p] and parameter.prior is None]
    names = [problem.law.parameters[p].name for p in free]
    return information(problem.losses_and_jacobian(z_P)[1][:, free], names)


def _normal(
    problem: LawProblem, z_P: np.ndarray, noise: float, weights_R: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the covariance of the normal approximation, and the prior's precision and mean."""
    _, jacobian = problem.losses_and_jacobian(z_P)
    residuals, rows = problem.prior_residuals(z_P)
    precision = rows.T @ rows
    mean = z_P.copy()
    places = np.flatnonzero(np.diag(precision) > 0)
    mean[places] -= residuals / rows[np.arange(len(places)), places]
    data = (np.sqrt(weights_R) / noise)[:, None] * jacobian
    free = np.flatnonzero(inside)
    information = (data.T @ data + precision)[np.ix_(free, free)]
    covariance = np.zeros_like(precision)
    covariance[np.ix_(free, free)] = np.linalg.inv(information + _UNHELD * np.eye(len(free)))
    return covariance, precision, mean
