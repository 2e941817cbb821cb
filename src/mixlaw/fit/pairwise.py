"""The fitter of the law `pairwise`: all targets at once, each on its own runs, sharing what they have in common.

Every target has a maximum a posteriori point under a normal prior; the priors are learnt from the targets themselves
(empirical Bayes), so that thirteen targets over seventeen domains need no more runs than they can bear:

    log n0, a, log beta     each target's own, around a common mean with a learnt spread
    log t_ji                the crossed effects of `mixlaw.fit.hierarchy`
    e_ji, h_ji              around 0 with a learnt spread
    gamma_j                 around 0.1: the exponent of the model's size, where runs are of several sizes

Rounds alternate: fit each target under its prior; let each target tell the hierarchy what its own runs say; learn.
Residuals are scaled by a standard deviation that may grow with the loss (`Scatter`) and weighted by Huber's weights.

Interference (h) is switched on when leaving out mixtures shows that it pays. Half a standard error of the paired
differences is enough: h is shrunk towards 0 anyhow, and where it is real its absence biases every extrapolation.

Shape letters: R runs, K domains, J targets, M other domains, P coordinates, S draws.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mixlaw.core.errors import TooFewRuns
from mixlaw.fit.damped import minimise
from mixlaw.fit.fitted import Fitted
from mixlaw.fit.information import Information, information
from mixlaw.fit.laplace import Around, draw
from mixlaw.fit.pairwise_problem import GAMMA, LOG_BETA, LOG_C, LOG_N0, A, E, PairwiseProblem
from mixlaw.fit.pairwise_rounds import BEND, Target, fit_rounds, rows_of

LEAST = 4
"""A target needs this many different mixtures; the priors do the rest, and the intervals say what is left open."""

_FOLDS = 5


def fit_pairwise(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    seed: int = 0,
    draws: int = 200,
    interference: bool | None = None,
    log_sizes_R: np.ndarray | None = None,
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
        log_sizes_R: logarithm of each run's model size over the largest; None where all are of one size.

    Raises:
        TooFewRuns: a target was measured at fewer than 4 different mixtures.
    """
    fits, unit = _fit_switched(domains, targets, tokens_RK, losses_RJ, interference, log_sizes_R)
    return [_fitted(target, unit, seed, draws) for target in fits]


def pairwise_left_out(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    folds: list[np.ndarray],
    log_sizes_R: np.ndarray | None = None,
) -> np.ndarray:
    """Return (R, J) losses predicted for each fold from the other runs; NaN for runs in no fold.

    The priors and the switch of interference are those of all runs, which favours the law a little: what they learn
    is a dozen numbers for all targets together.
    """
    fits, unit = _fit_switched(domains, targets, tokens_RK, losses_RJ, None, log_sizes_R)
    predicted = np.full(losses_RJ.shape, np.nan)
    for held in folds:
        for j, fit in enumerate(fits):
            kept = np.flatnonzero(~held & np.isfinite(losses_RJ[:, j]))
            if len(kept):
                predicted[held, j] = _left_out(fit, tokens_RK / unit, losses_RJ[:, j], kept, held, log_sizes_R)
    return predicted


def _fit_switched(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    interference: bool | None,
    log_sizes_R: np.ndarray | None,
) -> tuple[list[Target], float]:
    """Return the fitted targets, with interference where it is asked for or pays, and the unit of tokens."""
    _require_runs(targets, tokens_RK, losses_RJ)
    arrays = [
        None if x is None else np.ascontiguousarray(x, float).tobytes() for x in (tokens_RK, losses_RJ, log_sizes_R)
    ]
    return _fit_once(domains, targets, *arrays, interference)


@lru_cache(maxsize=1)
def _fit_once(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens: bytes,
    losses: bytes,
    sizes: bytes | None,
    interference: bool | None,
) -> tuple[list[Target], float]:
    """Do the work of `_fit_switched`; the last answer is kept: leaving runs out and fitting both start from it."""
    tokens_RK = np.frombuffer(tokens).reshape(-1, len(domains))
    losses_RJ = np.frombuffer(losses).reshape(-1, len(targets))
    log_sizes_R = None if sizes is None else np.frombuffer(sizes)
    unit = float(np.exp(np.mean(np.log(np.maximum(tokens_RK.sum(axis=1), 1e-12)))))
    without, with_ = (
        fit_rounds(domains, targets, tokens_RK / unit, losses_RJ, switch, log_sizes_R)
        if interference in (None, switch)
        else []
        for switch in (False, True)
    )
    if without and with_:
        return (with_ if _pays(without, with_, tokens_RK / unit, losses_RJ, log_sizes_R) else without), unit
    return without or with_, unit


