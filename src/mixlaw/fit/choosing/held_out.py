"""Losses of held-out mixtures, predicted by a law that was fitted to the others, and the errors of such predictions.

Every law is fitted to the same folds of whole mixtures (replicates stay together) and asked for the rest.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mixlaw.core.errors import ConfigError, MixlawError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import rows_by_run
from mixlaw.fit.choosing.table import LawRow, LawTable
from mixlaw.fit.estimating.estimator import Estimator, OfTrainedRuns
from mixlaw.fit.estimating.law_problem import LawEstimator
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.estimating.regressor import RegressorEstimator
from mixlaw.fit.estimating.transfer import TransferEstimator
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.prediction import CEILING
from mixlaw.fit.size import largest_size, log_sizes
from mixlaw.laws import LawKind, find, names
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer

_FOLDS = 10
"""Number of parts of the mixtures; each is held out once. Usual. No data."""


def estimator_of(kind: LawKind) -> Estimator:
    """Return what fits a law: the one made for it, or the one for any law."""
    if kind.regressor is not None:
        found: Estimator = RegressorEstimator(kind)
    elif kind.law is Pairwise:
        found = PairwiseEstimator()
    else:
        found = TransferEstimator() if kind.law is Transfer else LawEstimator(kind)
    return found if kind.knows_base else OfTrainedRuns(found)


def compare_laws(runs: RunTable, laws: Sequence[Any] | None = None) -> LawTable:
    """Return the laws' figures, best first; laws that do not apply last, with the reason.

    Args:
        runs: R runs; merged models among them are left out.
        laws: whatever `mixlaw.laws.find` takes; None for all. The mean is always there.
    """
    runs = runs.take(~runs.merged_R)
    kinds = {kind.name: kind for kind in map(find, [*(names() if laws is None else laws), "mean"])}
    rows = [held_out(runs, kind) for kind in kinds.values()]
    return LawTable(sorted(rows, key=lambda row: (not np.isfinite(row.mre), row.mre if np.isfinite(row.mre) else 0.0)))


def held_out(runs: RunTable, law: Any) -> LawRow:
    """Return one law's figures on held-out mixtures; an error of the law becomes its note."""
    return figures_of(runs, law, folds(runs))


def figures_of(runs: RunTable, law: Any, parts: list[np.ndarray]) -> LawRow:
    """Return one law's figures on the runs of some folds, as `held_out`."""
    kind, began = find(law), time.perf_counter()
    predicted = np.full(runs.losses_RJ.shape, np.nan)
    try:
        require_one_size(runs, kind)
        predicted = estimator_of(kind).held_out(runs, parts)
    except MixlawError as error:
        return LawRow(kind.name, predicted, note=f"{error} {error.hint}".strip())
    seconds, losses = time.perf_counter() - began, runs.losses_RJ
    ceiling = CEILING * np.nanmax(np.abs(losses), axis=0)
    asked = np.any(parts, axis=0) if parts else np.ones(len(runs), bool)
    predicted = np.where(asked[:, None], np.clip(np.nan_to_num(predicted, nan=np.inf), 0, ceiling), np.nan)
    known = np.isfinite(losses) & asked[:, None]
    residual = np.where(known, predicted - losses, np.nan)
    spread = np.nansum(np.where(known, losses - np.nanmean(np.where(known, losses, np.nan), axis=0), np.nan) ** 2)
    ranks = [spearman(predicted[known[:, j], j], losses[known[:, j], j]) for j in range(losses.shape[1])]
    return LawRow(
        kind.name,
        predicted,
        float(np.nanmean(np.abs(residual) / magnitudes(losses))),
        float(np.mean(np.nan_to_num(ranks))),
        float(1 - np.nansum(residual**2) / spread) if spread > 0 else float("nan"),
        float(np.nanmean(residual)),
        seconds,
    )


def relative_errors(runs: RunTable, law: Any) -> np.ndarray:
    """Return (R, J) relative errors of held-out runs by a law; NaN where none could be made."""
    return np.abs(held_out(runs, law).predicted_RJ - runs.losses_RJ) / magnitudes(runs.losses_RJ)


def by_run(errors_RJ: np.ndarray, plain_RJ: np.ndarray) -> np.ndarray:
    """Return (R,) errors in units of the target's mean error among `plain_RJ`, means over targets; NaN where none is.

    So a target that no law follows, whose errors are many times the others', does not decide for all.
    """
    some_J = np.isfinite(plain_RJ).any(axis=0)
    units_J = np.ones(plain_RJ.shape[1])
    units_J[some_J] = np.nanmean(plain_RJ[:, some_J], axis=0)
    scaled_RJ = errors_RJ / np.maximum(units_J, 1e-300)
    some = np.isfinite(scaled_RJ) & np.isfinite(plain_RJ)
    with np.errstate(invalid="ignore"):
        return np.where(some, scaled_RJ, 0.0).sum(axis=1) / some.sum(axis=1)


