"""Metrics of the user's own as targets: what a law predicts and `solve` minimises.

A metric of which more is better (accuracy) becomes its distance from the ceiling, so that the law's floor means what it
means for a loss: how near one can come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable

_CEILINGS = (1.0, 100.0)
"""Best values that a metric can have: a share, or percent. No data."""


def with_metrics(runs: RunTable, wanted: Mapping[str, str]) -> RunTable:
    """Return the table with the target `metric:<name>` for each metric wanted, after its losses.

    Args:
        runs: with the column `metric:<name>`.
        wanted: name -> `higher` or `lower`, whichever is better. Higher ones become 1 - value, or 100 - value where a
            value exceeds 1.

    Raises:
        ConfigError: no such metric, or neither `higher` nor `lower`.
        DataError: a value below 0, or above 100 where higher is better.
    """
    columns = []
    for name, better in wanted.items():
        if name not in runs.metrics:
            known = ", ".join(map(repr, runs.metrics)) or "none"
            raise ConfigError(f"The runs have no metric '{name}'; known: {known}.", f"Add a column metric:{name}.")
        if better not in ("higher", "lower"):
            raise ConfigError(f"The direction of metric '{name}' is '{better}'.", "Write higher or lower.")
        columns.append(_as_loss(name, np.asarray(runs.metrics[name], float), better))
    if not columns:
        return runs
    counts = runs.counts_RJ
    if counts is not None:
        counts = np.hstack([counts, np.zeros((len(runs), len(columns)))])
    return replace(
        runs,
        targets=(*runs.targets, *(f"metric:{name}" for name in wanted)),
        losses_RJ=np.column_stack([runs.losses_RJ, *columns]),
        counts_RJ=counts,
    )


def _as_loss(name: str, values_R: np.ndarray, better: str) -> np.ndarray:
    known = values_R[np.isfinite(values_R)]
    if (known < 0).any():
        raise DataError(
            f"Metric '{name}' has the value {known.min():g}; a law needs values >= 0.", "Add a constant to the metric."
        )
    if better == "lower":
        return values_R
    ceiling = next((c for c in _CEILINGS if known.max(initial=0.0) <= c), None)
    if ceiling is None:
        raise DataError(
            f"Metric '{name}' has the value {known.max():g}, and higher is better: its ceiling is not known.",
            "Scale it to 0-1 or 0-100, or use an error rate with lower.",
        )
    return ceiling - values_R
