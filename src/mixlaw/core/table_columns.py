"""The columns of a run table, name -> one cell per run, from whatever holds them in memory: dicts, records, frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mixlaw.core.column_names import PREFIXES, SINGLE, unknown
from mixlaw.core.errors import DataError

_FORMS = "Give a path, a DataFrame, a dict with one list per column, or a list with one dict per run."


def are_records(values: Sequence[Any]) -> bool:
    """Whether a list holds one dict per run, not a whole table in each.

    The cells of known columns tell, where there are any: a record may have a list for a note, such as tags.
    """
    return all(isinstance(v, Mapping) and not any(map(is_column, _telling(v))) for v in values)


def _telling(record: Mapping[Any, Any]) -> list[Any]:
    known = set(map(str, record)) - set(unknown(map(str, record)))
    return [cell for name, cell in record.items() if not known or str(name) in known]


def columns_of(source: Any, what: str = "run table") -> dict[str, list[Any]]:
    """Return the columns of a dict of columns, a list of dicts, or a data frame (of pandas, polars, Arrow or datasets).

    Spaces around a name, and around the colon of a known prefix, do not count. An index of pandas that is called as a
    column of a run table is one.

    Args:
        source: any of these; in a list of dicts, a key that a run lacks is an empty cell.
        what: the origin, for messages.

    Raises:
        DataError: neither of these, columns of different lengths or of one name, or a column that is no list.
    """
    found: dict[str, list[Any]] = {}
    for name, cells in _pairs(source, what):
        column = _tidy(name)
        if column in found:
            raise DataError(f"{what}: the column '{column}' appears twice.", "Rename or delete one of them.")
        if not is_column(cells):
            raise DataError(
                f"{what}: the column '{column}' is {_short(cells)}, which is no list; a column has one value per run.",
                "Write a list, of one value where there is one run.",
            )
        found[column] = cells.to_pylist() if hasattr(cells, "to_pylist") else list(cells)
    lengths = {len(cells): column for column, cells in reversed(found.items())}
    if len(lengths) > 1:
        said = " and ".join(f"'{column}' has {count}" for count, column in sorted(lengths.items())[:2])
        raise DataError(
            f"{what}: the columns have different lengths: {said} values; each has one per run.",
            "Write None (in JSON null) where nothing was measured.",
        )
    return found


def _pairs(source: Any, what: str) -> list[tuple[Any, Any]]:
    if isinstance(source, (list, tuple)) and source and are_records(source):
        return list(_of_records(source).items())
    if isinstance(source, Mapping):
        return list(source.items())
    if not is_frame(source):
        raise DataError(f"A run table cannot be read from {_short(source)}; its columns must have names.", _FORMS)
    frame: Any = source
    names = list(_names(frame))
    levels = [n for n in getattr(getattr(frame, "index", None), "names", None) or () if n in SINGLE and n not in names]
    if levels:
        frame, names = frame.reset_index(level=levels), [*levels, *names]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{what}: the column '{twice}' appears twice.", "Rename or delete one of them.")
    return [(name, frame[name]) for name in names]


def _tidy(name: Any) -> str:
    prefix, colon, rest = (part.strip() for part in str(name).partition(":"))
    return f"{prefix}:{rest}" if colon and prefix in PREFIXES else str(name).strip()


def is_frame(source: Any) -> bool:
    """Whether a value is a table with named columns, but no mapping."""
    return isinstance(_names(source), Iterable)


def _of_records(records: Sequence[Mapping[Any, Any]]) -> dict[Any, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _names(source: Any) -> Any:
    names = getattr(source, "column_names", None)  # Arrow, datasets
    return getattr(source, "columns", None) if names is None else names  # pandas, polars


def is_column(cells: Any) -> bool:
    """Whether a value holds one cell per run, in order."""
    if isinstance(cells, (str, bytes, Mapping, set, frozenset)) or getattr(cells, "ndim", 1) != 1:
        return False
    return hasattr(cells, "__len__") and hasattr(cells, "__iter__")


def _short(value: Any) -> str:
    """Return a value as a message shows it: itself where it is short, else its type."""
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else f"a value of type {type(value).__name__}"
