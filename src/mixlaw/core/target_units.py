"""In which unit a target is measured: losses in nats, metrics in their own, as the distance from their best value."""

from __future__ import annotations

from collections.abc import Iterable

METRIC = "metric:"
"""How the names of targets begin that are metrics, not losses (`mixlaw.fit.metrics`)."""


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