def _require_runs(targets: tuple[str, ...], tokens_RK: np.ndarray, losses_RJ: np.ndarray) -> None:
    for j, target in enumerate(targets):
        distinct = len(np.unique(tokens_RK[np.isfinite(losses_RJ[:, j])], axis=0))
        if distinct < LEAST:
            raise TooFewRuns(
                f"Target '{target}' was measured at {distinct} different mixtures; law 'pairwise' needs {LEAST}.",
                f"Add at least {LEAST - distinct} more; 1 + 4 K are better.",
            )


def _fitted(fit: Target, unit: float, seed: int, draws: int) -> Fitted:
    problem, law = fit.problem, fit.law
    assert fit.z_P is not None

    def natural(z_SP: np.ndarray) -> np.ndarray:
        return law.rescale(problem.theta(z_SP), unit)

    lower, upper = problem.bounds()
    z_SP = fit.z_P[None]
    if draws:
        around = Around(
            problem.losses,
            problem.losses_R,
            fit.weights_R / fit.scatter.at(problem.losses(z_SP)[0]) ** 2,
            fit.z_P,
            fit.covariance_PP,
            fit.mean_P,
            fit.precision_PP,
            lower,
            upper,
            fit.degrees,
            problem.flat(fit.z_P),
        )
        z_SP = draw(around, seed, draws)
    at_bound = [("a", A)] * bool(fit.z_P[A] >= upper[A] - 1e-9 or fit.z_P[A] <= lower[A] + 1e-9)
    at_bound += [("E", E)] * bool(fit.z_P[E] <= lower[E] + 1e-12)
    gamma = None if problem.log_sizes_R is None else (float(fit.z_P[GAMMA]), z_SP[:, GAMMA])
    theta, names = natural(fit.z_P[None])[0], tuple(name for name, _ in at_bound)
    return Fitted(law, theta, natural(z_SP), fit.scatter, names, _known(fit), gamma)


def _known(fit: Target) -> Information:
    """Return what the runs say about the curve's parameters and the coefficients of the sources."""
    problem = fit.problem
    assert fit.z_P is not None
    part = problem.part("t")
    places = np.array([LOG_C, LOG_N0, A, LOG_BETA, E, *range(part.start, part.stop)])
    places = places[np.diag(fit.covariance_PP)[places] > 0]
    names = np.array([parameter.name for parameter in fit.law.parameters])[places]
    prior = np.full(problem.size, np.inf)
    held = np.flatnonzero(np.diag(fit.precision_PP) > 0)
    prior[held] = np.diag(np.linalg.inv(fit.precision_PP[np.ix_(held, held)]))
    jacobian = problem.losses_and_jacobian(fit.z_P)[1][:, places]
    return information(jacobian, list(map(str, names)), np.diag(fit.covariance_PP)[places], prior[places])


def _pays(
    without: list[Target],
    with_: list[Target],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    log_sizes_R: np.ndarray | None,
) -> bool:
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
                predicted = _left_out(fit, tokens_RK, losses_RJ[:, j], kept, held, log_sizes_R)
                errors[switch, held, j] = np.abs(predicted - losses_RJ[held, j]) / np.abs(losses_RJ[held, j])
    gain_R = np.nanmean(errors[0] - errors[1], axis=1)
    gain_R = gain_R[np.isfinite(gain_R)]
    return bool(gain_R.mean() > 0.5 * gain_R.std(ddof=1) / np.sqrt(len(gain_R)))


def _left_out(
    fit: Target,
    tokens_RK: np.ndarray,
    losses_R: np.ndarray,
    kept: np.ndarray,
    held: np.ndarray,
    log_sizes_R: np.ndarray | None,
) -> np.ndarray:
    problem, asked = (
        PairwiseProblem.of(fit.law, tokens_RK[r], losses_R[r], fit.problem.interference, rows_of(log_sizes_R, r))
        for r in (kept, held)
    )
    lower, upper = fit.problem.bounds()
    assert fit.z_P is not None
    z = fit.z_P
    for _ in range(2):
        predicted = problem.losses(z[None])[0]
        sd = fit.scatter.at(predicted)
        weights = np.minimum(1.0, BEND * sd / np.maximum(np.abs(predicted - losses_R[kept]), 1e-300))
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
    return asked.losses(z[None])[0]
