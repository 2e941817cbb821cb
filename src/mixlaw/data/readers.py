"""Rows of JSON lines and of Hugging Face datasets, read from a place inside them; what all readers have in common.

Each reader yields (row, line, values): the row's number from the reader's start, counted over all rows, and its line or
row number for messages. It counts all rows in `tally.rows`, whether they are yielded or not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.data.json_text import DECODER, JsonProblem, json_error, require_text, surrogate_escape
from mixlaw.data.streams import file_errors, lines_of, open_bytes

Numbered = Iterator[tuple[int, int, dict[str, Any]]]

_BATCH = 1024
_WHITE = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
"""What `str.strip` takes away of ASCII."""


@dataclass
class Tally:
    """How many rows a reader has passed."""

    rows: int = 0


@dataclass(frozen=True)
class Wanted:
    """Which rows to yield; all without either.

    Attributes:
        column: whose values say it; None for all rows.
        keys: value as text -> anything but None, for the values that are wanted.
        numbers: sorted numbers of rows, counted from the reader's start; None for all.
    """

    column: str | None = None
    keys: Mapping[str, int] | None = None
    numbers: np.ndarray | None = None

    def text(self, values: Mapping[str, Any], place: str = "A row") -> str:
        """Return a row's value of the column as text, empty where it is null or missing."""
        return value_text(values.get(self.column or ""), self.column, place) or ""


