"""What a run table's columns and cells must be; errors name row and column."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.fidelity import is_missing

PREFIXES = ("tokens", "loss", "count", "unique", "metric", "error")
_NEAR = 0.75
"""Likeness (difflib's) from which a prefix is taken for a misspelt one: `token`, `losses`, `Loss`. No data."""

_MOST = 1e18
"""Of any number in a table. Beyond it squares and products overflow, and no token count or loss is that large."""


def check_columns(columns: Mapping[str, Any], names: Mapping[str, list[str]], source: str) -> None:
    """Raise DataError for a column without a name or with a misspelt prefix, or where one is lacking."""
    if unnamed := next((f"{prefix}:" for prefix, found in names.items() if not all(map(str.strip, found))), ""):
        raise DataError(f"{source} has a column '{unnamed}' without a name after the colon.", "Name it.")
    for column in columns:
        prefix, colon, name = column.partition(":")
        near = difflib.get_close_matches(prefix.strip().lower(), PREFIXES, n=1, cutoff=_NEAR)
        if colon and prefix not in PREFIXES and near:
            raise DataError(
                f"{source} has a column '{column}', which no run table has.",
                f"Name it '{near[0]}:{name}', or give it a name without a colon if it means something else.",
            )
    if not names["tokens"] or not (names["loss"] or names["metric"]):
        lacking = "tokens:<domain>" if not names["tokens"] else "loss:<target>"
        raise DataError(
            f"{source} has no column '{lacking}'; it has {', '.join(map(repr, list(columns)[:8])) or 'none'}.",
            "A run table has run, tokens:<domain>, and loss:<target> or metric:<name> columns.",
        )


def cell_number(value: Any, lower: float, rule: str, empty: bool, source: str, place: str, column: str) -> float:
    if is_missing(value):
        if empty:
            return math.nan
        raise DataError(f"{source}, {place}, column '{column}': the cell is empty; {rule}.", "Fill it in.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and lower <= number <= _MOST):
        raise DataError(
            f"{source}, {place}, column '{column}': {value!r}; {rule}.",
            "Correct the value, or delete that run from the table.",
        )
    return number


def check_rows(runs: list[str], tokens_RK: np.ndarray, source: str, place: Callable[[int], str]) -> None:
    seen: dict[str, int] = {}
    for i, run in enumerate(runs):
        if run in seen:
            raise DataError(
                f"{source}, {place(i)}: the run '{run}' is already in {place(seen[run])}.",
                "Rename or delete one of them.",
            )
        seen[run] = i
    if not tokens_RK.any():
        raise DataError(
            f"{source}: no run has any tokens.",
            "Add runs that were trained; only the row of the base model may have zero tokens.",
        )
