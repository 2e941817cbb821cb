"""What the shell offers after an option: names that exist, also those of a fit's domains."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Complete = Callable[[str], list[str]]


def one_of(*names: str) -> Complete:
    """Return the completion of an option that takes one of some names."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def several_of(*names: str) -> Complete:
    """Return the completion of an option that takes names with commas between them; none is offered twice."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in taken]

    return complete


def law(incomplete: str) -> list[str]:
    """Return the laws' names, `auto` first."""
    from mixlaw.laws import names

    return one_of("auto", *names())(incomplete)


def laws(incomplete: str) -> list[str]:
    """Return the laws' names after the last comma."""
    from mixlaw.laws import names

    return several_of(*names())(incomplete)


def domains_of_fit(incomplete: str) -> list[str]:
    """Return `name=` for each domain of the fit.json, or the study's, on the command line, after the last comma."""
    return _names_of_fit("domains", incomplete)


def targets_of_fit(incomplete: str) -> list[str]:
    """Return `name=` for each target of the fit.json, or the study's, on the command line, after the last comma."""
    return _names_of_fit("targets", incomplete)


def _names_of_fit(key: str, incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    names = _fit().get(key, [])
    return [f"{before}{comma}{name}=" for name in names if f"{name}=".startswith(last)]


def _fit() -> dict[str, Any]:
    # An option without its value ends the parsing before arguments are assigned, so the words themselves are read.
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    for word in words.split():
        path = Path(word) / "fit.json" if (Path(word) / "fit.json").is_file() else Path(word)
        try:
            value = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else None
        except (OSError, ValueError):
            continue  # no such file yet: nothing to offer, and nothing to complain about between two keystrokes
        if isinstance(value, dict):
            return value
    return {}
