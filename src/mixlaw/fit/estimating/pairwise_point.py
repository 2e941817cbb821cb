"""The point estimates of `pairwise`: each target at its most probable parameters, with its scatter.

Shape letters: R runs, M other domains, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import Batches, has_checkpoints, repeats
from mixlaw.fit.curve import Scatter
from mixlaw.fit.estimating.gauss_newton import EXACT, Minimum, minimise
from mixlaw.fit.estimating.pairwise_problem import LOG_BETA, LOG_C, LOG_N0, E, PairwiseProblem
from mixlaw.fit.estimating.robust import BEND, clipped_noise
from mixlaw.fit.free_line import free_columns
from mixlaw.fit.magnitude import least
from mixlaw.fit.size import log_sizes
from mixlaw.laws.pairwise import WORTH_SD, Mixtures, Pairwise

_PASSES = 8
"""How often the scatter, and the point with it, are estimated: more rounds change nothing visible. Chosen on:
RegMix's held-out mixtures (tuning half), which half as many predict a thirtieth worse."""

_SEARCHES = (1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, EXACT, EXACT)
"""With many coordinates a search ends when a step lowers the cost by a smaller part than this: the first ones know the
scatter only by guess. Chosen on: planted tuning worlds 1 to 3 of 64 domains, where losses then differ by .002 of the
noise, and by .03 where the last one ends at 1e-6."""

_FROM_BEFORE = (1e-4, *(EXACT,) * 7)
"""The same with interference, whose searches begin at the point without it. For speed. No data."""

_POWER_SD = 0.5
"""Prior standard deviation of the power by which the scatter grows with the loss: weak.
Chosen on: RegMix, before the split."""

_TILT_SD = 1.0
"""Prior standard deviation of the logarithm of the scatter of one domain alone over that of the equal mixture. A real
swarm had 3.2 (25 times). No data."""

_PULLED = 0.9
"""A run pulls the law to itself by at most this part of its distance. For safety. No data."""

_POWERS, _TILTS = (-0.5, 2.0), (-1.0, 4.0)
"""Bounds of the power and the tilt. For safety. No data."""

_GAMMAS = ((0.1, 0.2), (0.0, 0.1), (0.0, 0.1))
"""Prior mean and standard deviation of gamma, gamma_E and gamma_beta. Source: fine-tuning exponents of size in Zhang et
al. 2024, sec. 4, where floor and exponent do not move: they are believed to move little."""

_FLOOR = (0.8, 0.1)
"""If rows are checkpoints: prior mean and standard deviation of the floor at the largest size, as a share of the
smallest loss. Single training curves hardly tell a steep curve with a high floor from a shallow one with a low
floor. Chosen on: the tuning half of a public pretraining sweep's mixtures (docs/lab.md); published ones, 1.69 of
about 2 nats in Hoffmann et al. 2022, are as high."""

_TRAINED = {LOG_N0: (0.0, 2.0), LOG_BETA: (float(np.log(0.2)), 0.7)}
"""Prior means and standard deviations of log n0 and log beta where the untrained model is one of the runs, so that they
fine-tune a model that knows something: n0 is of the order of a run's tokens. The law's own are those of runs that begin
with nothing. Chosen on: short runs of three domains (SQL, shell, translation) on four sets of rows, and mixtures
trained 37 times as long (docs/lab.md)."""

_TRAINED_HEIGHT = (0.6, 0.7)
"""Prior of log C there: middle, as a share of the smallest loss, and standard deviation. Without it every size of C
would be as likely as any other in its logarithm, so that what runs do not see is believed to be nothing. A planted law
shows it (`tests/unit/fit/test_trained_prior.py`); Chosen on: as `_TRAINED`, where an sd of .4 differs little."""

_TRAINED_FLOOR = (0.1, 0.2)
"""The same of the floor, as a share of the smallest loss: short runs lower a loss so little that they take it for its
floor. Chosen on: the five of eleven domains that no other experiment has, in six studies
(docs/lab.md, *Beyond the runs*)."""

