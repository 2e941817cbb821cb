"""Percent and shares as people write and read them: 1, "1 %", "0.5%"; 0.3, "30 %"."""

from __future__ import annotations

import re

from mixlaw.core.errors import ConfigError

_PATTERN = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*%?\s*")


def parse_percent(value: str | float, what: str = "percentage") -> float:
    """Return a number of percent: 1.0 for 1, "1" and "1 %". A number is percent, not a share: 0.01 is 0.01 %.

    Args:
        value: a number, or one as text with or without a percent sign.
        what: the name of the quantity, for the message.

    Raises:
        ConfigError: not a number.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(f"{what} is {value!r}, which is not a number of percent.", "Write it like 1, or 1 %.")
    return float(match[1])


def probability(share: float) -> str:
    """Return a probability that was counted in draws, in whole percent: never as certain as 0 or 100 %."""
    return "over 99 %" if share > 0.99 else "below 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def parse_share(text: str, what: str = "share") -> float:
    """Return a share of 1: 0.3 for "0.3" and "30 %". Without a percent sign a text is a share, not percent.

    Args:
        text: a number, with or without a percent sign.
        what: the name of the quantity, for the message.

    Raises:
        ConfigError: not a number.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(f"{what} is {text!r}, which is not a share.", "Write it like 0.3, or 30 %.")
    return float(match[1]) / (100 if "%" in text else 1)
