"""The rounds of the fitter of `pairwise`: each target under its prior, then what the targets say about the priors.

Shape letters: R runs, K domains, J targets, M other domains, P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Scatter
from mixlaw.fit.estimating.gauss_newton import Minimum, minimise
from mixlaw.fit.estimating.hierarchy import Hierarchy
from mixlaw.fit.estimating.pairwise_problem import GAMMA, LOG_BETA, LOG_C, E, PairwiseProblem
from mixlaw.fit.estimating.robust import BEND, clipped_noise
from mixlaw.fit.size import log_sizes
from mixlaw.laws._shares import ROBUST_SD
from mixlaw.laws.pairwise import CURVE, Mixtures, Pairwise

_ROUNDS = 3
"""Times that the targets are estimated, the priors being learnt in between. Chosen on:
RegMix's held-out mixtures, before the split, at 32 and 64 runs."""

_PASSES = 3
"""Estimates of the noise in the first round, before the priors are learnt. Later ones change nothing. No data."""

_POWER_SD = 0.5
"""Prior standard deviation of the power by which the scatter grows with the loss: weak.
Chosen on: RegMix's held-out mixtures, before the split, where others gained nothing."""

_GAMMA = (0.1, 0.2)
"""Prior mean and standard deviation of gamma. Source: exponents of size in Zhang et al. 2024, section 4. No data."""

_BELIEF = 10.0
"""Weight of the prior's spreads against the targets' own, in targets (in coefficients for e and h). No data."""

_STARTS = ((0.3, 0.1), (0.7, 0.25), (0.93, 0.5))
"""Floor over the lowest loss and beta of the starting points: low and high, flat and steep. No data."""

_POWERS = (-0.5, 2)
"""Smallest and largest of these powers. No data."""

_FEWEST_DEGREES = 0.2
"""Part of the runs that are degrees of freedom for the noise at the least: with few runs and many parameters that
priors half hold, the count of what is left is too pessimistic. No data."""


@dataclass
class Target:
    """One target on its way through the rounds."""

    problem: PairwiseProblem
    z_P: np.ndarray | None = None
    covariance_PP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    precision_PP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    mean_P: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scatter: Scatter = field(default_factory=lambda: Scatter(1.0))
    weights_R: np.ndarray = field(default_factory=lambda: np.zeros(0))
    degrees: float = 1.0

    @property
    def law(self) -> Pairwise:
        """Of the target."""
        return self.problem.law


def fit_rounds(runs: RunTable, unit: float, interference: bool) -> list[Target]:
    """Return the fitted targets.

    Args:
        runs: the runs.
        unit: tokens of a typical run's total.
        interference: whether h is fitted.
    """
    tokens_RK, sizes_R, fits = runs.tokens_RK / unit, log_sizes(runs), []
    for j, name in enumerate(runs.targets):
        law, losses_R = Pairwise(runs.domains, name), runs.losses_RJ[:, j]
        measured = np.flatnonzero(np.isfinite(losses_R))
        # A canonical order makes the result independent of the order of the runs, to the last bit.
        rows = measured[np.lexsort((*tokens_RK[measured].T, losses_R[measured]))]
        fits.append(Target(PairwiseProblem(law, Mixtures.of(tokens_RK), losses_R, interference, sizes_R).take(rows)))
    hierarchy = Hierarchy.of([fit.law.own for fit in fits], len(runs.domains))
    common, spread = _common(fits[0].law), _spreads(fits[0].law)
    for turn in range(_ROUNDS):
        priors = [hierarchy.prior(j) for j in range(len(fits))]
        for fit, prior in zip(fits, priors, strict=True):
            _set_prior(fit, prior, common, spread)
            _estimate(fit, _PASSES + 1 if turn == 0 else 2)
        if turn == _ROUNDS - 1:
            break
        for j, (fit, prior) in enumerate(zip(fits, priors, strict=True)):
            part = fit.law.part("t")
            if fit.problem.sources:
                hierarchy.tell(j, fit.z_P[part], fit.covariance_PP[part, part], prior)  # type: ignore[index]
        if len(hierarchy.shift_n):
            hierarchy.learn()
        _learn_common(fits, common)
        _learn_spread(fits, spread)
    return fits


def _common(law: Pairwise) -> dict[int, tuple[float, float]]:
    """Return place -> prior mean and standard deviation of the coordinates that targets have in common."""
    curve = enumerate(law.parameters[: len(CURVE)])
    return {place: parameter.prior for place, parameter in curve if parameter.shared_sd and parameter.prior}


def _spreads(law: Pairwise) -> dict[str, float]:
    """Return the prior standard deviations of e and h."""
    if not law.others:
        return {"e": 1.0, "h": 1.0}
    return {name: law.parameters[law.part(name).start].prior[1] for name in ("e", "h")}  # type: ignore[index]


def _set_prior(
    fit: Target, coefficients: tuple[np.ndarray, np.ndarray], common: dict[int, tuple[float, float]], spread: dict
) -> None:
    problem = fit.problem
    mean, precision = np.zeros(problem.size), np.zeros((problem.size, problem.size))
    for place, (centre, sd) in common.items():
        mean[place], precision[place, place] = centre, sd**-2
    part = problem.law.part("t")
    mean[part], precision[part, part] = coefficients[0], np.linalg.inv(coefficients[1])
    for name in ("e", "h") if problem.interference else ("e",):
        where = np.arange(problem.size)[problem.law.part(name)]
        precision[where, where] = spread[name] ** -2
    if problem.log_sizes_R is not None:
        mean[GAMMA], precision[GAMMA, GAMMA] = _GAMMA[0], _GAMMA[1] ** -2
    fit.mean_P, fit.precision_PP = mean, precision


