"""How well a law predicts runs that it has not seen, next to the predictor that any law must beat: the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.fit.engine import Estimate, estimate
from mixlaw.fit.transfer_problem import TransferProblem

_FOLDS = 20


@dataclass(frozen=True)
class CrossValidation:
    """Errors on left-out runs.

    Attributes:
        mre: mean of |predicted - measured| / measured; NaN with too few runs.
        mre_mean: the same for the mean of the other runs.
        spearman: rank correlation of predicted and measured; NaN where either is constant.
    """

    mre: float
    mre_mean: float
    spearman: float


def cross_validate(problem: TransferProblem, best: Estimate) -> CrossValidation:
    """Return errors of leaving out one run at a time (above 20 runs: one of 20 folds).

    Replicates of a mixture are left out together, so that no run is predicted from its own copy.
    """
    mixtures = np.unique(np.column_stack([problem.own_R, problem.others_R]), axis=0, return_inverse=True)[1].ravel()
    groups = mixtures % _FOLDS if mixtures.max() >= _FOLDS else mixtures
    free = int((problem.upper > problem.lower).sum())
    predicted = np.full(len(mixtures), np.nan)
    mean = np.full(len(mixtures), np.nan)
    for group in np.unique(groups):
        held = groups == group
        if len(np.unique(mixtures[~held])) < free:
            return CrossValidation(np.nan, np.nan, np.nan)
        z = estimate(problem.take(np.flatnonzero(~held)), near=best).z_P
        predicted[held] = problem.losses(z[None])[0][held]
        mean[held] = problem.losses_R[~held].mean()
    losses = np.maximum(problem.losses_R, 1e-12)
    return CrossValidation(
        float(np.mean(np.abs(predicted - losses) / losses)),
        float(np.mean(np.abs(mean - losses) / losses)),
        spearman(predicted, losses),
    )


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant."""
    from scipy.stats import rankdata

    ranks_a, ranks_b = rankdata(a) - (len(a) + 1) / 2, rankdata(b) - (len(b) + 1) / 2
    norm = np.sqrt((ranks_a**2).sum() * (ranks_b**2).sum())
    return float((ranks_a * ranks_b).sum() / norm) if norm > 0 else float("nan")
