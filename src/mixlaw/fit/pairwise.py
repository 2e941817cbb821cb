"""The fitter of the law `pairwise`: all targets at once, each on its own runs, sharing what they have in common.

Every target has a maximum a posteriori point under a normal prior; the priors are learnt from the targets themselves
(empirical Bayes), so that thirteen targets over seventeen domains need no more runs than they can bear:

    log n0, a, log beta     each target's own, around a common mean with a learnt spread
    log t_ji                the crossed effects of `mixlaw.fit.hierarchy`
    e_ji, h_ji              around 0 with a learnt spread

Rounds alternate: fit each target under its prior; let each target tell the hierarchy what its own runs say; learn.
Residuals are scaled by a standard deviation that may grow with the loss (`Scatter`) and weighted by Huber's weights.

Interference (h) is switched on when leaving out mixtures shows that it pays. Half a standard error of the paired
differences is enough: h is shrunk towards 0 anyhow, and where it is real its absence biases every extrapolation.

Shape letters: R runs, K domains, J targets, M other domains, P coordinates, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mixlaw.core.errors import TooFewRuns
from mixlaw.fit.damped import Minimum, minimise
from mixlaw.fit.fitted import Fitted, Scatter
from mixlaw.fit.hierarchy import Hierarchy
from mixlaw.fit.laplace import draw
from mixlaw.fit.pairwise_problem import LOG_BETA, LOG_C, LOG_N0, A, E, PairwiseProblem
from mixlaw.laws.pairwise import Pairwise

LEAST = 4
"""A target needs this many different mixtures; the priors do the rest, and the intervals say what is left open."""

_ROUNDS = 4
_PASSES = 3
_BEND = 2.0
_CLIPPED = 0.9205
_POWER_SD = 0.5
_FOLDS = 5

_COMMON = {LOG_N0: (np.log(0.005), 2.0, 1.5), A: (0.65, 0.2, 0.1), LOG_BETA: (np.log(0.12), 0.6, 0.5)}
"""Coordinate -> prior mean of the common mean, its standard deviation, expected spread of targets around it."""

_SPREAD = {"e": 0.05, "h": 0.05}
_BELIEF = 10.0
"""Weight of the expected spreads, in targets (coefficients for e and h)."""


@dataclass
class _Target:
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


def fit_pairwise(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    seed: int = 0,
    draws: int = 200,
    interference: bool | None = None,
) -> list[Fitted]:
    """Return the targets' estimates (see `mixlaw.fit.fitted.Fitter`).

    Args:
        domains: K names.
        targets: J names; need not be domains.
        tokens_RK: tokens, millions.
        losses_RJ: nats; NaN where a run did not measure a target.
        seed: of the posterior draws.
        draws: how many; 0 for the estimates alone.
        interference: whether h is fitted; None leaves it to cross-validation.

    Raises:
        TooFewRuns: a target was measured at fewer than 4 different mixtures.
    """
    fits, unit = _fit_switched(domains, targets, tokens_RK, losses_RJ, interference)
    return [_fitted(target, unit, seed, draws) for target in fits]


def pairwise_left_out(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    folds: list[np.ndarray],
) -> np.ndarray:
    """Return (R, J) losses predicted for each fold from the other runs; NaN for runs in no fold.

    The priors and the switch of interference are those of all runs, which favours the law a little: what they learn
    is a dozen numbers for all targets together.
    """
    fits, unit = _fit_switched(domains, targets, tokens_RK, losses_RJ, None)
    predicted = np.full(losses_RJ.shape, np.nan)
    for held in folds:
        for j, fit in enumerate(fits):
            kept = np.flatnonzero(~held & np.isfinite(losses_RJ[:, j]))
            if len(kept):
                predicted[held, j] = _left_out(fit, tokens_RK / unit, losses_RJ[:, j], kept, held)
    return predicted


def _fit_switched(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    interference: bool | None,
) -> tuple[list[_Target], float]:
    """Return the fitted targets, with interference where it is asked for or pays, and the unit of tokens."""
    _require_runs(targets, tokens_RK, losses_RJ)
    unit = float(np.exp(np.mean(np.log(np.maximum(tokens_RK.sum(axis=1), 1e-12)))))
    without, with_ = (
        _fit(domains, targets, tokens_RK / unit, losses_RJ, switch) if interference in (None, switch) else []
        for switch in (False, True)
    )
    if without and with_:
        return (with_ if _pays(without, with_, tokens_RK / unit, losses_RJ) else without), unit
    return without or with_, unit


def _require_runs(targets: tuple[str, ...], tokens_RK: np.ndarray, losses_RJ: np.ndarray) -> None:
    for j, target in enumerate(targets):
        distinct = len(np.unique(tokens_RK[np.isfinite(losses_RJ[:, j])], axis=0))
        if distinct < LEAST:
            raise TooFewRuns(
                f"Target '{target}' was measured at {distinct} different mixtures; law 'pairwise' needs {LEAST}.",
                f"Add at least {LEAST - distinct} more; 1 + 4 K are better.",
            )


def _fit(
    domains: tuple[str, ...], targets: tuple[str, ...], tokens_RK: np.ndarray, losses_RJ: np.ndarray, interference: bool
) -> list[_Target]:
    """Return the fitted targets; tokens in units of a typical run's total."""
    fits = []
    for j, name in enumerate(targets):
        law, measured = Pairwise(domains, name), np.flatnonzero(np.isfinite(losses_RJ[:, j]))
        # A canonical order makes the result independent of the order of the runs, to the last bit.
        rows = measured[np.lexsort((*tokens_RK[measured].T, losses_RJ[measured, j]))]
        fits.append(_Target(law, PairwiseProblem.of(law, tokens_RK[rows], losses_RJ[rows, j], interference)))
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
    fit: _Target, coefficients: tuple[np.ndarray, np.ndarray], common: dict[int, tuple[float, float]], spread: dict
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
    fit.mean_P, fit.precision_PP = mean, precision


