"""What a law does not know where there are no runs: beyond the largest, its curve may bend.

Parameters that the runs leave open are drawn (`mixlaw.fit.posterior.around`). That the equation itself holds at ten or
a hundred times their tokens is an assumption; where it is wrong, bands are too narrow and regrets too small. So in
every draw the part of the loss that tokens lower, A D^-b with an amplitude A in nats tokens^b, moves with the log of
the distance:

    A_s = A exp(s(x) z_s) / m         x = log(total tokens / those of the largest run), 0 within the runs
    s(x)^2 = tokens^2 min(x, tried)^2 + max(tokens, 0.05)^2 (x^2 - min(x, tried)^2)

with one standard normal z_s a draw and target; m keeps the mean over the draws. `tokens` is learnt by holding the
largest runs out, so it holds up to the distance that was tried; a curve that did not bend there may still bend further
out. Beyond the largest model among the
runs nothing says that floors keep falling as they did, and all runs of a larger size share what they differ by: there
the whole loss moves, in the same way, with x the log of the model's size over the largest. So it does along tokens,
where larger runs that were held out say that more than the reducible part drifts, as a path without direction would:

    L_s = L exp(whole sqrt(x) z'_s) / m'    z' another normal a draw

Nor do the runs say how the loss goes on where a mixture has more of some domains than any of them. There a law says by
its equation alone what a change of the weights gains, and its draws are as narrow as the noise of the runs, however
wrong the equation: an interaction of shares or a saturation within the runs is taken for an exponent. Seen from such a
mixture, of which the part u lies outside (`part_outside`), gains are trusted to within a factor:

    s(x, u)^2 = s(x)^2 + gains^2 u

This counts for the regret alone, where it is a target's gain against another's that decides; not for the best weights,
nor for predictions, whose intervals hold without it.

Two more errors widen the interval of a run alone, not the draws, since they do not tell one mixture from another. Runs
of another batch (more tokens than any run, fewer, or another model size) share what they differ by, a shock. And a
mixture unlike any run's asks the law for an interaction that no run has shown:

    sd(run)^2 = sd(scatter)^2 + (shock s(y) L)^2 + (inside L)^2 (1 - s(y)^2) + (apart d V)^2
    s(y)^2 = 1 - exp(-(y / 0.1)^2)    y = distance of the total from those of the runs, in powers of e
    d                                 half the L1 distance of the shares from the nearest run's
    V                                 standard deviation of the measured losses, nats

Within the range of the runs the scatter around the law holds what batches differ by, and `inside` is 0. Where their
shocks were fitted, the law and its scatter are free of them, and every run has one again.

How large these are for a target, `Beyond` says; what is known of it before, and what larger runs that are held out
teach, is in `mixlaw.fit.choosing.beyond`.

Source: that a model's discrepancy belongs into its prediction, and grows away from the data: Kennedy and O'Hagan 2001,
J. R. Stat. Soc. B 63:425-464, section 4. Differs: it is a function of the distance alone, and a factor.

Shape letters: R mixtures or runs, J targets, S draws, P parameters.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.laws.base import Law, places

SIGMA = 0.05
"""Relative standard deviation of a curve's height at e times the largest run, before larger runs say otherwise. Chosen
on: the fine-tuning swarm's mixtures at 180k and 360k tokens: with it 90 % intervals cover about 90 instead of 67 to
79 % there (docs/lab.md)."""


SIZE_SIGMA = 0.01
"""Relative standard deviation of all losses of models e times as large as the largest among the runs. Chosen on: the
tuning half of a public pretraining sweep's mixtures, 2.2 times beyond the largest size (docs/lab.md): one step between
sizes, so a guess of the order."""

SHOCK = 0.002
"""Standard deviation of what all runs of another batch have in common, as a share of the loss, before any are seen.
Chosen on: as `mixlaw.fit.checkpoints.TAU`, which is the same for checkpoints."""

APART = 0.05
"""Standard deviation of the law's error at a mixture that shares no token with any run's, over that of the measured
losses, before held-out mixtures say otherwise. Chosen on: 64 of RegMix's runs and 100 of Olmix's (tuning draws), which
learn .03 to .06 (docs/lab.md)."""

GAINS = 0.7
"""Relative standard deviation of what a target gains by other weights, at a mixture that shares nothing with what runs
can be mixed to. Chosen on: planted tuning worlds of different kinds, so that the 95th percentile of the regret holds
there 95 times of 100 (docs/lab.md)."""

_MOST = 50_000
"""Runs times domains up to which the part outside is found exactly; beyond, the nearest run alone counts, from which it
is further. For speed. No data."""

_SAME = 1e-6
"""Parts below this are rounding. No data."""

_NEXT = 0.1
"""Distance in powers of e at which runs are of another batch. For a smooth band. No data."""


@dataclass(frozen=True)
class Beyond:
    """How far one target's losses may lie from what its law says where there are no runs.

    Attributes:
        tokens: relative standard deviation of the curve's height at e times the largest run.
        tried: distance up to which `tokens` was learnt from runs that were held out, in powers of e.
        size: of all losses of models e times as large as the largest.
        shock: standard deviation of what runs of another batch have in common, as a share of the loss.
        inside: the same within the range of the runs' tokens and sizes.
        apart: of the law's error at a mixture that shares nothing with any run's, over that of the measured losses.
        whole: relative standard deviation of the whole loss at e times the largest run, besides `tokens`; 0 where no
            larger runs were held out.
    """

    tokens: float = SIGMA
    tried: float = 0.0
    size: float = SIZE_SIGMA
    shock: float = SHOCK
    inside: float = 0.0
    apart: float = APART
    whole: float = 0.0

    def bend(self, distance_R: np.ndarray, part: float = 0.0) -> np.ndarray:
        """Return s(x, u), the relative standard deviation of the curve's height.

        Args:
            distance_R: x, how far beyond the runs, in powers of e; any shape.
            part: u, of the mixture from which gains are seen, for the regret; 0 for anything else.
        """
        near_R = np.minimum(distance_R, self.tried)
        further = max(self.tokens, SIGMA)
        beyond_R = (self.tokens * near_R) ** 2 + further**2 * (np.square(distance_R) - near_R**2)
        return np.sqrt(beyond_R + GAINS**2 * part)

    def drift(self, distance_R: np.ndarray) -> np.ndarray:
        """Return the relative standard deviation of the whole loss at distances beyond the runs, in powers of e."""
        return self.whole * walk(distance_R)

    def spread(self, loss_R: np.ndarray, outside_R: np.ndarray, apart_R: np.ndarray, varied: float) -> np.ndarray:
        """Return (R,) standard deviations that a run has besides its scatter, nats.

        Args:
            loss_R: predicted losses, nats; or (S, R) of them, and so is what is returned.
            outside_R: distances of the totals (or sizes) from those of the runs, in powers of e.
            apart_R: half the L1 distances of the shares from the nearest run's.
            varied: standard deviation of the measured losses, nats.
        """
        within_R = np.exp(-((outside_R / _NEXT) ** 2))
        shock_R = loss_R * np.sqrt(self.shock**2 * (1 - within_R) + self.inside**2 * within_R)
        return np.hypot(shock_R, self.apart * apart_R * varied)


def walk(distance_R: np.ndarray) -> np.ndarray:
    """Return how a drift without direction grows with the distance, in powers of e."""
    return np.sqrt(distance_R)


def distance_beyond(totals_R: np.ndarray | float, largest: float) -> np.ndarray:
    """Return how far each total lies beyond the largest run, in powers of e; 0 within."""
    return np.log(np.maximum(np.asarray(totals_R, float) / max(largest, 1e-300), 1.0))


def distance_outside(totals_R: np.ndarray, runs_R: np.ndarray) -> np.ndarray:
    """Return how far each total lies beyond the largest run or below the smallest that has tokens, in powers of e."""
    known_R = runs_R[runs_R > 0]
    if not len(known_R):
        return np.zeros(len(totals_R))
    below_R = np.log(known_R.min() / np.clip(totals_R, 1e-300, known_R.min()))
    return np.where(totals_R > 0, distance_beyond(totals_R, float(known_R.max())) + below_R, 0.0)


def distance_apart(tokens_RK: np.ndarray, runs_RK: np.ndarray) -> np.ndarray:
    """Return (R,) half the L1 distances of mixtures' shares from the nearest run's, 0 to 1; 0 without any tokens."""
    shares_RK, known_RK = (part / np.maximum(part.sum(axis=1), 1e-300)[:, None] for part in (tokens_RK, runs_RK))
    known_RK = np.unique(known_RK[runs_RK.sum(axis=1) > 0], axis=0)
    if not len(known_RK):
        return np.zeros(len(tokens_RK))
    far_R = np.array([0.5 * np.abs(known_RK - row).sum(axis=1).min() for row in shares_RK])
    return np.where(tokens_RK.sum(axis=1) > 0, far_R, 0.0)


def part_outside(tokens_K: np.ndarray, runs_RK: np.ndarray) -> float:
    """Return u, the part of a mixture that runs cannot be mixed to: 0 to 1; 0 without runs that have tokens.

        u = min over c of sum_i max(w_i - sum_r c_r w_ri, 0)    c_r >= 0, sum_r c_r = 1, w shares

    Args:
        tokens_K: of the mixture.
        runs_RK: of the runs.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    known_RK, total = runs_RK[runs_RK.sum(axis=1) > 0], float(tokens_K.sum())
    nearest = float(distance_apart(tokens_K[None], runs_RK)[0])
    if nearest <= _SAME or known_RK.size > _MOST:
        return nearest if nearest > _SAME else 0.0
    shares_KR = (known_RK / known_RK.sum(axis=1, keepdims=True)).T
    K, R = shares_KR.shape
    # Variables: the weight of each run, and of each domain what is missing.
    found = linprog(
        np.r_[np.zeros(R), np.ones(K)],
        A_ub=-hstack([csr_array(shares_KR), eye_array(K)]),
        b_ub=-tokens_K / total,
        A_eq=np.r_[np.ones(R), np.zeros(K)][None],
        b_eq=[1.0],
    )
    part = float(found.fun) if found.success else nearest
    return part if part > _SAME else 0.0


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


