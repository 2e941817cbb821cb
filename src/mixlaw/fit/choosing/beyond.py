"""What a law misses where there are no runs, learnt from runs that are held out.

The largest runs are held out and predicted from the others: by totals of tokens, and by model sizes. Where their
losses L lie off the predictions p by more than noise and parameters explain, the drift of `mixlaw.fit.posterior.
extrapolation` does, and its scale follows:

    L - p ~ N(0, N + S + tokens^2 u u')    u = x f    x distance beyond the largest run kept, f what tokens lower of p

What is left of the errors then may be a drift of the whole loss, and its scale follows in the same way, with the first
one's covariance added to S:

    L - p ~ N(0, N + S + tokens^2 u u' + whole^2 v v')    v = p sqrt(x)

Several groups, the runs above one, two and three levels, tell together as much as one of them: they are nested. Of
checkpoints along runs only the highest level is held out, and no whole loss drifts: how early one is, is told by the
last one of its run, so that the lower the cut, the more of the schedule of the learning rate is in the errors.

N is the noise of runs with the shocks of batches, S the covariance of the predictions without the held-out runs: of
the draws' covariance V, which has seen them, it is V (1 - N^-1 V)^-1, as where all is normal. Between mixtures the same
is done with the folds of held-out mixtures, one run at a time:

    L - p ~ N(0, N + S + (apart d V)^2)    d distance of the shares from the nearest run's that was kept

Every scale has a log-normal prior. Targets of one study tell each other what is usual there: each scale is log-normal
around a common one, which has the prior. The posterior is computed on a grid. Where nothing larger is held out, as
where all totals are alike, the prior's scale stays as it is (and no whole loss drifts). One domain has a smaller prior
if any are. A prior is given by its root mean square, so that it says the same where runs say nothing, and only its
spread counts where they say much.

Shape letters: R runs, K domains, J targets, S draws, H held-out runs, G points of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.errors import MixlawError
from mixlaw.core.lean import lean
from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import batch_of, has_checkpoints
from mixlaw.fit.choosing.held_out import estimator_of, folds
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.curve import Curve
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.posterior.extrapolation import (
    APART,
    SHOCK,
    SIGMA,
    SIZE_SIGMA,
    Beyond,
    distance_apart,
    distance_beyond,
    walk,
)
from mixlaw.fit.size import log_sizes
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind
from mixlaw.laws.base import places

_GAP = 0.2
"""Totals or sizes further apart than this, in powers of e, are different levels. No data."""

_CUTS = 3
"""At most so many times are the largest levels held out: one, two and three of them. No data."""

_KEPT = 2
"""Levels that must be kept, and half of the runs. No data."""

_COMMON_SD, _TARGET_SD = 0.6, 0.4
"""Standard deviations of the logarithms of a study's scale around the prior's and of a target's around the study's.
Chosen on: the tuning half of the fine-tuning curves and the fine-tuning swarm's mixtures at 180k and 360k tokens: with
.5 and .3 intervals of the first hold too much, with .7 and .5 those of the second too little (docs/lab.md)."""

_SIGMA_ALONE = 0.03
"""`SIGMA` for one domain, where larger runs are held out: no other target tells what is usual, so that the prior of a
study of many domains stayed as it was. Chosen on: the tuning half of the fine-tuning curves, two and three largest
sizes held out, where intervals hold 1.00, .95, .96, .97 with .05, .96, .85, .88, .95 with .03 and .85, .77, .85, .87
with .02 (docs/lab.md)."""

_WHOLE, _WHOLE_SD = 0.005, 1.0
"""Prior scale of the drift of whole losses at an e-fold, and standard deviation of its logarithm for a study: small,
and open to what larger runs say. Chosen on: planted tuning worlds with drifts of sd 0, .03 and .1 an e-fold, and the
tuning half of the fine-tuning curves, whose intervals it must hardly widen (docs/lab.md)."""

_ALIKE = 0.5
"""Correlation of the targets' errors: J targets tell as much of what is common as J / (1 + (J - 1) / 2). Chosen on:
RegMix's runs, whose targets' errors correlate by .3 to .6 (docs/lab.md)."""

_SEEN = 0.9
"""Part of a held-out run's variance that the draws can have learnt from it at the most. For safety. No data."""

_DEGREES = 4.0
"""Degrees of freedom of Student's t for errors between mixtures: single runs may be outliers. No data."""

