"""The rounds of the fitter of `pairwise`: each target under its prior, then what the targets say about the priors.

Shape letters: R runs, K domains, J targets, M other domains, P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mixlaw.fit.damped import Minimum, minimise
from mixlaw.fit.fitted import Scatter
from mixlaw.fit.hierarchy import Hierarchy
from mixlaw.fit.pairwise_problem import GAMMA, LOG_BETA, LOG_C, LOG_N0, A, E, PairwiseProblem
from mixlaw.laws.pairwise import Pairwise

BEND = 2.0
"""Residuals beyond this many standard deviations count linearly (Huber)."""

_ROUNDS = 3
_PASSES = 3
_CLIPPED = 0.9205
_POWER_SD = 0.5
_COMMON = {LOG_N0: (np.log(0.005), 2.0, 1.5), A: (0.65, 0.2, 0.1), LOG_BETA: (np.log(0.08), 0.2, 0.2)}
"""Coordinate -> prior mean of the common mean, its standard deviation, expected spread of targets around it.

With few runs a steep curve above a high floor fits as well as a shallow one above a low floor, and is far off where a
target is hardly covered. Published exponents are small: .043 to .051 in Li, Liu and Xing 2025, Table 1."""
_SPREAD = {"e": 0.05, "h": 0.05}
_GAMMA = (0.1, 0.2)
"""Prior mean and standard deviation of gamma: fine-tuning exponents of size in Zhang et al. 2024, section 4."""
_BELIEF = 10.0
"""Weight of the expected spreads, in targets (coefficients for e and h)."""


@dataclass
class Target:
    """One target on its way through the rounds."""

    law: Pairwise
    problem: PairwiseProblem
    z_P: np.ndarray | None = None
    covariance_PP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    precision_PP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    mean_P: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scatter: Scatter = field(default_factory=lambda: Scatter(1.0))
    weights_R: np.ndarray = field(default_factory=lambda: np.zeros(0))
    degrees: float = 1.0


def rows_of(values_R: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values_R is None else values_R[rows]


def fit_rounds(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    interference: bool,
    log_sizes_R: np.ndarray | None,
) -> list[Target]:
    """Return the fitted targets; tokens in units of a typical run's total."""
    fits = []
    for j, name in enumerate(targets):
        law, measured = Pairwise(domains, name), np.flatnonzero(np.isfinite(losses_RJ[:, j]))
        # A canonical order makes the result independent of the order of the runs, to the last bit.
        rows = measured[np.lexsort((*tokens_RK[measured].T, losses_RJ[measured, j]))]
        problem = PairwiseProblem.of(law, tokens_RK[rows], losses_RJ[rows, j], interference, rows_of(log_sizes_R, rows))
        fits.append(Target(law, problem))
    hierarchy = Hierarchy.of([fit.law.own for fit in fits], len(domains))
    common = {place: (mean, float(np.hypot(sd, spread))) for place, (mean, sd, spread) in _COMMON.items()}
    spread = dict(_SPREAD)
    for turn in range(_ROUNDS):
        priors = [hierarchy.prior(j) for j in range(len(fits))]
        for fit, prior in zip(fits, priors, strict=True):
            _set_prior(fit, prior, common, spread)
            _estimate(fit, _PASSES + 1 if turn == 0 else 2)
        if turn == _ROUNDS - 1:
            break
        for j, (fit, prior) in enumerate(zip(fits, priors, strict=True)):
            part = fit.problem.part("t")
            if fit.problem.sources:
                hierarchy.tell(j, fit.z_P[part], fit.covariance_PP[part, part], prior)  # type: ignore[index]
        if len(hierarchy.shift_n):
            hierarchy.learn()
        _learn_common(fits, common)
        _learn_spread(fits, spread)
    return fits


def _set_prior(
    fit: Target, coefficients: tuple[np.ndarray, np.ndarray], common: dict[int, tuple[float, float]], spread: dict
) -> None:
    problem = fit.problem
    mean, precision = np.zeros(problem.size), np.zeros((problem.size, problem.size))
    for place, (centre, sd) in common.items():
        mean[place], precision[place, place] = centre, sd**-2
    part = problem.part("t")
    mean[part], precision[part, part] = coefficients[0], np.linalg.inv(coefficients[1])
    for name in ("e", "h") if problem.interference else ("e",):
        where = np.arange(problem.size)[problem.part(name)]
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
    for floor, beta in ((0.3, 0.1), (0.7, 0.25), (0.93, 0.5)):
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
    # Few runs and many parameters that priors half hold: the trace overstates what is left.
    fit.degrees = max(count - used, 0.2 * count)
    size = np.abs(best.residuals_R)
    height = np.log(Scatter(1.0, 1.0, sd.base, sd.span).at(best.losses_R))
    centred = height - height.mean()
    logs = np.log(size + 0.1 * np.median(size) + 1e-300)
    # The logarithm of a standard normal's size has variance pi^2 / 8.
    power = float(np.clip(centred @ (logs - logs.mean()) / (centred @ centred + np.pi**2 / 8 / _POWER_SD**2), -0.5, 2))
    scaled = size / np.exp(power * height)
    floor = 1e-8 * float(np.abs(problem.losses_R).max()) + 1e-300
    noise = max(float(np.median(scaled)) * 1.4826, floor)
    for _ in range(20):  # Huber's proposal 2, as in `mixlaw.fit.engine`
        clipped = np.minimum(scaled, BEND * noise)
        noise = max(float(np.sqrt((clipped**2).sum() / (fit.degrees * _CLIPPED))), floor)
    fit.scatter = Scatter(noise, power, sd.base, sd.span)
    fit.weights_R = np.minimum(1.0, BEND * noise / np.maximum(scaled, 1e-300))
    fit.covariance_PP = np.zeros_like(fit.precision_PP)
    fit.covariance_PP[np.ix_(free, free)] = posterior


def _learn_common(fits: list[Target], common: dict[int, tuple[float, float]]) -> None:
    """Set mean and spread of the coordinates that all targets have from the targets' estimates."""
    for place, (centre, sure, usual) in _COMMON.items():
        values = np.array([fit.z_P[place] for fit in fits])  # type: ignore[index]
        open_ = np.array([fit.covariance_PP[place, place] for fit in fits])
        variance = common[place][1] ** 2
        mean = (values.sum() / variance + centre / sure**2) / (len(fits) / variance + sure**-2)
        spread = (_BELIEF * usual**2 + ((values - mean) ** 2 + open_).sum()) / (_BELIEF + len(fits))
        common[place] = (float(mean), float(np.sqrt(spread)))


def _learn_spread(fits: list[Target], spread: dict[str, float]) -> None:
    for name, usual in _SPREAD.items():
        if name == "h" and not fits[0].problem.interference:
            continue
        total, count = _BELIEF * usual**2, _BELIEF
        for fit in fits:
            part = fit.problem.part(name)
            assert fit.z_P is not None
            total += float((fit.z_P[part] ** 2 + np.diag(fit.covariance_PP)[part]).sum())
            count += fit.problem.sources
        spread[name] = float(np.sqrt(total / count))
