"""What must be said where an objective adds or compares losses in nats and metrics in units of their own."""

from __future__ import annotations

import numpy as np

from mixlaw.core.target_units import is_metric
from mixlaw.fit.result import Fit

_SHARE = 1.0
"""A metric with no value beyond it is a share; one with larger values counts percent or points. No data."""


def mixed_units(fit: Fit, importance: dict[str, float], objective: str) -> list[str]:
    """Return a sentence where the objective mixes units and nobody said how they compare; else nothing.

    Args:
        fit: with the targets and their runs.
        importance: target -> g_j.
        objective: `mean`, `weighted` or `max`; with `weighted` somebody said it.
    """
    counted = [target for target, g in importance.items() if g > 0]
    metrics = [target for target in counted if is_metric(target)]
    if objective == "weighted" or not metrics:
        return []
    ranges = {t: _range(fit, t) for t in metrics}
    alike = len(metrics) == len(counted) and len({high > _SHARE for _, high in ranges.values()}) == 1
    if alike:
        return []
    shown = ", ".join(f"{t} ({low:.3g} to {high:.3g} from its best value)" for t, (low, high) in ranges.items())
    losses = "losses in nats and " if len(metrics) < len(counted) else ""
    how = "compares" if objective == "max" else "adds"
    remedy = "Say with target_weight how much each counts"
    if objective == "max":
        remedy = "Use the objective weighted, and say with target_weight how much each counts"
    return [
        f"The objective {how} {losses}metrics in units of their own: {shown}. A change by 1 counts the same in each "
        f"of them. {remedy}."
    ]


def _range(fit: Fit, target: str) -> tuple[float, float]:
    losses_R = fit.runs.losses_RJ[:, fit.runs.targets.index(target)]
    return float(np.nanmin(losses_R)), float(np.nanmax(losses_R))