def _estimate(fit: Target, passes: int) -> None:
    """Move the target to its maximum a posteriori point, with its noise, weights and covariance."""
    problem = fit.problem
    lower, upper = problem.bounds()
    if fit.z_P is None:
        starts = _starts(fit)
        span = float(np.ptp(problem.losses_R)) or 1e-6 * (float(np.abs(problem.losses_R).max()) + 1e-12)
        fit.scatter = Scatter(0.1 * span, 0.0, float(problem.losses_R.min()), span)
        fit.weights_R = np.ones(len(problem.losses_R))
        scale = np.full(len(problem.losses_R), 1 / fit.scatter.sd_nats)
    else:
        starts = [fit.z_P]
        scale = np.sqrt(fit.weights_R) / fit.scatter.at(problem.losses(fit.z_P[None])[0])
    for _ in range(passes):
        found = [
            minimise(
                problem.losses_and_jacobian, problem.losses_R, scale, s, fit.mean_P, fit.precision_PP, lower, upper
            )
            for s in starts
        ]
        best = min(found, key=lambda minimum: minimum.cost)
        starts = [best.z_P]
        _set_noise(fit, best)
        scale = np.sqrt(fit.weights_R) / fit.scatter.at(best.losses_R)
    fit.z_P = best.z_P


def _starts(fit: Target) -> list[np.ndarray]:
    low, middle = float(fit.problem.losses_R.min()), float(np.median(fit.problem.losses_R))
    starts = []
    for floor, beta in _STARTS:
        z = fit.mean_P.copy()
        z[E], z[LOG_BETA] = floor * low, np.log(beta)
        z[LOG_C] = 0.0
        typical = float(np.median(fit.problem.losses(z[None])[0] - z[E]))
        z[LOG_C] = np.log(max(middle - z[E], 1e-9 * max(abs(middle), 1e-9))) - np.log(max(typical, 1e-300))
        starts.append(z)
    return starts


def _set_noise(fit: Target, best: Minimum) -> None:
    """Estimate the scatter from the residuals, then the weights and the covariance."""
    problem, sd = fit.problem, fit.scatter
    count = len(problem.losses_R)
    free = np.flatnonzero(best.free_P)
    posterior = np.linalg.inv((best.information_PP + fit.precision_PP)[np.ix_(free, free)])
    used = float(np.sum(posterior * best.information_PP[np.ix_(free, free)]))
    fit.degrees = max(count - used, _FEWEST_DEGREES * count)
    size = np.abs(best.residuals_R)
    height = np.log(Scatter(1.0, 1.0, sd.base, sd.span).at(best.losses_R))
    centred = height - height.mean()
    logs = np.log(size + 0.1 * np.median(size) + 1e-300)
    # The logarithm of a standard normal's size has variance pi^2 / 8.
    power = float(np.clip(centred @ (logs - logs.mean()) / (centred @ centred + np.pi**2 / 8 / _POWER_SD**2), *_POWERS))
    scaled = size / np.exp(power * height)
    floor = 1e-8 * float(np.abs(problem.losses_R).max()) + 1e-300
    noise = clipped_noise(scaled, fit.degrees, float(np.median(scaled)) * ROBUST_SD, floor)
    fit.scatter = Scatter(noise, power, sd.base, sd.span)
    fit.weights_R = np.minimum(1.0, BEND * noise / np.maximum(scaled, 1e-300))
    fit.covariance_PP = np.zeros_like(fit.precision_PP)
    fit.covariance_PP[np.ix_(free, free)] = posterior


def _learn_common(fits: list[Target], common: dict[int, tuple[float, float]]) -> None:
    """Set mean and spread of the coordinates that all targets have from the targets' estimates."""
    for place, (centre, sd) in _common(fits[0].law).items():
        sure = fits[0].law.parameters[place].shared_sd
        usual = float(np.sqrt(sd**2 - sure**2))
        values = np.array([fit.z_P[place] for fit in fits])  # type: ignore[index]
        open_ = np.array([fit.covariance_PP[place, place] for fit in fits])
        variance = common[place][1] ** 2
        mean = (values.sum() / variance + centre / sure**2) / (len(fits) / variance + sure**-2)
        spread = (_BELIEF * usual**2 + ((values - mean) ** 2 + open_).sum()) / (_BELIEF + len(fits))
        common[place] = (float(mean), float(np.sqrt(spread)))


def _learn_spread(fits: list[Target], spread: dict[str, float]) -> None:
    for name, usual in _spreads(fits[0].law).items():
        if name == "h" and not fits[0].problem.interference:
            continue
        total, count = _BELIEF * usual**2, _BELIEF
        for fit in fits:
            part = fit.law.part(name)
            assert fit.z_P is not None
            total += float((fit.z_P[part] ** 2 + np.diag(fit.covariance_PP)[part]).sum())
            count += fit.problem.sources
        spread[name] = float(np.sqrt(total / count))
