"""The three kinds of sources, read from a place inside them: JSON lines, Parquet row groups, Hugging Face datasets.

Each reader yields (row, line, values): the row's number from the reader's start, counted over all rows, and its line or
row number for messages. It counts all rows in `tally.rows`, whether they are yielded or not.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError, MissingExtra

Numbered = Iterator[tuple[int, int, dict[str, Any]]]

_BATCH = 1024
_STREAM_BYTES = 1 << 20
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
    """Return a value of the column that splits a collection as text, or None where it is null.

    Raises:
        DataError: it is a list or an object.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise DataError(
        f"{place}: the column '{column}' holds a {type(value).__name__}, which names no domain.",
        "Split by a column with one text or number a row.",
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
    opener = gzip.open if file.name.endswith(".gz") else open
    line, at, taken, numbers = lines_before, first, 0, wanted.numbers
    try:
        with opener(file, "rb") as stream:
            if first:
                stream.seek(first)
            for line, raw in enumerate(stream, lines_before + 1):
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
                values = json.loads(text)
                if not isinstance(values, dict):
                    raise DataError(
                        f"{file}, line {line}: a JSON {type(values).__name__}, a row must be an object.",
                        "Write one object a line.",
                    )
                tally.rows += 1
                if wanted.keys is None or wanted.text(values, f"{file}, line {line}") in wanted.keys:
                    yield tally.rows - 1, line, values
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}, line {line}: not valid JSON ({error.msg}, column {error.colno}).",
            "Correct or delete that line; JSONL has one whole object a line.",
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}, line {line}: not UTF-8 ({error.reason}).", "Write it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(
            f"{file}, line {line}: cannot be read as JSON ({error}).", "Correct or delete that line."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}, after line {line}: damaged gzip file ({error}).", "Fetch the file again.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.", "Check the file.") from None


def parquet_rows(file: Path, first: int, last: int | None, rows_before: int, wanted: Wanted, tally: Tally) -> Numbered:
    """Read row groups `first` to `last`, in batches, without decoding what is not wanted.

    Raises:
        DataError: a damaged file, or text that is not UTF-8.
        MissingExtra: pyarrow is not installed.
    """
    pa, parquet = arrow()
    row = rows_before
    try:
        with parquet.ParquetFile(file, buffer_size=_STREAM_BYTES) as source:
            for group in range(first, source.num_row_groups if last is None else last):
                start, size = tally.rows, source.metadata.row_group(group).num_rows
                chosen = _chosen(source, group, start, size, file, wanted)
                tally.rows += size
                if chosen is not None and not chosen.any():
                    continue
                at = 0
                for batch in source.iter_batches(batch_size=_BATCH, row_groups=[group]):
                    row, count = rows_before + start + at, len(batch)
                    kept: Sequence[int] = range(count)
                    if chosen is not None:
                        kept = np.flatnonzero(chosen[at : at + count]).tolist()
                        batch = batch.take(pa.array(kept, pa.int64())) if len(kept) < count else batch
                    for i, values in zip(kept, rows_of(batch), strict=True):
                        yield start + at + i, row + i + 1, values
                    at += count
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, after row {row}: a text is not UTF-8 ({error.reason}).", "Write it as UTF-8."
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}.", "Fetch the file again.") from None


def _chosen(source: Any, group: int, start: int, size: int, file: Path, wanted: Wanted) -> np.ndarray | None:
    """Return which rows of a row group are wanted, reading at most the one column that says so; None for all."""
    if wanted.numbers is not None:
        a, b = np.searchsorted(wanted.numbers, [start, start + size])
        chosen = np.zeros(size, bool)
        chosen[wanted.numbers[a:b] - start] = True
        return chosen
    if wanted.keys is None or wanted.column is None:
        return None
    if wanted.column not in source.schema_arrow.names:
        raise no_column(wanted.column, source.schema_arrow.names, str(file))
    codes, values = coded(source.read_row_group(group, columns=[wanted.column]).column(0), wanted.column, str(file))
    return np.array([*(value in wanted.keys for value in values), False])[codes]


def coded(column: Any, name: str, place: str) -> tuple[np.ndarray, list[str | None]]:
    """Return an Arrow column as codes and the text of each code's value; null has the code -1.

    Raises:
        DataError: it holds lists or objects.
    """
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        value_text({} if pa.types.is_struct(column.type) else [], name, place)
    whole = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = whole.unify_dictionaries().combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type).dictionary_encode()
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [value_text(value, name, place) for value in whole.dictionary.to_pylist()]


def no_column(column: str, there: Any, place: str) -> DataError:
    """Return the error of a source without the column that splits it."""
    names = list(there)
    return DataError(
        f"{place} has no column '{column}'; its columns are {', '.join(map(repr, names[:20])) or 'none'}.",
        "Set split_by to one of them.",
    )


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of an Arrow batch as dicts, as `to_pylist` does, without a Python object for each Arrow value."""
    columns = [_values(column) for column in batch.columns]
    names = batch.schema.names
    for row in zip(*columns, strict=True) if columns else ((),) * len(batch):
        yield dict(zip(names, row, strict=True))


def _values(array: Any) -> list[Any]:
    import pyarrow as pa

    kind = array.type
    if len(array) == 0:
        return []
    if array.null_count == 0 and pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if not names or len(set(names)) < len(names):
            return array.to_pylist()
        return [dict(zip(names, row, strict=True)) for row in zip(*map(_values, array.flatten()), strict=True)]
    if array.null_count == 0 and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        ends = array.offsets.to_pylist()
        inner = _values(array.values.slice(ends[0], ends[-1] - ends[0]))
        return [inner[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
    return array.to_pylist()


def hub_rows(data: Any, first: int, last: int | None, wanted: Wanted, tally: Tally) -> Numbered:
    """Read rows `first` to `last` of a loaded dataset.

    Raises:
        DataError: the column that splits it holds lists or objects.
    """
    end = len(data) if last is None else last
    chosen = np.arange(first, end)
    if wanted.numbers is not None:
        chosen = chosen[wanted.numbers]
    elif wanted.keys is not None and wanted.column is not None:
        if wanted.column not in data.column_names:
            raise no_column(wanted.column, data.column_names, "The dataset")
        values = data.select_columns([wanted.column]).select(range(first, end))[:][wanted.column]
        kept = [value_text(value, wanted.column, "The dataset") in wanted.keys for value in values]
        chosen = chosen[np.array(kept, bool)]
    for begin in range(0, len(chosen), _BATCH):
        some = chosen[begin : begin + _BATCH]
        whole = len(some) == int(some[-1]) - int(some[0]) + 1
        part = data.select(range(int(some[0]), int(some[-1]) + 1)) if whole else data.select(some)
        for i, values in zip(some, part, strict=True):
            yield int(i) - first, int(i) + 1, dict(values)
    tally.rows += end - first


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
            f"Domain '{domain.name}': '{domain.path}' is no local file, and loading it as a Hugging Face dataset "
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
