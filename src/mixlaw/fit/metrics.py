"""Metrics of the user's own as targets: what a law predicts and `solve` minimises.

A metric of which more is better (accuracy, reward, win rate) becomes its distance from the best possible value, so that
the law's floor means what it means for a loss: how near one can come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mixlaw.core.directions import direction_of
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import METRIC

_CEILINGS = (1.0, 100.0)
"""Best values that a metric can have: a share, or percent. No data."""


def with_metrics(runs: RunTable, wanted: Mapping[str, str]) -> RunTable:
    """Return the table with the target `metric:<name>` for each metric wanted, after its losses.

    Args:
        runs: with the column `metric:<name>`.
        wanted: name -> `higher` or `lower`, whichever is better, and after a colon the best possible value, such as
            `higher:5` for a reward. The target is the distance from it. Without one it is 1, or 100 where a value
            exceeds 1, for `higher`, and 0 for `lower`.

    Where a metric's standard errors are known, a value with a larger one than usual weighs less, by its square. Those
    with a smaller one weigh no more: an accuracy near 0 or 1 seems surer than it is.

    Raises:
        ConfigError: no such metric, or neither `higher` nor `lower`.
        DataError: a value beyond the best possible one, or outside 0 to 100 where that one is not said.
    """
    columns, worth = [], []
    for name, better in wanted.items():
        if name not in runs.metrics:
            known = ", ".join(map(repr, runs.metrics)) or "none"
            raise ConfigError(f"The runs have no metric '{name}'; known: {known}.", f"Add a column metric:{name}.")
        columns.append(_as_loss(name, np.asarray(runs.metrics[name], float), better))
        worth.append(_worth(runs.errors.get(name)))
    if not columns:
        return runs
    counts = runs.counts_RJ
    if counts is not None:
        counts = np.hstack([counts, np.zeros((len(runs), len(columns)))])
    if any((column < 1).any() for column in worth):
        given = np.ones(runs.losses_RJ.shape) if runs.worth_RJ is None else runs.worth_RJ
        runs = replace(runs, worth_RJ=np.column_stack([given, *(np.broadcast_to(c, len(runs)) for c in worth)]))
    return replace(
        runs,
        targets=(*runs.targets, *(f"{METRIC}{name}" for name in wanted)),
        losses_RJ=np.column_stack([runs.losses_RJ, *columns]),
        counts_RJ=counts,
    )


def _worth(errors_R: np.ndarray | None) -> np.ndarray:
    """Return (R,) how much each value weighs, at most 1; 1 where its error is not known."""
    if errors_R is None:
        return np.ones(1)
    known = errors_R[np.isfinite(errors_R) & (errors_R > 0)]
    if not len(known):
        return np.ones(1)
    usual = float(np.median(known))
    return np.where(np.isfinite(errors_R), (usual / np.maximum(errors_R, usual)) ** 2, 1.0)


def _as_loss(name: str, values_R: np.ndarray, better: str) -> np.ndarray:
    known = values_R[np.isfinite(values_R)]
    direction, best = direction_of(name, better)
    if direction == "lower":
        if (known < best).any():
            raise DataError(
                f"Metric '{name}' has the value {known.min():g}, below its best possible one, {best:g}.",
                f"Say the best possible value: {name}=lower:{known.min():g}, or less.",
            )
        return values_R - best
    if np.isnan(best):
        ceiling = next((c for c in _CEILINGS if known.min(initial=0.0) >= 0 and known.max(initial=0.0) <= c), None)
        if ceiling is None:
            odd = known.min() if known.min() < 0 else known.max()
            raise DataError(
                f"Metric '{name}' has the value {odd:g}, and higher is better: the best possible value is not known.",
                f"Say it: {name}=higher:{max(np.ceil(known.max()), 1):g} if that is the best possible value.",
            )
        best = ceiling
    if (known > best).any():
        raise DataError(
            f"Metric '{name}' has the value {known.max():g}, above its best possible one, {best:g}.",
            f"Say the best possible value: {name}=higher:{np.ceil(known.max()):g}, or more.",
        )
    return best - values_R