_TRAINED_SOURCES = (-0.3, 0.2)
"""Prior mean and standard deviation of e, the change of a source's worth with tokens, there: the first tokens of
another domain are worth the most. Source: powers of .45 and .53 that Li et al. 2025, Table 1, find where the target's
own is 1. Chosen on: as `_TRAINED_FLOOR`."""

_OPEN = 1e-10
"""Information, as a part of the largest, in a direction in which nothing determines the parameters. For safety. No
data."""

_FEWEST_DEGREES = 0.2
"""Least degrees of freedom of the noise, as a part of the runs: with few runs and many parameters, counting
parameters that priors partly determine would be too pessimistic. No data."""

_EXACT, _UNKNOWN = 1e-8, 1e-3
"""Least noise, as a part of the largest loss: where runs tell what it is, and where the law has so many parameters that
it goes through all of them. Without the second a run that is held out has no weight against where the law went through
it, and its error is nothing. For safety. No data."""


@dataclass
class Target:
    """One target's estimate: point, covariance, prior, scatter, Huber's weights of the runs, degrees of freedom."""

    problem: PairwiseProblem
    z_P: np.ndarray
    mean_P: np.ndarray
    precision_PP: np.ndarray
    covariance_PP: np.ndarray
    scatter: Scatter
    weights_R: np.ndarray
    degrees: float = 1.0

    @property
    def law(self) -> Pairwise:
        """Of the target."""
        return self.problem.law

    @property
    def shock(self) -> float | None:
        """Standard deviation of what ended runs of a batch share, over a typical loss; None without batches."""
        if self.problem.batches is None:
            return None
        tau_B = np.diag(self.precision_PP)[self.problem.shocks] ** -0.5 / self.problem.batches.early_B
        return float(np.median(tau_B) / max(np.median(np.abs(self.problem.losses_R)), 1e-300))


def fit_points(
    runs: RunTable,
    unit: float,
    interference: bool,
    targets: Sequence[int] | None = None,
    without: Sequence[Target] | None = None,
) -> list[Target]:
    """Return the fitted targets.

    Args:
        runs: the runs.
        unit: tokens of a typical run's total.
        interference: whether h is fitted.
        targets: places of those wanted; None for all.
        without: all targets without interference, from where it is looked for if coordinates are many.
    """
    tokens_RK, sizes_R, batches, fits = runs.tokens_RK / unit, log_sizes(runs), Batches.of(runs), []
    groups_R = np.unique(runs.checkpoint_of, return_inverse=True)[1] if has_checkpoints(runs) else None
    for j in range(len(runs.targets)) if targets is None else targets:
        law, losses_R = Pairwise(runs.domains, runs.targets[j]), runs.losses_RJ[:, j]
        measured = np.flatnonzero(np.isfinite(losses_R))
        # A canonical order makes the result independent of the order of the runs, to the last bit.
        rows = measured[np.lexsort((*tokens_RK[measured].T, losses_R[measured]))]
        free = (None if runs.worth_RJ is None else runs.worth_RJ[:, j], free_columns(runs, j))
        parts = (law, Mixtures.of(tokens_RK), losses_R, interference, sizes_R, batches, *free)
        problem = PairwiseProblem(*parts, trained=bool((runs.totals_R == 0).any())).take(rows)
        before = None if without is None or not problem.many else without[j].z_P
        fits.append(_estimated(problem, None if groups_R is None else groups_R[rows], before))
    return fits


