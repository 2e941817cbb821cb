"""How well validation loss predicted downstream metrics: rank correlations over the evaluated models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_MODELS = 4


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
        {models, tasks: {task: {models, lowest, highest, spearman_total, spearman{target}, best_target}}}; correlations
        are of minus the loss with the metric, so 1 is perfect, and None where fewer than four models, or all alike.
    """
    tasks: dict[str, Any] = {}
    for task in sorted({task for model in models for task in model.metrics}):
        there = [model for model in models if task in model.metrics]
        values = np.array([model.metrics[task] for model in there])
        targets = sorted(set.intersection(*(set(model.losses) for model in there)))
        by_target = {t: _spearman(-np.array([m.losses[t] for m in there]), values) for t in targets}
        totals = np.array([sum(model.losses[t] for t in targets) for model in there])
        known = {t: value for t, value in by_target.items() if value is not None}
        tasks[task] = {
            "models": len(there),
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "spearman_total": _spearman(-totals, values),
            "spearman": by_target,
            "best_target": max(known, key=lambda t: known[t]) if known else None,
        }
    return {"models": len(models), "tasks": tasks}


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < LEAST_MODELS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)  # type: ignore[union-attr]
