"""Parts that others bring: imported by `package.module:Class`, or offered by installed packages.

Code is imported only where the user names it or has installed it, never because a file of a study says so.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.errors import ConfigError


def imported(place: str, what: str, folder: Path | None = None) -> Any:
    """Return the object at `package.module:Name`.

    Args:
        place: where it is.
        what: what it is, for messages: `trainer`, `law`.
        folder: where a module may lie that is not installed.

    Raises:
        ConfigError: it cannot be imported.
    """
    module, _, name = place.partition(":")
    if folder is not None and str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ConfigError(
            f"The {what} {place} cannot be imported: {type(error).__name__}: {error}.",
            "Put its module in the working directory, or install it"
            + (", wherever runs are trained." if what == "trainer" else "."),
        ) from error
    return found


def offered(group: str) -> Mapping[str, str]:
    """Return name -> `package.module:Name` of what installed packages offer in a group of entry points."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=group)}
