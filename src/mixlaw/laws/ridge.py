"""Linear regression on shares, log tokens and the log total, its coefficients held small.

    minimise  |L - m - X beta|^2 + lambda |beta|^2          X standardised, m the training mean

lambda has the smallest leave-one-out error among 41 values, which the singular value decomposition of X gives without
refitting: a run's error left out is its residual over one minus its leverage.

Source: the linear baseline of Liu et al., "RegMix: Data Mixture as Regression for Language Model Pre-training", 2024,
arXiv 2407.01492; leave-one-out errors after Allen 1974 (PRESS).
Differs: RegMix regresses on shares alone, at one budget; log tokens and the log total let budgets differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws._shares import Features

_PENALTIES = np.geomspace(1e-5, 1e5, 41)
"""Penalties that are tried in each fit, per run: from no shrinkage to almost complete shrinkage. No data."""


@dataclass(frozen=True)
class RidgePredictor:
    """A fitted ridge regression.

    Attributes:
        features: columns from tokens.
        mean: mean of the training losses, nats.
        coefficients: nats per standard deviation of each column.
        penalty: the lambda chosen, per run.
    """

    features: Features
    mean: float
    coefficients: np.ndarray
    penalty: float

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R,) losses, nats (see `Predictor.predict`)."""
        return self.mean + self.features(tokens_RK) @ self.coefficients


class Ridge:
    """Ridge regression on shares, log tokens and the log total."""

    name = "ridge"

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> RidgePredictor:
        """Return the fitted predictor; nothing in it is random (see `Regressor.fit`)."""
        losses_R = np.asarray(losses_R, dtype=np.float64)
        features = Features.of(tokens_RK, "shares", "tokens", "total")
        mean = float(losses_R.mean())
        left, sizes, right = np.linalg.svd(features(tokens_RK), full_matrices=False)
        projected = left.T @ (losses_R - mean)
        best = (np.inf, 0.0, np.zeros(right.shape[1]))
        for penalty in _PENALTIES * len(losses_R):
            shrink = sizes**2 / (sizes**2 + penalty)
            residuals = losses_R - mean - left @ (shrink * projected)
            leverage = 1 / len(losses_R) + (left**2) @ shrink
            error = float(np.mean((residuals / np.maximum(1 - leverage, 1e-9)) ** 2))
            # On a tie, as with losses that are all the same, the larger penalty wins.
            if error <= best[0]:
                best = (error, penalty, right.T @ (sizes / (sizes**2 + penalty) * projected))
        return RidgePredictor(features, mean, best[2], best[1] / len(losses_R))
