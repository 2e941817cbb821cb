"""Token counts as people write them: 20M, 1.5B, 2e7."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

from mixlaw.core.errors import ConfigError
from mixlaw.core.rounding import down, up

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_MOST = 1e18
"""More tokens than were ever written: a mistyped number, and beyond what arithmetic on counts is exact for."""

_PATTERN = re.compile(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKmMbBtT]?)")


def parse_tokens(text: str | int | float, what: str = "token count") -> int:
    """Return a number of tokens, rounded to a whole one.

    Args:
        text: `20M`, `1.5B`, `660k`, `2e7`, `1_000_000` or a number; K, M, B, T are powers of 1,000.
        what: the name of the quantity, for the message.

    Raises:
        ConfigError: not a number, not positive, or beyond 1e18.
    """
    value = _number(text)
    if math.isnan(value):
        raise ConfigError(
            f"{what} is {text!r}, which is not a number of tokens.", "Write it like 20M, 1.5B, 660k or 2e7."
        )
    if not 1 <= value <= _MOST:
        rule = "at least one token" if value < 1 else "at most 1e18 tokens"
        shown = repr(text) if len(str(text)) <= 40 else f"a number of {len(str(text))} digits"
        raise ConfigError(f"{what} is {shown}; it must be {rule}.", "Write it like 20M, 1.5B, 660k or 2e7.")
    return round(value)


def parse_amount(value: Any, what: str) -> float:
    """Return tokens of one domain, not rounded: a number from 0 on, or a text such as 20M or 0.

    Raises:
        ConfigError: neither of these, or beyond 1e18.
    """
    number = _number(value)
    if not 0 <= number <= _MOST:
        raise ConfigError(
            f"{what} is {value!r}; it must be a number of tokens from 0 to 1e18.", "Write it like 20M, 660k, 2e7 or 0."
        )
    return number


def _number(value: Any) -> float:
    """Return the number of tokens that a value says; NaN where it says none."""
    if isinstance(value, Real) and not isinstance(value, bool):
        number: Any = value  # whole numbers may be too long for a float
        return math.inf if number > _MOST else float(max(number, -1))
    match = _PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
    return math.nan if match is None else float(match[1].replace("_", "").replace(",", "")) * _UNITS[match[2].lower()]


def format_tokens(tokens: float) -> str:
    """Return a token count in three significant digits with its unit: 20M, 1.5B, 660k, 512."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(tokens) >= size * 0.9995:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.3g}"


def tokens_up(tokens: float) -> str:
    """Return a count for a remedy that asks for at least so many tokens: in three digits, rounded up."""
    return format_tokens(math.ceil(up(tokens)))


def tokens_down(tokens: float) -> str:
    """Return a count for a remedy that allows at most so many tokens: in three digits, rounded down."""
    return format_tokens(math.floor(down(tokens)))


def told_apart(more: float, less: float) -> tuple[str, str]:
    """Return two counts of which the first is larger, in as many digits as show that."""
    few = format_tokens(more), tokens_down(less)
    return few if few[0] != few[1] else (f"{more:,.0f}", f"{math.floor(less):,}")
