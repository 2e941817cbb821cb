"""What a run table's columns and cells must be; errors name row and column."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.column_names import meant
from mixlaw.core.errors import DataError
from mixlaw.core.fidelity import is_missing

_MOST = 1e18
"""Of any number in a table. Beyond it squares and products overflow, and no token count or loss is that large."""


_NO_NUMBER = ("nan", "inf", "infinity", "none", "null", "na", "n/a", "-", "?")
_COMMA = re.compile(r"[+-]?\d[\d.]*,[\d,.]*\d")
"""A number with a comma: a decimal one in some countries, one between thousands in others."""


def check_columns(
    columns: Mapping[str, Sequence[Any]], names: Mapping[str, list[str]], source: str, losses: bool = True
) -> None:
    """Raise DataError for a column without a name or by another name than its own, or where one is lacking.

    Args:
        columns: name -> cells.
        names: prefix -> what stands after its colon.
        source: the origin, for messages.
        losses: whether losses or metrics must be there.
    """
    if unnamed := next((f"{prefix}:" for prefix, found in names.items() if not all(map(str.strip, found))), ""):
        raise DataError(f"{source} has a column '{unnamed}' without a name after the colon.", "Name it.")
    alone = len(columns) == 1 and not names["tokens"]
    for column, right in ({} if alone else meant(columns)).items():
        other = "give it a name without a colon" if ":" in column else f"name it otherwise, such as 'note_{column}',"
        remedy = f"Name it '{right}', or {other} if it means something else."
        if right in columns:
            remedy = f"'{right}' is there as well: delete one of them, or {other} if it means something else."
        raise DataError(f"{source} has a column '{column}', which no run table has.", remedy)
    _check_pairs(names, source)
    if not names["tokens"] or (losses and not (names["loss"] or names["metric"])):
        lacking = "tokens:<domain>" if not names["tokens"] else "loss:<target>"
        one = " Between its cells must be commas, semicolons or tabs." if len(columns) == 1 else ""
        raise DataError(
            f"{source} has no column '{lacking}'; it has {', '.join(map(repr, list(columns)[:8])) or 'none'}.",
            f"A run table has run, tokens:<domain>, and loss:<target> or metric:<name> columns.{one}",
        )


def _check_pairs(names: Mapping[str, list[str]], source: str) -> None:
    """Raise DataError for a column about another one that is not there, or for distinct tokens of some domains only."""
    for prefix, over in (("count", "loss"), ("unique", "tokens"), ("error", "metric")):
        if stray := set(names[prefix]) - set(names[over]):
            raise DataError(
                f"{source} has the column '{prefix}:{min(stray)}' without '{over}:{min(stray)}'.",
                "Rename or delete it.",
            )
    lacking = [name for name in names["tokens"] if name not in names["unique"]]
    if lacking and names["unique"]:
        raise DataError(
            f"{source} has the column 'unique:{names['unique'][0]}', but not 'unique:{lacking[0]}'; distinct tokens "
            "are needed of all domains or of none.",
            f"Add unique:{lacking[0]} with its distinct training tokens, which are those of tokens:{lacking[0]} where "
            "no row repeats, or delete the others.",
        )


def cell_number(value: Any, lower: float, rule: str, empty: bool, source: str, place: str, column: str) -> float:
    if is_missing(value):
        if empty:
            return math.nan
        raise DataError(f"{source}, {place}, column '{column}': the cell is empty; {rule}.", "Fill it in.")
    try:
        number = math.nan if isinstance(value, (bool, np.bool_)) else float(value)  # True is no token
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and lower <= number <= _MOST):
        raise DataError(f"{source}, {place}, column '{column}': {value!r}; {rule}.", _remedy(value, empty))
    return number


def _remedy(value: Any, empty: bool) -> str:
    text = str(value).strip()
    if _COMMA.fullmatch(text):
        return "Write a point before decimals and nothing between thousands: 1234.5."
    if empty and (text.lower().lstrip("+-") or text) in _NO_NUMBER:
        return "Leave the cell empty if it was not measured, or delete that run from the table if it diverged."
    return "Correct the value, or delete that run from the table."


def check_rows(runs: list[str], tokens_RK: np.ndarray, source: str, place: Callable[[int], str] | None) -> None:
    """Raise DataError for a run that is there twice, or where none was trained; `place` is None where none need be."""
    if place is None:
        return
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


def check_arrays(table: Any) -> None:
    """Raise DataError where a `RunTable` that a program made has names twice, or arrays that no file could have.

    Args:
        table: the table. Losses of several studies may be below 0 where a shift has been taken off them.
    """
    R, K, J = len(table.runs), len(table.domains), len(table.targets)
    for what, names in (("domain", table.domains), ("target", table.targets)):
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise DataError(f"The run table has the {what} '{twice[0]}' twice.", "Rename or delete one of them.")
    low = -math.inf if table.shifts else 0.0
    for name, shape, lower, empty in (
        ("tokens_RK", (R, K), 0.0, False),
        ("losses_RJ", (R, J), low, True),
        ("counts_RJ", (R, J), 0.0, False),
        ("unique_RK", (R, K), 0.0, False),
        ("params_R", (R,), 1.0, False),
    ):
        values = getattr(table, name)
        if values is None and name not in ("tokens_RK", "losses_RJ"):
            continue
        if not isinstance(values, np.ndarray) or values.shape != shape:
            found = f"an array of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
            raise DataError(
                f"The run table's {name} is {found}; it must be an array of shape {shape}, with a row for each of the "
                f"{R} runs.",
                "Correct it, or give load_runs a dict with one list per column.",
            )
        bad = ~((values >= lower) & (values <= _MOST)) & ~(empty & np.isnan(values))
        if bad.any():
            place = tuple(np.argwhere(bad)[0].tolist())
            missing = ", or NaN where it was not measured" if empty else ""
            least = f" from {lower:g}" if math.isfinite(lower) else ""
            raise DataError(
                f"The run table's {name} has {values[place]} for run '{table.runs[place[0]]}'; it must be a finite "
                f"number{least}{missing}.",
                "Correct the value, or leave out that run.",
            )
    if not R:
        raise DataError("The run table has no runs.", "Give at least one.")
