"""CSV and TSV: a header, then a row of texts a record; an empty cell is null.

A record may go over several lines where a cell in quotation marks does, so that a file cannot be read from the middle.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mixlaw.core.errors import DataError
from mixlaw.core.limits import limit
from mixlaw.data.json_text import not_utf8
from mixlaw.data.streams import file_errors, lines_of, open_bytes, too_long

_DELIMITERS = ",\t;|"
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*')
"""A first line that spreadsheets write to say the delimiter."""


def csv_rows(file: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield (line, row) of a file; the line is the one where the record begins.

    The delimiter is the one of comma, tab, semicolon and bar that cuts the header into most columns.

    Raises:
        DataError: no header, a column name twice, a record of another length, quotation marks that do not match, or
            bytes that are not UTF-8.
    """
    csv.field_size_limit(min(limit("row_bytes"), (1 << 31) - 1))
    lines = _Lines(file)
    with file_errors(file, lambda: f"line {lines.number}"), open_bytes(file) as stream:
        texts = lines.of(stream)
        first = next((line for line in texts if line.strip()), "")
        said = _SEPARATOR.fullmatch(first)
        first = next(texts, "") if said else first
        delimiter = said[1] if said else _delimiter(first, "\t" if ".tsv" in file.name.lower() else ",")
        records = _records(file, lines, first, texts, delimiter)
        line, names = next(records, (1, []))
        names = [name.strip() for name in names]
        _check_header(names, f"{file}, line {line}")
        for line, cells in records:
            if len(cells) != len(names):
                raise DataError(
                    f"{file}, line {line}: {len(cells)} cells, the header has {len(names)} (delimiter {delimiter!r}).",
                    "Correct that row; put a cell that has the delimiter, a quotation mark or a line break in "
                    "quotation marks.",
                )
            yield line, {name: cell or None for name, cell in zip(names, cells, strict=True) if name}


class _Lines:
    """The lines of a file as text, counted."""

    def __init__(self, file: Path) -> None:
        self._file, self.number = file, 0

    def of(self, stream: BinaryIO) -> Iterator[str]:
        for number, raw in enumerate(lines_of(stream, self._file), 1):
            self.number = number
            if self.number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            place = f"{self._file}, line {self.number}"
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise not_utf8(error, place, raw) from None
            if "\0" in text:
                raise DataError(f"{place}: a NUL byte, which is not allowed in CSV.", "Save the file again, as UTF-8.")
            yield text


def _records(
    file: Path, lines: _Lines, first: str, rest: Iterator[str], delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line of its start, cells) of every record that is not blank."""

    def again() -> Iterator[str]:
        yield first
        yield from rest

    start = lines.number
    # Who writes a space after the delimiter in the header does so in the rows.
    reader = csv.reader(again(), delimiter=delimiter, skipinitialspace=f"{delimiter} " in first, strict=True)
    try:
        for cells in reader:
            if len(cells) > 1 or any(map(str.strip, cells)):
                yield start, cells
            start = lines.number + 1
    except csv.Error as error:
        if "field limit" in str(error):
            raise too_long(f"{file}, line {start}") from None
        if "new-line" in str(error):
            raise DataError(
                f"{file}, line {start}: a carriage return alone ends a line, or is in a cell without quotation marks.",
                "Save the file with line feeds as line ends, and put a cell that has a line break in quotation marks.",
            ) from None
        raise DataError(
            f"{file}, line {start}: not valid CSV ({error}).",
            'Write a quotation mark inside a cell as two (""), and put the cell in quotation marks.',
        ) from None


def _delimiter(header: str, usual: str) -> str:
    def columns(delimiter: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=delimiter)))
        except csv.Error:
            return 0

    # The first of those with most columns: the usual one, unless another cuts more.
    return max((usual, *_DELIMITERS), key=columns)


def _check_header(names: list[str], place: str) -> None:
    if not names:
        return
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(
            f"{place}: the header has the column {', '.join(map(repr, twice))} twice.", "Rename or delete one of them."
        )
