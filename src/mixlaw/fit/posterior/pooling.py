"""What the targets tell each other: draws of each are weighted by how usual they are among all.

Few noisy runs leave a target's floor E and exponent beta open, and with them how much its loss falls far away. Domains
trained by one recipe are of one kind: their exponents, and the nats by which the runs' losses lie above their floors,
are taken as draws from a common distribution, learnt from all targets (empirical Bayes):

    z_j = log beta_j,  log(mean loss_j - E_j)      z_j ~ mu + tau t_4

Each target's draws, made under its own prior p0, get the weights t_4((z - mu) / tau) / p0(z) and are drawn again. mu
and tau come from the same weights, by expectation-maximisation. A target whose own runs are clear keeps its draws:
Student's t lets it lie apart. The point estimate stays what the target's own runs say.

Source: empirical Bayes, Efron and Morris 1973, J. Am. Stat. Assoc. 68:117-130; Student's t by scale mixture, Lange,
Little, Taylor 1989, J. Am. Stat. Assoc. 84:881-896; drawing again by weight, Rubin 1988, Bayesian Statistics 3:395-402.

Shape letters: S draws, J targets, M shared coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixlaw.fit.curve import Curve

_DEGREES = 4.0
_SPREAD, _BELIEVED = 0.35, 2.0
"""tau before any target is seen, and how many targets that belief counts for."""

_ROUNDS = 50
_LEAST_EFFECTIVE = 0.05
"""Part of the draws that must still count; below it the weights are flattened until it does."""


def pooled(
    curves: Sequence[Curve], losses_J: np.ndarray, beta_prior: tuple[float, float] | None, draws: int
) -> list[Curve]:
    """Return the curves with `draws` draws each, weighted by what all of them have in common.

    Args:
        curves: J, with more draws than are wanted, of laws that have a floor `E` and an exponent `beta`.
        losses_J: mean measured loss of each, nats.
        beta_prior: mean and standard deviation of log beta in each target's own prior; None where the fit of the law
            has shared beta already.
        draws: how many are kept.
    """
    pooled_J = [j for j, curve in enumerate(curves) if not curve.law.target.startswith("metric:")]
    log_weights = {j: np.zeros(len(curve.draws_SP)) for j, curve in enumerate(curves)}
    if len(pooled_J) >= 2:
        z_JSM = [_coordinates(curves[j], losses_J[j], beta_prior) for j in pooled_J]
        log_weights |= dict(zip(pooled_J, _learnt(z_JSM, [_log_prior(z, beta_prior) for z in z_JSM]), strict=True))
    return [_taken(curve, log_weights[j], draws) for j, curve in enumerate(curves)]


def _coordinates(curve: Curve, loss: float, beta_prior: tuple[float, float] | None) -> np.ndarray:
    draws = curve.draws
    above = np.log(np.maximum(loss - draws["E"], 1e-6 * abs(loss) + 1e-300))
    if beta_prior is None:
        return above[:, None]
    return np.column_stack([above, np.log(np.maximum(draws["beta"], 1e-300))])


def _log_prior(z_SM: np.ndarray, beta_prior: tuple[float, float] | None) -> np.ndarray:
    """Return (S,) log densities of the coordinates under a target's own prior: E is flat in nats, log beta normal."""
    density = z_SM[:, 0].copy()
    if beta_prior is not None:
        density -= 0.5 * ((z_SM[:, 1] - beta_prior[0]) / beta_prior[1]) ** 2
    return density


def _learnt(z_JSM: list[np.ndarray], own_JS: list[np.ndarray]) -> list[np.ndarray]:
    """Return (S,) log weights of each target's draws."""
    J = len(z_JSM)
    mu_M, tau_M = np.mean([z.mean(axis=0) for z in z_JSM], axis=0), np.full(z_JSM[0].shape[1], _SPREAD)
    for _ in range(_ROUNDS):
        sums = []
        for z_SM, own_S in zip(z_JSM, own_JS, strict=True):
            weights_S = np.exp(_flattened(_log_student(z_SM, mu_M, tau_M) - own_S))
            near_SM = (_DEGREES + 1) / (_DEGREES + ((z_SM - mu_M) / tau_M) ** 2)
            sums.append((weights_S @ near_SM, weights_S @ (near_SM * z_SM), weights_S @ (near_SM * (z_SM - mu_M) ** 2)))
        # Sorted, so that the order of the targets does not change a digit.
        near_M, first_M, second_M = (np.sort(part, axis=0).sum(axis=0) for part in zip(*sums, strict=True))
        mu_M = first_M / near_M
        tau_M = np.sqrt((second_M + _BELIEVED * _SPREAD**2) / (J + _BELIEVED))
    return [_flattened(_log_student(z, mu_M, tau_M) - own) for z, own in zip(z_JSM, own_JS, strict=True)]


def _log_student(z_SM: np.ndarray, mu_M: np.ndarray, tau_M: np.ndarray) -> np.ndarray:
    return -0.5 * (_DEGREES + 1) * np.log1p(((z_SM - mu_M) / tau_M) ** 2 / _DEGREES).sum(axis=1)


def _flattened(log_weights_S: np.ndarray) -> np.ndarray:
    """Return log weights that sum to 1, their power lowered until enough draws count (Kish's effective number)."""
    power, log_weights_S = 1.0, log_weights_S - log_weights_S.max()
    while True:
        weights = np.exp(power * log_weights_S)
        weights /= weights.sum()
        if 1 / (weights**2).sum() >= _LEAST_EFFECTIVE * len(weights) or power < 1e-3:
            return np.log(np.maximum(weights, 1e-300))
        power *= 0.8


def _taken(curve: Curve, log_weights_S: np.ndarray, draws: int) -> Curve:
    """Return the curve with draws taken at even steps of the summed weights; equal weights change nothing."""
    steps = np.cumsum(np.exp(log_weights_S - log_weights_S.max()))
    taken = np.searchsorted(np.round(steps / steps[-1], 12), (np.arange(draws) + 0.5) / draws)
    return curve.take(np.minimum(taken, len(steps) - 1))
