"""In which unit a target is measured: losses in nats, metrics in their own, as the distance from their best value."""

from __future__ import annotations

import math
from collections.abc import Iterable

METRIC = "metric:"
"""How the names of targets begin that are metrics, not losses (`mixlaw.fit.metrics`)."""
LARGEST_LOSS = 700.0
"""Nats, above which a perplexity is no number that can be shown or even held. No data: exp(709.8) is a float's end."""


def perplexity_of(loss: float) -> float:
    """Return exp(loss in nats); NaN where there is no loss, or one above `LARGEST_LOSS`."""
    return math.exp(loss) if loss <= LARGEST_LOSS else math.nan


def is_metric(target: str) -> bool:
    """Whether a target is a metric of the user's."""
    return target.startswith(METRIC)


def losses_in(targets: Iterable[str], nats: str = "nats per supervised token") -> str:
    """Return the unit of targets' losses, in words.

    Args:
        targets: their names; none are taken for losses.
        nats: the unit of those that are no metrics.
    """
    kinds = {is_metric(target) for target in targets}
    if kinds == {True}:
        return "distance from the metric's best value"
    return f"{nats}; of metrics the distance from their best value" if True in kinds else nats


def differences_in(targets: Iterable[str]) -> str:
    """Return the unit of what sets losses apart, such as noise or regret: `nats`, those of metrics, or both."""
    kinds = {is_metric(target) for target in targets}
    if kinds == {True}:
        return "units of the metric"
    return "nats and units of metrics" if True in kinds else "nats"
