"""What a law does not know beyond the largest run: its curve may bend there.

Parameters that the runs leave open are drawn (`mixlaw.fit.posterior.around`). That the equation itself holds at ten or
a hundred times their tokens is an assumption; where it is wrong, bands are too narrow and regrets too small. So in
every draw the part of the loss that tokens lower, A D^-b with an amplitude A in nats tokens^b, moves with the log of
the distance:

    A_s = A exp(sigma z_s x) / m      x = log(total tokens / those of the largest run), 0 within the runs

with one standard normal z_s a draw and target; m keeps the mean over the draws. Beyond the largest model among the
runs nothing says that floors keep falling as they did, and all runs of a larger size share what they differ by: there
the whole loss moves, in the same way, with x the log of the model's size over the largest.

Source: that a model's discrepancy belongs into its prediction, and grows away from the data: Kennedy and O'Hagan 2001,
J. R. Stat. Soc. B 63:425-464, section 4. Differs: it is a function of the distance alone, and a factor.

Shape letters: R mixtures or runs, J targets, S draws, P parameters.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.laws.base import Law, places

SIGMA = 0.05
"""Relative standard deviation of a curve's height at e times the largest run. Chosen on: the fine-tuning swarm's
mixtures at 180k and 360k tokens: with it 90 % intervals cover about 90 instead of 67 to 79 % there (docs/lab.md)."""


SIZE_SIGMA = 0.01
"""Relative standard deviation of all losses of models e times as large as the largest among the runs. Chosen on: the
tuning half of a public pretraining sweep's mixtures, 2.2 times beyond the largest size (docs/lab.md): one step between
sizes, so a guess of the order."""


def distance_beyond(totals_R: np.ndarray | float, largest: float) -> np.ndarray:
    """Return how far each total lies beyond the largest run, in powers of e; 0 within."""
    return np.log(np.maximum(np.asarray(totals_R, float) / max(largest, 1e-300), 1.0))


def standard_normals(losses_RJ: np.ndarray, j: int, draws: int) -> np.ndarray:
    """Return (S,) z of target j: evenly spread standard normals in an order of its own.

    The order depends on how the target ranks the runs alone: not on names, units, or the order of runs and targets.
    """
    from scipy.special import ndtri

    known_RJ = np.nan_to_num(losses_RJ - np.nanmin(losses_RJ, axis=0))
    order = np.argsort(known_RJ.sum(axis=1), kind="stable")
    ranks = np.argsort(np.argsort(known_RJ[order, j], kind="stable")).astype(np.int64)
    rng = generator("drift", hashlib.sha256(ranks.tobytes()).hexdigest())
    return rng.permutation(ndtri((np.arange(draws) + 0.5) / draws)).round(3)


def factor(normals_S: np.ndarray, distance_R: np.ndarray) -> np.ndarray:
    """Return (S, R) factors of the amplitude, of mean 1 over the draws."""
    moved = np.exp(SIGMA * normals_S[:, None] * distance_R)
    return moved / moved.mean(axis=0)


def size_factor(normals_S: np.ndarray, distance_R: np.ndarray) -> np.ndarray:
    """Return (S, R) factors of the losses of models beyond the largest size; negative distances take them back."""
    # Rolled, so that what size and tokens leave open does not go together.
    return np.exp(SIZE_SIGMA * np.roll(normals_S, len(normals_S) // 2)[:, None] * distance_R)


def parameters_beyond(law: Law, theta_SP: np.ndarray, normals_S: np.ndarray, distance: float) -> np.ndarray:
    """Return the (S, P) parameters at one distance."""
    if not distance:
        return theta_SP
    theta_SP = theta_SP.copy()
    theta_SP[:, places(law, "amplitude")] *= factor(normals_S, np.array([distance]))
    return theta_SP


def losses_beyond(
    law: Law, theta_SP: np.ndarray, normals_S: np.ndarray, tokens_RK: np.ndarray, distance_R: np.ndarray
) -> np.ndarray:
    """Return (S, R) losses of mixtures, each at its own distance; tokens in millions."""
    losses_SR = law.predict(theta_SP, tokens_RK)
    amplitudes = places(law, "amplitude")
    if not len(amplitudes) or not np.any(distance_R > 0):
        return losses_SR
    rest = theta_SP.copy()
    rest[:, amplitudes] = 0.0  # losses are linear in amplitudes
    rest_SR = law.predict(rest, tokens_RK)
    return rest_SR + (losses_SR - rest_SR) * factor(normals_S, distance_R)
