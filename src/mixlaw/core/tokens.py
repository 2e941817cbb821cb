"""Token counts as people write them: 20M, 1.5B, 2e7."""

from __future__ import annotations

import math
import re

from mixlaw.core.errors import ConfigError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_PATTERN = re.compile(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKmMbBtT]?)")


def parse_tokens(text: str | int | float, what: str = "token count") -> int:
    """Return a number of tokens, rounded to a whole one.

    Args:
        text: `20M`, `1.5B`, `660k`, `2e7`, `1_000_000` or a number; K, M, B, T are powers of 1,000.
        what: the name of the quantity, for the message.

    Raises:
        ConfigError: not a number, or not positive.
    """
    if isinstance(text, bool):
        value = math.nan
    elif isinstance(text, (int, float)):
        value = float(text)
    else:
        match = _PATTERN.fullmatch(text.strip())
        value = math.nan
        if match:
            value = float(match[1].replace("_", "").replace(",", "")) * _UNITS[match[2].lower()]
    if math.isnan(value) or math.isinf(value):
        raise ConfigError(
            f"{what} is {text!r}, which is not a number of tokens.", "Write it like 20M, 1.5B, 660k or 2e7."
        )
    if value < 0.5:
        raise ConfigError(
            f"{what} is {text!r}; it must be at least one token.", "Write it like 20M, 1.5B, 660k or 2e7."
        )
    return round(value)


def format_tokens(tokens: float) -> str:
    """Return a token count in three significant digits with its unit: 20M, 1.5B, 660k, 512."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(tokens) >= size * 0.9995:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.3g}"