_SPAN, _STEPS = 4.0, 41
"""The grid of a scale: so far on both sides of the prior's, in powers of e, and its points. No data."""


@dataclass(frozen=True)
class _Held:
    """Held-out runs of one target: errors, what explains them, and the shapes of what is sought, u and v."""

    error_H: np.ndarray
    covariance_HH: np.ndarray
    shape_H: np.ndarray
    whole_H: np.ndarray

    def with_drift(self, tokens: float) -> _Held:
        """Return what is left to the whole loss, where the part that tokens lower drifts by this scale."""
        drift_H = tokens * self.shape_H
        return replace(self, covariance_HH=self.covariance_HH + np.outer(drift_H, drift_H), shape_H=self.whole_H)

    def log_likelihood(self, scale_G: np.ndarray) -> np.ndarray:
        """Return (G,) log-likelihoods of the scale of a shift common to all, up to a constant."""
        inverse = np.linalg.inv(self.covariance_HH)
        information = float(self.shape_H @ inverse @ self.shape_H)
        pull = float(self.shape_H @ inverse @ self.error_H)
        variance_G = scale_G**2
        return 0.5 * (variance_G * pull**2 / (1 + variance_G * information) - np.log1p(variance_G * information))


def measured(runs: RunTable, kind: LawKind, estimates: Sequence[Estimated], checked: LawRow) -> list[Beyond]:
    """Return each target's `Beyond`.

    Args:
        runs: that were fitted, with repeated tokens counted.
        kind: the law.
        estimates: of the targets, in their order.
        checked: losses predicted while mixtures were held out.
    """
    some_R, sizes_R = runs.totals_R > 0, log_sizes(runs)
    prior = SIGMA if len(runs.domains) > 1 else _SIGMA_ALONE
    ended, cuts = not has_checkpoints(runs), _largest(runs.totals_R, some_R)
    larger, tried = _held_groups(runs, kind, estimates, cuts if ended else cuts[:1])
    tokens_J = np.full(len(estimates), SIGMA)
    whole_J = np.zeros(len(estimates))
    if larger:
        tokens_J = _scales(_likelihoods(larger, _grid(prior)), _grid(prior))
    if larger and ended:
        whole_J = _whole(larger, tokens_J)
    levels = [] if sizes_R is None else _largest(np.exp(sizes_R), some_R)
    models, _ = _held_groups(runs, kind, estimates, levels, by_size=True)
    size_J = np.full(len(estimates), SIZE_SIGMA)
    if models:
        size_J = _scales(_likelihoods(models, _grid(SIZE_SIGMA)), _grid(SIZE_SIGMA))
    apart_G = _grid(APART)
    apart = np.array([_apart(runs, j, one.curve, checked, apart_G) for j, one in enumerate(estimates)])
    scales = (tokens_J, size_J, _scales(apart, apart_G), whole_J)
    return [
        Beyond(float(a), tried, float(b), _shock(one), one.shock or 0.0, float(c), float(d))
        for a, b, c, d, one in zip(*scales, estimates, strict=True)
    ]


def _shock(one: Estimated) -> float:
    return SHOCK if one.shock is None else one.shock


def _likelihoods(groups: list[list[_Held | None]], scale_G: np.ndarray) -> np.ndarray:
    """Return (J, G) log-likelihoods of each target's scale from groups of held-out runs; they are nested."""
    some = [np.zeros((len(group), len(scale_G))) for group in groups]
    for log_JG, group in zip(some, groups, strict=True):
        for j, held in enumerate(group):
            log_JG[j] = 0.0 if held is None else held.log_likelihood(scale_G)
    return np.mean(some, axis=0)


def _whole(groups: list[list[_Held | None]], tokens_J: np.ndarray) -> np.ndarray:
    """Return (J,) scales of the drift of whole losses, given those of the part that tokens lower."""
    moved = [
        [None if held is None else held.with_drift(tokens) for held, tokens in zip(group, tokens_J, strict=True)]
        for group in groups
    ]
    whole_G = _grid(_WHOLE)
    return _scales(_likelihoods(moved, whole_G), whole_G, _WHOLE_SD)


def _grid(prior: float) -> np.ndarray:
    return prior * np.exp(np.linspace(-_SPAN, _SPAN, _STEPS))