def folds(runs: RunTable) -> list[np.ndarray]:
    """Return boolean masks (R,) of the runs to hold out: whole mixtures, at most ten folds, no randomness.

    Checkpoints and points along a run go with it. The base model, a run without tokens, is never held out: nothing lies
    beyond it from which to predict it.
    """
    some = runs.totals_R > 0
    if not some.any():
        return []
    tokens_RK = runs.tokens_RK.copy()
    of_runs = rows_by_run(runs)
    if len(of_runs) > 1:
        for rows in of_runs.values():
            tokens_RK[rows] = runs.tokens_RK[rows[runs.totals_R[rows].argmax()]]
    mixtures = np.unique(tokens_RK[some], axis=0, return_inverse=True)[1].ravel()
    # Sorted by total and dealt out in turn, so that every fold has small and large runs.
    totals = np.array([tokens_RK[some][mixtures == m][0].sum() for m in range(mixtures.max() + 1)])
    rank = np.full(len(runs), -1)
    rank[some] = np.argsort(np.argsort(totals, kind="stable"), kind="stable")[mixtures]
    count = min(_FOLDS, int(mixtures.max()) + 1)
    return [some & (rank % count == fold) for fold in range(count)] if count > 1 else []


def of_targets(runs: RunTable, columns: Sequence[int]) -> RunTable:
    """Return the table with some of its targets only, by their places."""
    targets = tuple(runs.targets[j] for j in columns)
    return replace(runs, targets=targets, losses_RJ=runs.losses_RJ[:, list(columns)], counts_RJ=None)


def largest(runs: RunTable, sizes: int, least: int) -> np.ndarray | None:
    """Return the mask (R,) of the runs of the largest totals.

    Args:
        runs: the runs.
        sizes: how many different totals.
        least: so many different totals above 0 must be left; None is returned where they are not.
    """
    totals = np.unique(runs.totals_R[runs.totals_R > 0])
    return runs.totals_R >= totals[-sizes] if len(totals) >= sizes + least else None


def require_one_size(runs: RunTable, kind: LawKind) -> None:
    """Raise ConfigError where the runs are of several model sizes and the law knows only one."""
    sizes = log_sizes(runs)
    if sizes is not None and not estimator_of(kind).any_size:
        top = largest_size(runs)
        raise ConfigError(
            f"The runs are of models with {top * np.exp(sizes.min()):.3g} to {top:.3g} parameters; law "
            f"'{kind.name}' can use only one size.",
            "Use law pairwise, or keep the runs of one size.",
        )


class Errors(NamedTuple):
    """Of held-out predictions of one target; NaN where there are too few.

    Attributes:
        mre: mean relative error, a share.
        mre_mean: the same for the mean of the runs with other mixtures.
        spearman: rank correlation; NaN where either side is constant.
        r2: share of the variance that is explained.
    """

    mre: float
    mre_mean: float
    spearman: float
    r2: float


def errors_of(predicted_R: np.ndarray, losses_R: np.ndarray, tokens_RK: np.ndarray) -> Errors:
    """Return the errors of held-out predictions; NaN predictions and losses are left out."""
    known = np.isfinite(losses_R) & np.isfinite(predicted_R)
    if known.sum() < 3:
        return Errors(*[float("nan")] * 4)
    predicted, losses = predicted_R[known], losses_R[known]
    mixtures = np.unique(tokens_RK[known], axis=0, return_inverse=True)[1].ravel()
    counts, sums = np.bincount(mixtures), np.bincount(mixtures, losses)
    others = np.maximum(len(losses) - counts[mixtures], 1)
    mean = (losses.sum() - sums[mixtures]) / others
    size, spread = magnitudes(losses), ((losses - losses.mean()) ** 2).sum()
    return Errors(
        float(np.mean(np.abs(predicted - losses) / size)),
        float(np.mean(np.abs(mean - losses) / size)),
        spearman(predicted, losses),
        float(1 - ((predicted - losses) ** 2).sum() / spread) if spread > 0 else float("nan"),
    )


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant."""
    ranks_a, ranks_b = _ranks(a) - (len(a) + 1) / 2, _ranks(b) - (len(b) + 1) / 2
    norm = np.sqrt((ranks_a**2).sum() * (ranks_b**2).sum())
    return float((ranks_a * ranks_b).sum() / norm) if norm > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return average ranks from 1 on, those of `scipy.stats.rankdata`, whose import takes a second."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
