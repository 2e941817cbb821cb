"""Regressors as fits: refitted from the runs wherever they are needed, with the scatter of left-out runs.

A regressor has no parameters to store. It is deterministic, so `fit.json` keeps the runs, and the predictor is made
again.
"""

from __future__ import annotations

import numpy as np

from mixlaw.fit.fitted import Scatter
from mixlaw.laws import REGRESSORS
from mixlaw.laws.base import Predictor

_FOLDS = 5


def fit_regressor(name: str, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int = 0) -> Predictor:
    """Return the predictor of one target; tokens in millions, losses in nats without NaN."""
    return REGRESSORS[name]().fit(tokens_RK, losses_R, seed)


def left_out_scatter(name: str, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int = 0) -> Scatter:
    """Return the spread of left-out runs around the predictor: five folds of whole mixtures."""
    mixtures = np.unique(tokens_RK, axis=0, return_inverse=True)[1].ravel()
    folds = min(_FOLDS, int(mixtures.max()) + 1)
    residuals = np.zeros(len(losses_R))
    for fold in range(folds):
        held = mixtures % folds == fold
        if held.any() and not held.all():
            predictor = fit_regressor(name, tokens_RK[~held], losses_R[~held], seed)
            residuals[held] = losses_R[held] - predictor.predict(tokens_RK[held])
    return Scatter(float(np.sqrt(np.mean(residuals**2))) + 1e-12)