def _scales(log_JG: np.ndarray, scale_G: np.ndarray, common_sd: float = _COMMON_SD) -> np.ndarray:
    """Return (J,) root mean squares of each target's scale given all targets' log-likelihoods; the prior's where none
    says anything."""
    J, step_G = len(log_JG), np.log(scale_G / scale_G[len(scale_G) // 2])
    if not log_JG.any():
        return np.full(J, scale_G[len(scale_G) // 2])
    # Rows: the common scale; columns: a target's.
    given_GG = np.exp(-0.5 * ((step_G[:, None] - step_G) / _TARGET_SD) ** 2)
    given_GG /= given_GG.sum(axis=1, keepdims=True)
    each_JG = np.exp(log_JG - log_JG.max(axis=1, keepdims=True))
    known_JG = np.log(np.maximum(each_JG @ given_GG.T, 1e-300))
    weight = 1 / (1 + (J - 1) * _ALIKE)
    # Around so much less than the prior's scale its root mean square is that scale.
    below = common_sd**2 + _TARGET_SD**2
    prior_G = -0.5 * ((step_G + below) / common_sd) ** 2
    found = np.empty(J)
    for j in range(J):
        # A target's own evidence counts in full, that of the others as of fewer.
        log_G = prior_G + weight * (known_JG.sum(axis=0) - known_JG[j])
        common_G = np.exp(log_G - log_G.max())
        own_G = (common_G @ given_GG) * each_JG[j]
        found[j] = np.sqrt((own_G * scale_G**2).sum() / own_G.sum())
    return found


def _largest(values_R: np.ndarray, some_R: np.ndarray) -> list[np.ndarray]:
    """Return masks (R,) of the runs above one, two and three of the highest gaps between levels."""
    logs = np.log(np.maximum(values_R, 1e-300))
    sorted_ = np.unique(logs[some_R])
    edges = sorted_[1:][np.diff(sorted_) > _GAP][::-1]
    cuts = [some_R & (logs >= edge - 1e-9) for edge in edges[:_CUTS]]
    return [held for i, held in enumerate(cuts) if 2 * held.sum() <= some_R.sum() and len(edges) - i >= _KEPT]


def _held_groups(
    runs: RunTable, kind: LawKind, estimates: Sequence[Estimated], masks: list[np.ndarray], *, by_size: bool = False
) -> tuple[list[list[_Held | None]], float]:
    """Return each group of held-out runs that says something, with the targets' own, and how far the furthest lies
    beyond the others."""
    found, furthest = [], 0.0
    for held in masks:
        group, distance = _evidence(runs, kind, estimates, held, by_size=by_size)
        if any(one is not None for one in group):
            found.append(group)
            furthest = max(furthest, distance)
    return found, furthest


def _evidence(
    runs: RunTable, kind: LawKind, estimates: Sequence[Estimated], held: np.ndarray, *, by_size: bool
) -> tuple[list[_Held | None], float]:
    """Return each target's held-out runs of one group, None where they say nothing, and how far they lie beyond."""
    found: list[_Held | None] = [None] * len(estimates)
    if not all(len(places(one.curve.law, "amplitude")) for one in estimates):
        return found, 0.0
    sizes_R = log_sizes(runs)
    along_R = np.exp(sizes_R) if by_size and sizes_R is not None else runs.totals_R
    distance_R = distance_beyond(along_R, float(along_R[~held].max()))
    try:
        predicted_RJ = _predicted(runs, kind, held)
    except MixlawError:
        return found, 0.0
    batch_R = batch_of(runs)
    # What levels of ended runs differ by may be the very drift that is looked for: a large shock explains none of it.
    levels = not has_checkpoints(runs) and sizes_R is None
    shocks = [min(_shock(one), SHOCK) if levels else _shock(one) for one in estimates]
    for j, one in enumerate(estimates):
        curve = one.curve
        rows = np.flatnonzero(held & np.isfinite(runs.losses_RJ[:, j]) & np.isfinite(predicted_RJ[:, j]))
        if len(rows):
            tokens_HK = runs.tokens_RK[rows] / MILLION
            sizes_H = None if sizes_R is None else sizes_R[rows]
            loss_H = predicted_RJ[rows, j]
            shape_H = distance_R[rows] * (loss_H if by_size else loss_H - _unlowered(curve, tokens_HK, sizes_H))
            covariance_HH = _unseen(curve, tokens_HK, sizes_H, loss_H)
            shock_H, together_HH = shocks[j] * loss_H, batch_R[rows, None] == batch_R[rows]
            covariance_HH += np.outer(shock_H, shock_H) * together_HH
            error_H = runs.losses_RJ[rows, j] - loss_H
            found[j] = _Held(error_H, covariance_HH, shape_H, walk(distance_R[rows]) * loss_H)
    return found, float(distance_R.max())


def _predicted(runs: RunTable, kind: LawKind, held: np.ndarray) -> np.ndarray:
    """Return (R, J) losses of the held-out runs, predicted from those that are kept."""
    estimator = estimator_of(kind)
    if not has_checkpoints(runs):
        return estimator.held_out(runs, [held])
    # How early a checkpoint is depends on the last one that is known of its run.
    predicted_RJ, kept = np.full(runs.losses_RJ.shape, np.nan), runs.take(~held)
    top, sizes_R = log_sizes(kept), log_sizes(runs)
    shift = 0.0 if sizes_R is None or top is None else float(sizes_R[~held].max())
    for j, one in enumerate(estimator.fit(kept, 0, 0)):
        sizes_H = None if sizes_R is None or one.curve.sizes is None else sizes_R[held] - shift
        predicted_RJ[held, j] = one.curve.losses(runs.tokens_RK[held] / MILLION, sizes_H)
    return predicted_RJ


def _unlowered(curve: Curve, tokens_HK: np.ndarray, sizes_H: np.ndarray | None) -> np.ndarray:
    """Return (H,) the part of the losses that no tokens lower, nats."""
    flat = curve.theta_P.copy()
    flat[places(curve.law, "amplitude")] = 0.0
    sizes = None if curve.sizes is None else (curve.sizes[0], curve.sizes[0][None])
    still = Curve(curve.law, flat, flat[None], curve.scatter, sizes)
    return still.losses(tokens_HK, sizes_H)


def _unseen(curve: Curve, tokens_HK: np.ndarray, sizes_H: np.ndarray | None, loss_H: np.ndarray) -> np.ndarray:
    """Return the (H, H) covariance of new runs of held-out mixtures around predictions that have not seen them."""
    drawn_SH = curve.losses_by_draw(tokens_HK, log_sizes_R=sizes_H)
    noise_H = np.maximum(curve.scatter.at(loss_H, lean(tokens_HK)), 1e-12)
    away_SH = (drawn_SH - drawn_SH.mean(axis=0)) / noise_H / np.sqrt(max(len(drawn_SH) - 1, 1))
    _, values, rows = np.linalg.svd(np.nan_to_num(away_SH), full_matrices=False)
    seen = np.minimum(values**2, _SEEN)
    unseen = (rows.T * (seen / (1 - seen))) @ rows
    return (unseen + np.eye(len(noise_H))) * np.outer(noise_H, noise_H)


def _apart(runs: RunTable, j: int, curve: Curve, checked: LawRow, scale_G: np.ndarray) -> np.ndarray:
    """Return (G,) log-likelihoods of a target's error at mixtures unlike any run's."""
    losses_R, predicted_R = runs.losses_RJ[:, j], checked.predicted_RJ[:, j]
    rows = np.flatnonzero(np.isfinite(losses_R) & np.isfinite(predicted_R))
    far_R = _distance_when_held(runs)
    if len(runs.domains) < 2 or not len(rows) or not far_R[rows].any():
        return np.zeros(len(scale_G))
    sizes_R = log_sizes(runs)
    sizes_H = None if sizes_R is None else sizes_R[rows]
    drawn_SH = curve.losses_by_draw(runs.tokens_RK[rows] / MILLION, log_sizes_R=sizes_H)
    noise_H = np.maximum(curve.scatter.at(predicted_R[rows], lean(runs.tokens_RK[rows])), 1e-12)
    seen_H = np.minimum(drawn_SH.var(axis=0) / noise_H**2, _SEEN)
    known_H = noise_H**2 / (1 - seen_H)
    variance_GH = known_H + (scale_G[:, None] * far_R[rows] * np.nanstd(losses_R)) ** 2
    squares_GH = (losses_R[rows] - predicted_R[rows]) ** 2 / variance_GH
    log_GH = -0.5 * np.log(variance_GH) - 0.5 * (_DEGREES + 1) * np.log1p(squares_GH / _DEGREES)
    return log_GH.sum(axis=1)


def _distance_when_held(runs: RunTable) -> np.ndarray:
    """Return (R,) how far each run's mixture lies from the nearest one that is kept when it is held out."""
    far_R = np.zeros(len(runs))
    for held in folds(runs):
        far_R[held] = distance_apart(runs.tokens_RK[held], runs.tokens_RK[~held])
    return far_R
