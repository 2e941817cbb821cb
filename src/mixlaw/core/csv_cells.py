"""CSV files of run tables: their cells, which no spreadsheet takes for formulas, and their columns."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError

_DELIMITERS = (",", ";", "\t")


def csv_columns(path: str | Path) -> tuple[dict[str, list[str]], list[int]]:
    """Return a CSV file's columns, name -> cells, and the line of each row.

    Between the cells are commas, semicolons (as spreadsheets write in many countries) or tabs, whichever fit.

    Raises:
        DataError: the file is missing, empty or malformed, or a column appears twice.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = _split(file.read())
    except FileNotFoundError:
        raise DataError(f"No such run table: {path}.", "Check the path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV text file: {error}.", "Save it as CSV in UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from None
    first = next((i for i, row in enumerate(lines) if any(cell.strip() for cell in row)), None)
    if first is None:
        raise DataError(f"{path} is empty.", "A run table has a header line and one line per run.")
    header = [name.strip() for name in lines[first]]
    body = [(i, row) for i, row in enumerate(lines[first + 1 :], first + 2) if any(row)]
    for number, row in body:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(row)} cells, the header has {len(header)}.", "Correct that line."
            )
    columns: dict[str, list[str]] = {name: [_text(row[i]) for _, row in body] for i, name in enumerate(header)}
    if len(columns) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}: the column '{twice}' appears twice.", "Rename or delete one of them.")
    return columns, [number for number, _ in body]


def _split(text: str) -> list[list[str]]:
    """Return the rows, split where that gives all of them as many cells as the header, or else the header the most.

    Raises:
        csv.Error: the text is no CSV with any delimiter.
    """
    found: list[tuple[tuple[bool, int], list[list[str]]]] = []
    for delimiter in _DELIMITERS:
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except csv.Error:
            if delimiter == _DELIMITERS[-1] and not found:
                raise
            continue
        cells = len(next((row for row in rows if any(row)), []))
        alike = cells > 1 and all(len(row) == cells for row in rows if any(row))
        found.append(((alike, cells), rows))
    return max(found, key=lambda one: one[0])[1]  # the comma where several fit as well


def _text(cell: str) -> str:
    """Return a cell's text, without the apostrophe that `_cell` puts before what looks like a formula."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""The start of a text that a spreadsheet would take for a formula."""


def csv_cell(value: Any) -> str:
    """Return a value as CSV: whole numbers without a point, others with 17 digits, NaN empty; no text is a formula."""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(float(value))
    return str(value)
