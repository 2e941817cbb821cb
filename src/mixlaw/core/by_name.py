"""Numbers by name, as users give them: a dict, or a pandas Series, whose index has the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from mixlaw.core.errors import ConfigError
from mixlaw.core.percents import parse_share
from mixlaw.core.tokens import parse_amount

Read = Callable[[Any, str], Any]
"""Makes a number of a value; its second argument is what a message calls it."""


def is_series(value: Any) -> bool:
    """Whether a value is a pandas Series: values in one dimension, with a name for each in its index."""
    return getattr(value, "ndim", 0) == 1 and hasattr(value, "index") and hasattr(value, "to_dict")


def by_name(given: Any, what: str, read: Read) -> dict[str, Any]:
    """Return name -> number.

    Args:
        given: a mapping or a Series.
        what: the name of the argument, for messages.
        read: of each value.

    Raises:
        ConfigError: neither of these, or a value that cannot be read.
    """
    if not (isinstance(given, Mapping) or is_series(given)):
        raise ConfigError(
            f"{what} is a value of type {type(given).__name__}; it must say a number for each name.",
            "Write a dict, such as {'math': 0.4}.",
        )
    return {str(name): read(value, f"{what} of '{name}'") for name, value in given.items()}


def number(value: Any, what: str) -> float:
    """Return a number, given as one or as text; raise ConfigError where it is none."""
    try:
        if isinstance(value, (Real, str)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ConfigError(f"{what} is {value!r}, which is not a number.", "Correct the value.")


def share(value: Any, what: str) -> float:
    """Return a share, given as a number, or as text such as 0.3 or 30 %; raise ConfigError where it is none."""
    return parse_share(value, what) if isinstance(value, str) else number(value, what)


def amount(value: Any, what: str) -> float:
    """Return tokens, given as a number or as text such as 3M; raise ConfigError where it is neither."""
    return parse_amount(value, what) if isinstance(value, str) else number(value, what)