def _prior(problem: PairwiseProblem) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) mean and (P, P) precision of the coordinates, as the law believes them before any run."""
    law, part = problem.law, problem.law.part("t")
    mean, precision = np.zeros(problem.size), np.zeros((problem.size, problem.size))
    for place, parameter in enumerate(law.parameters[: problem.of_law]):
        if parameter.prior is not None:
            mean[place], precision[place, place] = parameter.prior[0], parameter.prior[1] ** -2
    # What other domains are worth to a target is partly the target's: its coefficients go together.
    M = problem.sources
    precision[part, part] = np.linalg.inv(
        WORTH_SD["target"] ** 2 * np.ones((M, M)) + WORTH_SD["source"] ** 2 * np.eye(M)
    )
    if problem.log_sizes_R is not None:
        mean[problem.exponents], sds = zip(*_GAMMAS, strict=True)
        precision[problem.exponents, problem.exponents] = np.diag(np.array(sds) ** -2)
    floor, low = None, least(problem.losses_R)
    if M and problem.trained:
        for place, (middle, sd) in _TRAINED.items():
            mean[place], precision[place, place] = middle, sd**-2
        if low > 0:
            mean[LOG_C], precision[LOG_C, LOG_C] = np.log(_TRAINED_HEIGHT[0] * low), _TRAINED_HEIGHT[1] ** -2
        floor, e = _TRAINED_FLOOR, law.part("e")
        mean[e], precision[e, e] = _TRAINED_SOURCES[0], np.eye(M) * _TRAINED_SOURCES[1] ** -2
    if problem.batches is not None and problem.batches.checkpoints:
        floor = _FLOOR
    if floor is not None and low > 0:
        mean[E], precision[E, E] = floor[0] * low, (floor[1] * low) ** -2
    _believe_shocks(problem, mean, precision)
    return mean, precision


def _believe_shocks(
    problem: PairwiseProblem, z_P: np.ndarray, precision_PP: np.ndarray, covariance_PP: np.ndarray | None = None
) -> None:
    """Write into the prior how large the shocks of batches are, given what they are found to be, if they are."""
    if problem.batches is not None:
        variance_B = None if covariance_PP is None else np.diag(covariance_PP)[problem.shocks]
        tau_B = problem.batches.tau(z_P[problem.shocks], float(np.median(problem.losses_R)), variance_B)
        precision_PP[problem.shocks, problem.shocks] = np.diag(tau_B**-2)


def _estimated(problem: PairwiseProblem, groups_R: np.ndarray | None, before_P: np.ndarray | None) -> Target:
    """Return the target at its maximum a posteriori point, with its noise, weights and covariance."""
    losses_R, bounds, M = problem.losses_R, problem.bounds(), problem.sources
    span = float(np.ptp(losses_R)) or 1e-6 * (float(np.abs(losses_R).max()) + 1e-12)
    mean_P, precision_PP = _prior(problem)
    scatter = Scatter(0.1 * span, 0.0, least(losses_R), span)
    fit = Target(problem, mean_P, mean_P, precision_PP, precision_PP, scatter, np.ones(len(losses_R)))
    starts = _starts(fit) if before_P is None else [np.insert(before_P, [problem.of_law - M] * M, 0.0)]
    scale = problem.root_worth_R * np.full(len(losses_R), 1 / fit.scatter.sd_nats)
    for exact in _searches(problem, before_P):
        settings = ((mean_P, precision_PP), bounds, problem.amounts, exact)
        found = [minimise(problem.losses_and_jacobian, losses_R, scale, start, *settings) for start in starts]
        best = min(found, key=lambda minimum: minimum.cost)
        starts = [best.z_P]
        _set_noise(fit, best, groups_R)
        _believe_shocks(problem, best.z_P, precision_PP, fit.covariance_PP)
        scale = np.sqrt(fit.weights_R) / fit.scatter.at(best.losses_R, problem.lean_R)
    fit.z_P = starts[0]
    return fit


def _searches(problem: PairwiseProblem, before_P: np.ndarray | None) -> Sequence[float]:
    """Return how exact each of the searches is."""
    if not problem.many:
        return (EXACT,) * _PASSES
    return _SEARCHES if before_P is None else _FROM_BEFORE


def _starts(fit: Target) -> list[np.ndarray]:
    low, middle = least(fit.problem.losses_R), float(np.median(fit.problem.losses_R))
    starts = []
    for floor, beta in ((0.3, 0.1), (0.7, 0.25), (0.93, 0.5)):
        z = fit.mean_P.copy()
        z[E], z[LOG_BETA] = floor * low, np.log(beta)
        z[LOG_C] = 0.0
        typical = float(np.median(fit.problem.losses(z[None])[0] - z[E]))
        z[LOG_C] = np.log(max(middle - z[E], 1e-9 * max(abs(middle), 1e-9))) - np.log(max(typical, 1e-300))
        starts.append(z)
    return starts


def _set_noise(fit: Target, best: Minimum, groups_R: np.ndarray | None) -> None:
    """Estimate the scatter from the residuals, then the weights and the covariance.

    Rows of one run (of equal `groups_R`) share its shock, and so weigh less together.
    """
    problem, sd = fit.problem, fit.scatter
    count = len(problem.losses_R)
    free = np.flatnonzero(best.free_P)
    posterior = _inverse((best.information_PP + fit.precision_PP)[np.ix_(free, free)])
    used = float(np.sum(posterior * best.information_PP[np.ix_(free, free)]))
    fit.degrees = max(count - used, _FEWEST_DEGREES * count)
    size = np.abs(best.residuals_R) * problem.root_worth_R
    height = np.log(Scatter(1.0, 1.0, sd.base, sd.span).at(best.losses_R))
    middle = float(problem.lean_R.mean())
    causes_R2 = np.column_stack([height, problem.lean_R])
    jacobian_RP = problem.losses_and_jacobian(best.z_P)[1][:, free] / sd.at(best.losses_R, problem.lean_R)[:, None]
    pulled_R = fit.weights_R * ((jacobian_RP @ posterior) * jacobian_RP).sum(axis=1)
    power, tilt = _growth(size / np.sqrt(1 - np.minimum(pulled_R, _PULLED)), causes_R2)
    shape = np.exp(power * height + tilt * (problem.lean_R - middle))
    scaled = size / shape
    exact = _EXACT if count - used > _FEWEST_DEGREES * count else _UNKNOWN
    floor = exact * float(np.abs(problem.losses_R).max()) + 1e-300
    noise = clipped_noise(scaled, fit.degrees, float(np.median(scaled)) * 1.4826, floor)
    fit.scatter = Scatter(noise, power, sd.base, sd.span, tilt, middle)
    fit.weights_R = np.minimum(1.0, BEND * noise / np.maximum(scaled, 1e-300))
    fit.weights_R *= 1.0 if problem.worth_R is None else problem.worth_R
    fit.weights_R /= repeats(best.residuals_R / shape, groups_R)
    fit.covariance_PP = np.zeros_like(fit.precision_PP)
    fit.covariance_PP[np.ix_(free, free)] = posterior


def _growth(sizes_R: np.ndarray, causes_R2: np.ndarray) -> tuple[float, float]:
    """Return the power of the loss's height and the tilt with which residuals grow, both shrunk towards none.

    By least squares of the logarithms of their sizes, under normal priors: the logarithm of a standard normal's size
    has variance pi^2 / 8.
    """
    centred_R2 = causes_R2 - causes_R2.mean(axis=0)
    logs = np.log(sizes_R + 0.1 * np.median(sizes_R) + 1e-300)
    held_22 = np.diag(np.pi**2 / 8 / np.array([_POWER_SD, _TILT_SD]) ** 2)
    power, tilt = np.linalg.solve(centred_R2.T @ centred_R2 + held_22, centred_R2.T @ (logs - logs.mean()))
    return float(np.clip(power, *_POWERS)), float(np.clip(tilt, *_TILTS))


def _inverse(information_PP: np.ndarray) -> np.ndarray:
    """Return the inverse; where neither runs nor priors hold a direction, of a matrix that holds it by very little."""
    scale = np.sqrt(np.maximum(np.diag(information_PP), 1e-300))
    try:
        found = np.linalg.inv(information_PP)
        if np.isfinite(found).all() and (np.diag(found) > 0).all():
            return found
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(information_PP / np.outer(scale, scale))
    root = vectors / np.sqrt(np.maximum(values, _OPEN * values[-1])) / scale[:, None]
    return root @ root.T