def value_text(value: Any, column: str | None, place: str) -> str | None:
    """Return a value of the column that splits a collection as text, or None where it is null or NaN.

    Raises:
        DataError: it is a list or an object.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return None  # what other libraries write for a number that is missing
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise DataError(
        f"{place}: the column '{column}' holds a {type(value).__name__}, which cannot be the name of a domain.",
        "Split by a column with one text or number per row.",
    )


def is_blank(raw: bytes, start_of_file: bool) -> bool:
    """Whether a line holds nothing but white space (and, at the start of a file, a byte order mark)."""
    raw = raw.strip(_WHITE)
    if not raw or raw[0] < 128:
        return not raw
    return not raw.decode("utf-8-sig" if start_of_file else "utf-8", "replace").strip()


def json_lines(file: Path, first: int, last: int | None, lines_before: int, wanted: Wanted, tally: Tally) -> Numbered:
    """Read lines that begin at bytes `first` to `last`; `first` begins a line, and `last` is None for the end.

    Raises:
        DataError: a malformed line, or a damaged file.
    """
    line, at, taken, numbers = lines_before, first, 0, wanted.numbers
    decode, raw = DECODER.decode, b""
    try:
        with file_errors(file, lambda: f"line {line}"), open_bytes(file) as stream:
            if first:
                stream.seek(first)
            for line, raw in enumerate(lines_of(stream, file, lines_before + 1), lines_before + 1):
                if last is not None and at >= last:
                    break
                start_of_file, at = at == 0, at + len(raw)
                if numbers is not None:
                    if taken == len(numbers):
                        break
                    if is_blank(raw, start_of_file):
                        continue
                    if numbers[taken] != tally.rows:
                        tally.rows += 1
                        continue
                    taken += 1
                text = raw.decode("utf-8-sig" if start_of_file else "utf-8").strip()
                if not text:
                    continue
                values = decode(text)
                if not isinstance(values, dict):
                    raise DataError(
                        f"{file}, line {line}: a row must be an object, not a JSON {type(values).__name__}.",
                        "Write one object per line.",
                    )
                if surrogate_escape(text):
                    require_text(values, f"{file}, line {line}")
                tally.rows += 1
                if wanted.keys is None or wanted.text(values, f"{file}, line {line}") in wanted.keys:
                    yield tally.rows - 1, line, values
    except JsonProblem as error:
        hint = "Correct or delete that line; JSONL has one complete object per line."
        raise json_error(error, f"{file}, line {line}", raw, hint) from None


def chosen(rows: Iterable[tuple[int, dict[str, Any]]], place: str, wanted: Wanted, tally: Tally) -> Numbered:
    """Yield those rows of (line, row) that are wanted, numbered.

    Args:
        rows: of a whole file.
        place: what stands before the line in messages.
        wanted: which.
        tally: counts them all.
    """
    numbers, taken = wanted.numbers, 0
    for line, values in rows:
        if numbers is not None and taken == len(numbers):
            break
        tally.rows += 1
        if numbers is not None:
            if numbers[taken] != tally.rows - 1:
                continue
            taken += 1
        elif wanted.keys is not None and wanted.text(values, f"{place} {line}") not in wanted.keys:
            continue
        yield tally.rows - 1, line, values


def no_column(column: str, there: Any, place: str) -> DataError:
    """Return the error of a source without the column that splits it."""
    names = list(there)
    return DataError(
        f"{place} has no column '{column}'; its columns are {', '.join(map(repr, names[:20])) or 'none'}.",
        "Set split_by to one of them.",
    )


def hub_rows(data: Any, first: int, last: int | None, wanted: Wanted, tally: Tally) -> Numbered:
    """Read rows `first` to `last` of a loaded dataset.

    Raises:
        DataError: the column that splits it holds lists or objects, or a text is not UTF-8.
    """
    end = len(data) if last is None else last
    chosen = np.arange(first, end)
    if wanted.numbers is not None:
        chosen = chosen[wanted.numbers]
    elif wanted.keys is not None and wanted.column is not None:
        kept = [value in wanted.keys for value in hub_values(data, wanted.column, first, end, "The dataset")]
        chosen = chosen[np.array(kept, bool)]
    for begin in range(0, len(chosen), _BATCH):
        some = chosen[begin : begin + _BATCH]
        whole = len(some) == int(some[-1]) - int(some[0]) + 1
        part = data.select(range(int(some[0]), int(some[-1]) + 1)) if whole else data.select(some)
        rows = iter(part)
        # Columns of JSON hold what was written; of others an object has the keys of all rows' objects, with nulls.
        arrow = [name for name, feature in data.features.items() if "Json(" not in repr(feature)]
        for i in some:
            try:
                values = dict(next(rows))
            except UnicodeDecodeError as error:
                # The library reads ahead, so that the row itself is not known.
                raise DataError(
                    f"The dataset, row {int(i) + 1} or soon after: a text is not UTF-8 ({error.reason}).",
                    "Save it as UTF-8.",
                ) from None
            values.update({name: without_nulls(values[name]) for name in arrow})
            yield int(i) - first, int(i) + 1, values
    tally.rows += end - first


def without_nulls(value: Any) -> Any:
    """Return a value of Arrow whose objects have no key that is null."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def hub_values(data: Any, column: str, first: int, last: int, place: str) -> list[str | None]:
    """Return the values of a dataset's column, of rows `first` to `last`, as text.

    Raises:
        DataError: no such column, or one that holds lists, objects or text that is not UTF-8.
    """
    if column not in data.column_names:
        raise no_column(column, data.column_names, place)
    try:
        values = data.select_columns([column]).select(range(first, last))[:][column]
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: '{column}' is not UTF-8 ({error.reason}).", "Save it as UTF-8.") from None
    return [value_text(value, column, place) for value in values]


def load_hub(domain: Domain) -> Any:
    """Return a Hugging Face dataset.

    Raises:
        DataError: it cannot be loaded.
        MissingExtra: datasets is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "train", "Loading a Hugging Face dataset") from None
    try:
        return datasets.load_dataset(domain.path, domain.subset, split=domain.split, revision=domain.revision)
    except Exception as error:  # the library raises a dozen kinds, from ValueError to network errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"Domain '{domain.name}': '{domain.path}' is not a local file, and loading it as a Hugging Face dataset "
            f"failed: {reason}",
            "Check the path, the split and the network; a local file needs its suffix (.jsonl, .parquet).",
        ) from None


def arrow(purpose: str = "Reading Parquet") -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet; raise MissingExtra, which names the purpose, without them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", purpose) from None
    return pa, parquet