def _estimate(fit: _Target, passes: int) -> None:
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


def _starts(fit: _Target) -> list[np.ndarray]:
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


def _set_noise(fit: _Target, best: Minimum) -> None:
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
        clipped = np.minimum(scaled, _BEND * noise)
        noise = max(float(np.sqrt((clipped**2).sum() / (fit.degrees * _CLIPPED))), floor)
    fit.scatter = Scatter(noise, power, sd.base, sd.span)
    fit.weights_R = np.minimum(1.0, _BEND * noise / np.maximum(scaled, 1e-300))
    fit.covariance_PP = np.zeros_like(fit.precision_PP)
    fit.covariance_PP[np.ix_(free, free)] = posterior


def _learn_common(fits: list[_Target], common: dict[int, tuple[float, float]]) -> None:
    """Set mean and spread of the coordinates that all targets have from the targets' estimates."""
    for place, (centre, sure, usual) in _COMMON.items():
        values = np.array([fit.z_P[place] for fit in fits])  # type: ignore[index]
        open_ = np.array([fit.covariance_PP[place, place] for fit in fits])
        variance = common[place][1] ** 2
        mean = (values.sum() / variance + centre / sure**2) / (len(fits) / variance + sure**-2)
        spread = (_BELIEF * usual**2 + ((values - mean) ** 2 + open_).sum()) / (_BELIEF + len(fits))
        common[place] = (float(mean), float(np.sqrt(spread)))


def _learn_spread(fits: list[_Target], spread: dict[str, float]) -> None:
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


def _fitted(fit: _Target, unit: float, seed: int, draws: int) -> Fitted:
    problem, law = fit.problem, fit.law
    assert fit.z_P is not None

    def natural(z_SP: np.ndarray) -> np.ndarray:
        return law.rescale(problem.theta(z_SP), unit)

    lower, upper = problem.bounds()
    theta = natural(fit.z_P[None])[0]
    drawn = theta[None]
    if draws:
        drawn = natural(
            draw(
                problem.losses,
                problem.losses_R,
                fit.weights_R / fit.scatter.at(problem.losses(fit.z_P[None])[0]) ** 2,
                fit.z_P,
                fit.covariance_PP,
                fit.mean_P,
                fit.precision_PP,
                lower,
                upper,
                fit.degrees,
                seed,
                draws,
            )
        )
    at_bound = [("a", A)] * bool(fit.z_P[A] >= upper[A] - 1e-9 or fit.z_P[A] <= lower[A] + 1e-9)
    at_bound += [("E", E)] * bool(fit.z_P[E] <= lower[E] + 1e-12)
    return Fitted(law, theta, drawn, fit.scatter, tuple(name for name, _ in at_bound))


def _pays(without: list[_Target], with_: list[_Target], tokens_RK: np.ndarray, losses_RJ: np.ndarray) -> bool:
    """Return whether h lowers the error on left-out mixtures by more than half a standard error.

    Each target is fitted again without a fold of the mixtures, under the priors and the scatter of the whole fit.
    """
    mixtures = np.unique(tokens_RK, axis=0, return_inverse=True)[1].ravel()
    folds = min(_FOLDS, int(mixtures.max()) + 1)
    if tokens_RK.shape[1] < 2 or mixtures.max() + 1 < 2 * LEAST:
        return False
    errors = np.full((2, *losses_RJ.shape), np.nan)
    for switch, fits in enumerate((without, with_)):
        for j, fit in enumerate(fits):
            measured = np.isfinite(losses_RJ[:, j])
            for fold in range(folds):
                # Sorted mixtures are dealt out in turn: every fold has small and large runs; no randomness.
                held = measured & (mixtures % folds == fold)
                kept = np.flatnonzero(measured & ~held)
                if not held.any() or not len(kept):
                    continue
                predicted = _left_out(fit, tokens_RK, losses_RJ[:, j], kept, held)
                errors[switch, held, j] = np.abs(predicted - losses_RJ[held, j]) / np.abs(losses_RJ[held, j])
    gain_R = np.nanmean(errors[0] - errors[1], axis=1)
    gain_R = gain_R[np.isfinite(gain_R)]
    return bool(gain_R.mean() > 0.5 * gain_R.std(ddof=1) / np.sqrt(len(gain_R)))


def _left_out(
    fit: _Target, tokens_RK: np.ndarray, losses_R: np.ndarray, kept: np.ndarray, held: np.ndarray
) -> np.ndarray:
    problem = PairwiseProblem.of(fit.law, tokens_RK[kept], losses_R[kept], fit.problem.interference)
    lower, upper = fit.problem.bounds()
    assert fit.z_P is not None
    z = fit.z_P
    for _ in range(2):
        predicted = problem.losses(z[None])[0]
        sd = fit.scatter.at(predicted)
        weights = np.minimum(1.0, _BEND * sd / np.maximum(np.abs(predicted - losses_R[kept]), 1e-300))
        z = minimise(
            problem.losses_and_jacobian,
            losses_R[kept],
            np.sqrt(weights) / sd,
            z,
            fit.mean_P,
            fit.precision_PP,
            lower,
            upper,
        ).z_P
    return fit.law.predict(problem.theta(z[None])[0], tokens_RK[held])