def factor(normals_S: np.ndarray, bend_R: np.ndarray) -> np.ndarray:
    """Return (S, R) factors of the amplitude, of mean 1 over the draws, where curves bend by so much."""
    moved = np.exp(normals_S[:, None] * bend_R)
    return moved / moved.mean(axis=0)


def size_factor(normals_S: np.ndarray, scale: float, distance_R: np.ndarray) -> np.ndarray:
    """Return (S, R) factors of the losses of models beyond the largest size; negative distances take them back."""
    # Rolled, so that what size and tokens leave open does not go together.
    return np.exp(scale * np.roll(normals_S, len(normals_S) // 2)[:, None] * distance_R)


def whole_factor(normals_S: np.ndarray, drift_R: np.ndarray) -> np.ndarray:
    """Return (S, R) factors of the whole loss, of mean 1 over the draws, where it drifts by so much."""
    # Rolled, so that it goes together neither with what bends the curve nor with what size leaves open.
    return factor(np.roll(normals_S, len(normals_S) // 3), drift_R)


def parameters_beyond(
    law: Law, theta_SP: np.ndarray, normals_S: np.ndarray, bend: float, drift: float = 0.0
) -> np.ndarray:
    """Return the (S, P) parameters where curves bend, and whole losses drift, by so much."""
    if not bend and not drift:
        return theta_SP
    theta_SP, amplitudes = theta_SP.copy(), places(law, "amplitude")
    if bend:
        theta_SP[:, amplitudes] *= factor(normals_S, np.array([bend]))
    if drift:
        theta_SP[:, [*amplitudes, *places(law, "floor")]] *= whole_factor(normals_S, np.array([drift]))
    return theta_SP


def losses_beyond(
    law: Law,
    theta_SP: np.ndarray,
    normals_S: np.ndarray,
    tokens_RK: np.ndarray,
    bend_R: np.ndarray,
    drift_R: np.ndarray | None = None,
) -> np.ndarray:
    """Return (S, R) losses of mixtures, where curves bend, and whole losses drift, by so much; tokens in millions."""
    losses_SR = law.predict(theta_SP, tokens_RK)
    amplitudes = places(law, "amplitude")
    if len(amplitudes) and np.any(bend_R > 0):
        rest = theta_SP.copy()
        rest[:, amplitudes] = 0.0  # losses are linear in amplitudes
        rest_SR = law.predict(rest, tokens_RK)
        losses_SR = rest_SR + (losses_SR - rest_SR) * factor(normals_S, bend_R)
    return losses_SR if drift_R is None or not drift_R.any() else losses_SR * whole_factor(normals_S, drift_R)
