"""Boosted regression trees on shares and tokens: no equation, no extrapolation, strong where runs are many.

With 200 runs or more the trees have RegMix's settings: 1,000 rounds at a learning rate of 0.01, LightGBM's defaults
otherwise (31 leaves, 20 runs in a leaf), stopped early on an eighth of the runs held out.

With fewer runs those settings cannot split at all, and below 40 they predict one constant. Then trees of two to four
leaves with as few as two runs each are boosted for up to 400 rounds at 0.03; leaves, penalty and rounds have the
smallest error in an inner five-fold cross-validation. Beyond the runs' range a tree repeats its outermost leaf.

Source: Liu et al., "RegMix: Data Mixture as Regression for Language Model Pre-training", 2024, arXiv 2407.01492, and
the settings published with it.
Differs: the settings for few runs; tokens and the total are columns too, since RegMix has one budget; splits are
passed gradually between two runs (`mixlaw.laws._gradual`), so that `solve` can follow the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.errors import MissingExtra
from mixlaw.laws._gradual import GradualTrees
from mixlaw.laws._shares import Features

MANY_RUNS = 200
"""From this number of runs on, the published settings are used: with 20 runs in each leaf, fewer runs are hardly
ever split. No data."""

_FIXED = {
    "objective": "regression",
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
    "feature_pre_filter": False,
}
"""Settings that give the same answer on every machine, without messages. No data."""

_PUBLISHED = {"learning_rate": 0.01, "num_leaves": 31, "min_child_samples": 20}
"""Settings for many runs. Source: RegMix's code."""

_PUBLISHED_ROUNDS, _PATIENCE = 1000, 3
"""For many runs: the largest number of rounds, and after how many rounds without gain boosting stops. Source:
RegMix's code."""

_SMALL = {"learning_rate": 0.03, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0.0}
"""Settings that are common to all choices for few runs. No data."""

_FEW = (
    {**_SMALL, "num_leaves": 2, "min_child_samples": 2, "lambda_l2": 1.0},
    {**_SMALL, "num_leaves": 3, "min_child_samples": 2, "lambda_l2": 0.1},
    {**_SMALL, "num_leaves": 4, "min_child_samples": 3, "lambda_l2": 1.0},
)
"""Choices of settings for few runs, beginning with trees of one split; cross-validation takes one. No data."""

_FEW_ROUNDS, _FOLDS = 400, 5
"""The largest number of rounds, and the folds of that cross-validation. No data."""


@dataclass(frozen=True)
class GbdtPredictor:
    """Fitted trees.

    Attributes:
        features: columns from tokens.
        booster: LightGBM's model; None where there were too few runs to split.
        mean: what is predicted then, nats.
        trees: the model's trees, with gradual splits.
    """

    features: Features
    booster: Any
    mean: float
    trees: GradualTrees | None = None

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R,) losses, nats (see `Predictor.predict`)."""
        if self.trees is None:
            return np.full(len(tokens_RK), self.mean)
        return self.trees.predict(self.features(tokens_RK))


class Gbdt:
    """LightGBM's boosted trees."""

    name = "gbdt"

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> GbdtPredictor:
        """Return the fitted trees (see `Regressor.fit`)."""
        try:
            import lightgbm
        except ImportError as error:
            raise MissingExtra("lightgbm", "laws", "The law 'gbdt'") from error
        # Folds go by position: in one fixed order of the runs, shuffling them changes nothing.
        order = np.lexsort([losses_R, *np.transpose(tokens_RK)])
        tokens_RK, losses_R = np.asarray(tokens_RK)[order], np.asarray(losses_R, dtype=np.float64)[order]
        features = Features.of(tokens_RK, "shares", "tokens", "total")
        columns, rng = features(tokens_RK), np.random.default_rng(seed)
        mean = float(losses_R.mean())
        if len(losses_R) < 4 or np.ptp(losses_R) == 0:
            return GbdtPredictor(features, None, mean)
        fixed = {**_FIXED, "seed": int(rng.integers(2**31))}
        order = rng.permutation(len(losses_R))
        if len(losses_R) >= MANY_RUNS:
            held = np.isin(np.arange(len(losses_R)), order[: len(losses_R) // 8])
            stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
            booster, _ = _train(
                lightgbm, {**fixed, **_PUBLISHED}, columns, losses_R, held, _PUBLISHED_ROUNDS, callbacks=(stop,)
            )
            return GbdtPredictor(features, booster, mean, GradualTrees.of(booster, columns))
        settings, rounds = _chosen(lightgbm, fixed, columns, losses_R, order)
        data = lightgbm.Dataset(columns, losses_R)
        booster = lightgbm.train({**fixed, **settings}, data, rounds)
        return GbdtPredictor(features, booster, mean, GradualTrees.of(booster, columns))


def _chosen(
    lightgbm: Any, fixed: dict, columns: np.ndarray, losses_R: np.ndarray, order: np.ndarray
) -> tuple[dict, int]:
    """Return the settings and the number of rounds with the smallest cross-validated squared error."""
    folds = min(_FOLDS, len(losses_R) // 2)
    fold_R = np.empty(len(losses_R), dtype=int)
    fold_R[order] = np.arange(len(losses_R)) % folds
    best = (np.inf, _FEW[0], 1)
    for settings in _FEW:
        curve = np.zeros(_FEW_ROUNDS)
        for fold in range(folds):
            held = fold_R == fold
            curve += held.sum() * _train(lightgbm, {**fixed, **settings}, columns, losses_R, held, _FEW_ROUNDS)[1]
        if curve.min() < best[0]:
            best = (float(curve.min()), settings, int(curve.argmin()) + 1)
    return best[1], best[2]


def _train(
    lightgbm: Any,
    settings: dict,
    columns: np.ndarray,
    losses_R: np.ndarray,
    held_R: np.ndarray,
    rounds: int,
    callbacks: tuple = (),
) -> tuple[Any, np.ndarray]:
    """Return trees trained on the runs not held out, and the mean squared error of those that are, by round."""
    curves: dict = {}
    training = lightgbm.Dataset(columns[~held_R], losses_R[~held_R])
    validation = training.create_valid(columns[held_R], losses_R[held_R])
    record = lightgbm.record_evaluation(curves)
    booster = lightgbm.train(settings, training, rounds, valid_sets=[validation], callbacks=[*callbacks, record])
    return booster, np.array(curves["valid_0"]["l2"])
