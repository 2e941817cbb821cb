"""Old names of arguments: they still work, and say which name is used now."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from mixlaw.core.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**old: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator by which a function takes arguments under old names, too, with a warning.

    Args:
        old: old name -> the name of the argument now.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            given: Any = with_new_names(named, old, stacklevel=4)
            return function(*arguments, **given)

        return call

    return decorate


def with_new_names(named: Mapping[str, Any], old: Mapping[str, str], stacklevel: int = 3) -> dict[str, Any]:
    """Return arguments under the names that they have now.

    Args:
        named: name -> value.
        old: old name -> name now.
        stacklevel: how far up the stack the line is that the warning names.

    Raises:
        ConfigError: an argument is given under both names.
    """
    found = dict(named)
    for before, now in old.items():
        if before in found:
            if now in found:
                raise ConfigError(f"'{now}' and '{before}' are the same, and both are given.", f"Leave out '{before}'.")
            warnings.warn(f"Use {now}=... instead of {before}=...", FutureWarning, stacklevel=stacklevel)
            found[now] = found.pop(before)
    return found
