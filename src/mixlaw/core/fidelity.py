"""What a row of a run table is: a run that was trained, a point along one, or a merged model; and of which study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError

TRUE, MERGED, POINT = "true", "merged", "point"
"""What a row's `fidelity` may be. A point is a checkpoint whose training was brought to an end as that of a run is."""


def labels(
    columns: Mapping[str, Sequence[Any]], runs: list[str], source: str, place: Callable[[int], str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return `checkpoint_of`, `fidelity` and `study` of a `RunTable`.

    Args:
        columns: of a run table.
        runs: names of its rows.
        source: the origin, for messages.
        place: row index -> how a message names that row.

    Raises:
        DataError: a malformed cell.
    """
    return (
        run_of_each(runs, columns.get("checkpoint_of")),
        fidelities(columns.get("fidelity"), source, place),
        studies(columns.get("study"), source, place),
    )


def studies(given: Sequence[Any] | None, source: str, place: Callable[[int], str]) -> tuple[str, ...]:
    """Return the study of each row; nothing where all are of one. Arguments as `labels`.

    Raises:
        DataError: some cells are empty and others not.
    """
    found = ["" if is_missing(value) else str(value).strip() for value in (() if given is None else given)]
    if any(found) and not all(found):
        raise DataError(
            f"{source}, {place(found.index(''))}, column 'study': the cell is empty, and others are not.",
            "Fill it in: runs of different studies may differ by a shift.",
        )
    return tuple(found) if len(set(found)) > 1 else ()


def fidelities(given: Sequence[Any] | None, source: str, place: Callable[[int], str]) -> tuple[str, ...]:
    """Return what each row is; nothing where all were trained.

    Args:
        given: the column's cells; None where there is no such column.
        source: the origin, for messages.
        place: row index -> how a message names that row.

    Raises:
        DataError: a cell is neither empty nor one of the three words.
    """
    found = [TRUE if is_missing(value) else str(value).strip() for value in (() if given is None else given)]
    for i, value in enumerate(found):
        if value not in (TRUE, MERGED, POINT):
            raise DataError(
                f"{source}, {place(i)}, column 'fidelity': {value!r}; a row is '{TRUE}', '{MERGED}' or '{POINT}'.",
                "Correct the value, or leave the cell empty for a run that was trained.",
            )
    return tuple(found) if set(found) - {TRUE} else ()


def run_of_each(runs: list[str], given: Sequence[Any] | None) -> tuple[str, ...]:
    """Return the training run of each row: its own name where the cell is empty."""
    if given is None:
        return ()
    return tuple(run if is_missing(value) else str(value) for run, value in zip(runs, given, strict=True))


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, no text, or what a DataFrame has there (NaN, NA, NaT)."""
    if value is None or (isinstance(value, str) and value == ""):
        return True
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")
