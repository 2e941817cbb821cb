"""A regressor of one's own: the mean loss of the three nearest runs."""

from __future__ import annotations

import numpy as np


class Nearest:
    """The mean of the three nearest runs, by the logarithm of their tokens in units of a usual run."""

    name = "nearest"

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> Nearest:
        """Return the predictor."""
        fitted = Nearest()
        fitted.unit, fitted.losses_R = np.median(tokens_RK.sum(axis=1)), losses_R
        fitted.places_RK = np.log1p(tokens_RK / fitted.unit)
        return fitted

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R,) losses."""
        distances = np.linalg.norm(np.log1p(tokens_RK / self.unit)[:, None] - self.places_RK, axis=-1)
        return self.losses_R[np.argsort(distances, axis=1, kind="stable")[:, :3]].mean(axis=1)
