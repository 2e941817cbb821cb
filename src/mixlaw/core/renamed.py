"""Old names of arguments: they still work, and say which name is used now."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from mixlaw.core.errors import ConfigError

_PACKAGE = str(Path(__file__).parents[1])

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**old: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator by which a function takes arguments under old names, too, with a warning.

    Args:
        old: old name -> the name of the argument now.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> R:
            return function(*arguments, **with_new_names(named, old))

        return cast("Callable[P, R]", call)

    return decorate


def with_new_names(named: Mapping[str, Any], old: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments under the names that they have now.

    Args:
        named: name -> value.
        old: old name -> name now.

    Raises:
        ConfigError: an argument is given under both names.
    """
    found = dict(named)
    for before, now in old.items():
        if before in found:
            if now in found:
                raise ConfigError(f"'{now}' and '{before}' are the same, and both are given.", f"Leave out '{before}'.")
            warnings.warn(f"Use {now}=... instead of {before}=...", FutureWarning, stacklevel=_caller())
            found[now] = found.pop(before)
    return found


def _caller() -> int:
    """Return how far up the stack the first line outside of this package is, as `warnings.warn` counts."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<string>")):
        frame, level = frame.f_back, level + 1
    return level
