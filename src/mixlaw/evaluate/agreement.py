"""How well validation loss predicted downstream metrics: rank correlations over the evaluated models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_MODELS = 4

_NORMAL_95 = 1.645
"""95th percentile of the standard normal."""

_ONE = 0.999
"""A correlation of 1 is taken for this: of few models it would have no interval. No data."""


@dataclass(frozen=True)
class Evaluated:
    """A model that was evaluated.

    Attributes:
        name: of the run.
        losses: target -> nats.
        metrics: task -> value, higher is better.
    """

    name: str
    losses: dict[str, float]
    metrics: dict[str, float]


def agreement(models: Sequence[Evaluated]) -> dict[str, Any]:
    """Return, for each task, how the falling validation losses went with the rising metric.

    Returns:
        {models, tasks: {task: {models, lowest, highest, spearman_total, spearman_total_low, spearman_total_high,
        spearman{target}, best_target}}}; correlations are of minus the loss with the metric, so 1 is perfect, and None
        where fewer than four models, or all alike. Low and high are the ends of the 90 % interval.

    Source: of the interval, Bonett and Wright 2000, Psychometrika 65:23-28, Eq. 3.
    """
    tasks: dict[str, Any] = {}
    for task in sorted({task for model in models for task in model.metrics}):
        there = [model for model in models if task in model.metrics]
        values = np.array([model.metrics[task] for model in there])
        targets = sorted(set.intersection(*(set(model.losses) for model in there)))
        by_target = {t: _spearman(-np.array([m.losses[t] for m in there]), values) for t in targets}
        totals = np.array([sum(model.losses[t] for t in targets) for model in there])
        known = {t: value for t, value in by_target.items() if value is not None}
        by_total = _spearman(-totals, values)
        low, high = interval(by_total, len(there))
        tasks[task] = {
            "models": len(there),
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "spearman_total": by_total,
            "spearman_total_low": low,
            "spearman_total_high": high,
            "spearman": by_target,
            "best_target": max(known, key=lambda t: known[t]) if known else None,
        }
    return {"models": len(models), "tasks": tasks}


def interval(correlation: float | None, models: int) -> tuple[float | None, float | None]:
    """Return the 90 % interval of a rank correlation over some models."""
    if correlation is None:
        return None, None
    half = _NORMAL_95 * math.sqrt((1 + correlation**2 / 2) / (models - 3))
    middle = math.atanh(max(-_ONE, min(_ONE, correlation)))
    return math.tanh(middle - half), math.tanh(middle + half)


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < LEAST_MODELS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)  # type: ignore[union-attr]
