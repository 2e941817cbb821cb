"""What the base model's losses were before any training, from the runs of zero tokens."""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable

_SAME_SIZE = 1e-3
"""Relative difference below which two models have as many parameters. For rounding. No data."""


def base_losses(runs: RunTable, params: float = float("nan")) -> dict[str, float]:
    """Return target -> loss of the model as it is, nats per supervised token, the mean where it was measured again.

    Args:
        runs: those of zero tokens count; targets that they did not measure are left out.
        params: parameters of the model that is asked for, where the runs are of several sizes; NaN where not.
    """
    rows = runs.totals_R == 0
    if np.isfinite(params) and runs.params_R is not None:
        rows &= np.abs(runs.params_R - params) <= _SAME_SIZE * params
    found = {}
    for target, losses_R in zip(runs.targets, runs.losses_RJ[rows].T, strict=True):
        known_R = losses_R[np.isfinite(losses_R)]
        if len(known_R):
            found[target] = float(known_R.mean())
    return found
