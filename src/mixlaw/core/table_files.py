"""Files of run tables, and of results that `mixlaw adopt` takes: CSV with its relatives, JSON, JSON lines, Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.csv_cells import csv_columns
from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.core.table_columns import are_records, columns_of

PARQUET, JSON, LINES, TEXT = (".parquet", ".pq"), (".json",), (".jsonl", ".ndjson"), (".csv", ".tsv")
_JSON_REMEDY = (
    "Write an object with one list per column, or a list with one object per run (orient='records' in pandas)."
)


def file_columns(path: str | Path) -> tuple[dict[str, list[Any]], list[int] | None]:
    """Return a file's columns, name -> cells, and the line of each row where it has lines.

    The name says how to read it, in capitals or not: `.parquet`, `.json`, `.jsonl`. Everything else is JSON where it
    begins as such, or text with commas, semicolons or tabs between the cells.

    Raises:
        DataError: no such file, or it is empty or malformed.
        MissingExtra: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind in PARQUET:
        return columns_of(parquet_columns(path), str(path)), None
    if kind in (*JSON, *LINES) or (kind not in TEXT and begins_with(path, "{", "[")):
        return json_columns(path), None
    return csv_columns(path)


def begins_with(path: str | Path, *signs: str) -> bool:
    """Whether the first character of a text, spaces aside, is one of the signs."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(100).lstrip().startswith(signs)
    except (OSError, ValueError):
        return False


def is_json_table(path: str | Path) -> bool:
    """Whether a file of JSON holds runs: a list of them, one a line, or columns such as `tokens:code`."""
    try:
        value = _json_value(Path(path))
    except DataError:
        return False
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, dict) for row in value)
    return isinstance(value, dict) and any(key.startswith("tokens:") for key in value)


def json_columns(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a JSON run table; null, or a key that a run lacks, is an empty cell.

    Raises:
        DataError: the file is missing, no JSON, or no table.
    """
    value = _json_value(path)
    rows = isinstance(value, list) and are_records(value)
    if not rows and not (isinstance(value, dict) and all(isinstance(cells, list) for cells in value.values())):
        raise DataError(f"{path} is not a run table.", _JSON_REMEDY)
    if not value:
        raise DataError(f"{path} has no runs.", _JSON_REMEDY)
    return columns_of(value, str(path))


def _json_value(path: Path) -> Any:
    """Return what a file of JSON holds: its value, or a list of the objects in its lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"No such run table: {path}.", "Check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable as JSON: {error}.", "Write it again, or as CSV.") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix.lower() not in LINES or (lines and not lines[0][1].lstrip().startswith("{")):
        try:
            return _parsed(text)
        except ValueError as error:
            if not _is_object(lines[0][1] if lines else ""):
                raise DataError(f"{path} is not readable as JSON: {error}.", "Write it again, or as CSV.") from None
    rows = []
    for number, line in lines:
        try:
            rows.append(_parsed(line))
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is not readable as JSON: {error}.", "Write one object per run and line."
            ) from None
    return rows


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too many brackets inside one another") from None


def _is_object(line: str) -> bool:
    try:
        return isinstance(_parsed(line), Mapping)
    except ValueError:
        return False


def parquet_columns(path: Path) -> dict[str, list[Any]]:
    """Return a Parquet file's columns, name -> values.

    Raises:
        DataError: the file is missing or cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Reading Parquet") from None
    try:
        table = parquet.read_table(path)
    except FileNotFoundError:
        raise DataError(f"No such run table: {path}.", "Check the path.") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}.", "Write it again.") from None
    return {name: table[name].to_pylist() for name in table.column_names}
