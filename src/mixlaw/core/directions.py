"""Which way a metric is better, as people write it: higher, lower, higher:5."""

from __future__ import annotations

import math

from mixlaw.core.errors import ConfigError


def direction_of(name: str, better: str) -> tuple[str, float]:
    """Return `higher` or `lower`, and the best possible value; NaN where it is not said."""
    direction, colon, text = better.partition(":")
    try:
        best = float(text) if colon else (0.0 if direction == "lower" else math.nan)
    except ValueError:
        best = math.inf
    if direction not in ("higher", "lower") or math.isinf(best) or (colon and math.isnan(best)):
        raise ConfigError(
            f"The direction of metric '{name}' is '{better}'.",
            "Write higher or lower, and after a colon the best possible value if it is not 1, 100 or 0: higher:5.",
        )
    return direction, best
