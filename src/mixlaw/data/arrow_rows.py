"""Rows of Parquet files and of Arrow's own files (.arrow, .feather), without decoding what is not wanted."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.limits import limit
from mixlaw.data.readers import Numbered, Tally, Wanted, arrow, no_column, value_text, without_nulls
from mixlaw.data.streams import too_long

_BATCH = 1024
_STREAM_BYTES = 1 << 20


@contextlib.contextmanager
def parquet_file(file: Path) -> Iterator[Any]:
    """Open a Parquet file, and say what is wrong with it as a DataError."""
    pa, parquet = arrow()
    try:
        with parquet.ParquetFile(file, buffer_size=_STREAM_BYTES) as opened:
            _require_distinct(opened.schema_arrow.names, file)
            yield opened
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file} is not a readable Parquet file: {str(error).rstrip('.')}.", "Download or write the file again."
        ) from None


@contextlib.contextmanager
def arrow_batches(file: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Open an Arrow file, of either kind, and yield its schema and its batches, mapped into memory."""
    pa, _ = arrow("Reading Arrow files")
    try:
        with pa.memory_map(str(file)) as source:
            if source.read(6) == b"ARROW1":
                opened = pa.ipc.open_file(source)
                batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
            else:
                source.seek(0)
                batches = opened = pa.ipc.open_stream(source)
            _require_distinct(opened.schema.names, file)
            yield opened.schema, iter(batches)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file} is not a readable Arrow file: {str(error).rstrip('.')}.", "Download or write the file again."
        ) from None


def _require_distinct(names: Sequence[str], file: Path) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{file} has the column {', '.join(map(repr, twice))} twice.", "Rename or delete one of them.")


def parquet_rows(file: Path, first: int, last: int | None, rows_before: int, wanted: Wanted, tally: Tally) -> Numbered:
    """Read row groups `first` to `last`, in batches.

    Raises:
        DataError: a damaged file, or text that is not UTF-8.
        MissingExtra: pyarrow is not installed.
    """
    with parquet_file(file) as source:
        for group in range(first, source.num_row_groups if last is None else last):
            start, size = tally.rows, source.metadata.row_group(group).num_rows
            column = None
            if wanted.numbers is None and wanted.keys is not None and wanted.column is not None:
                if wanted.column not in source.schema_arrow.names:
                    raise no_column(wanted.column, source.schema_arrow.names, str(file))
                column = source.read_row_group(group, columns=[wanted.column]).column(0)
            chosen = _chosen(column, start, size, file, rows_before, wanted)
            tally.rows += size
            if chosen is not None and not chosen.any():
                continue
            at = 0
            for batch in source.iter_batches(batch_size=_BATCH, row_groups=[group]):
                part = None if chosen is None else chosen[at : at + len(batch)]
                yield from _batch_rows(batch, part, file, start + at, rows_before)
                at += len(batch)


def arrow_rows(file: Path, first: int, last: int | None, rows_before: int, wanted: Wanted, tally: Tally) -> Numbered:
    """Read batches `first` to `last` of an Arrow file.

    Raises:
        DataError: a damaged file, or text that is not UTF-8.
        MissingExtra: pyarrow is not installed.
    """
    with arrow_batches(file) as (schema, batches):
        if wanted.column is not None and wanted.keys is not None and wanted.column not in schema.names:
            raise no_column(wanted.column, schema.names, str(file))
        for whole in itertools.islice(batches, first, last):
            start, size = tally.rows, len(whole)
            by_value = wanted.numbers is None and wanted.keys is not None
            column = whole.column(wanted.column) if by_value and wanted.column is not None else None
            chosen = _chosen(column, start, size, file, rows_before, wanted)
            tally.rows += size
            for at in range(0, size, _BATCH):
                part = None if chosen is None else chosen[at : at + _BATCH]
                if part is None or part.any():
                    yield from _batch_rows(whole.slice(at, _BATCH), part, file, start + at, rows_before)


def column_parts(file: Path, first: int, last: int | None, column: str) -> Iterator[tuple[list[str], Any]]:
    """Yield (names of columns, values of one column) for each row group or batch from `first` to `last`.

    Raises:
        DataError: a damaged file, or no such column.
    """
    if file.suffix.lower() == ".parquet":
        with parquet_file(file) as opened:
            names = list(opened.schema_arrow.names)
            if column not in names:
                raise no_column(column, names, str(file))
            for group in range(first, opened.num_row_groups if last is None else last):
                yield names, opened.read_row_group(group, columns=[column]).column(0)
    else:
        with arrow_batches(file) as (schema, batches):
            if column not in schema.names:
                raise no_column(column, schema.names, str(file))
            for batch in itertools.islice(batches, first, last):
                yield list(schema.names), batch.column(column)


def part_sizes(file: Path) -> list[tuple[int, int]]:
    """Return (bytes, rows) of each row group of a Parquet file, or of each batch of an Arrow file.

    Raises:
        DataError: a damaged file.
    """
    if file.suffix.lower() == ".parquet":
        with parquet_file(file) as opened:
            groups = [opened.metadata.row_group(g) for g in range(opened.num_row_groups)]
            return [(group.total_byte_size, group.num_rows) for group in groups]
    with arrow_batches(file) as (_, batches):
        return [(batch.get_total_buffer_size(), len(batch)) for batch in batches]


def _chosen(column: Any, start: int, size: int, file: Path, rows_before: int, wanted: Wanted) -> np.ndarray | None:
    """Return which of `size` rows from `start` are wanted, by their numbers or the column's values; None for all."""
    if wanted.numbers is not None:
        a, b = np.searchsorted(wanted.numbers, [start, start + size])
        chosen = np.zeros(size, bool)
        chosen[wanted.numbers[a:b] - start] = True
        return chosen
    if column is None or wanted.keys is None:
        return None
    codes, values = coded(column, wanted.column or "", str(file), rows_before + start)
    return np.array([*(value in wanted.keys for value in values), False])[codes]


def _batch_rows(batch: Any, chosen: np.ndarray | None, file: Path, start: int, rows_before: int) -> Numbered:
    """Yield the chosen rows of a batch whose first row has the number `start`."""
    import pyarrow as pa

    kept: Sequence[int] = range(len(batch))
    if chosen is not None:
        kept = np.flatnonzero(chosen).tolist()
        batch = batch.take(pa.array(kept, pa.int64())) if len(kept) < len(batch) else batch
    if batch.nbytes > limit("row_bytes"):
        for k, i in enumerate(kept):
            if batch.slice(k, 1).nbytes > limit("row_bytes"):
                raise too_long(f"{file}, row {rows_before + start + i + 1}")
    try:
        rows = list(rows_of(batch))
    except UnicodeDecodeError as error:
        i = kept[_undecodable(batch)]
        raise DataError(
            f"{file}, row {rows_before + start + i + 1}: a text is not UTF-8 ({error.reason}).", "Save it as UTF-8."
        ) from None
    except _Twice as error:
        first, last = (rows_before + start + i + 1 for i in (kept[0], kept[-1]))
        raise DataError(
            f"{file}, rows {first} to {last}: one has a map with the key {error.args[0]!r} twice.", "Keep one of them."
        ) from None
    for i, values in zip(kept, rows, strict=True):
        yield start + i, rows_before + start + i + 1, values


def _undecodable(batch: Any) -> int:
    """Return the first row of a batch or an array with a text that is not UTF-8."""
    for i in range(len(batch)):
        try:
            batch.slice(i, 1).to_pylist()
        except UnicodeDecodeError:
            return i
    return 0


def coded(column: Any, name: str, place: str, rows_before: int = 0) -> tuple[np.ndarray, list[str | None]]:
    """Return an Arrow column as codes and the text of each code's value; null has the code -1.

    Raises:
        DataError: it holds lists or objects, or text that is not UTF-8.
    """
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        value_text({} if pa.types.is_struct(column.type) else [], name, place)
    whole = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = whole.unify_dictionaries().combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type).dictionary_encode()
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        values = whole.dictionary.to_pylist()
    except UnicodeDecodeError as error:
        row = rows_before + int(np.argmax(codes == _undecodable(whole.dictionary))) + 1
        raise DataError(f"{place}, row {row}: '{name}' is not UTF-8 ({error.reason}).", "Save it as UTF-8.") from None
    return codes, [value_text(value, name, place) for value in values]


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of an Arrow batch as dicts, as `to_pylist` does, without a Python object for each Arrow value.

    An object inside a row has no null: Arrow gives each one the keys of all others, with nulls that nobody wrote.
    """
    columns = [_values(column) for column in batch.columns]
    names = batch.schema.names
    for row in zip(*columns, strict=True) if columns else ((),) * len(batch):
        yield dict(zip(names, row, strict=True))


def _values(array: Any) -> list[Any]:
    import pyarrow as pa

    kind = array.type
    if len(array) == 0:
        return []
    if pa.types.is_nested(kind) and _has_map(kind):
        return [without_nulls(_with_objects(value, kind)) for value in array.to_pylist()]
    if array.null_count == 0 and pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if not names or len(set(names)) < len(names):
            return array.to_pylist()
        fields = array.flatten()
        rows = [dict(zip(names, row, strict=True)) for row in zip(*map(_values, fields), strict=True)]
        return [without_nulls(row) for row in rows] if any(field.null_count for field in fields) else rows
    if array.null_count == 0 and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        ends = array.offsets.to_pylist()
        inner = _values(array.values.slice(ends[0], ends[-1] - ends[0]))
        return [inner[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
    return without_nulls(array.to_pylist()) if pa.types.is_nested(kind) else array.to_pylist()


class _Twice(ValueError):
    """A key that a map has twice."""


def _has_map(kind: Any) -> bool:
    import pyarrow as pa

    inner = [kind.field(i).type for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    return pa.types.is_map(kind) or any(map(_has_map, inner))


def _with_objects(value: Any, kind: Any) -> Any:
    """Return a value with an object for each map of its type, which Arrow gives as a list of pairs."""
    import pyarrow as pa

    if value is None or not pa.types.is_nested(kind):
        return value
    if pa.types.is_map(kind):
        found = {key: _with_objects(inner, kind.item_type) for key, inner in value}
        if len(found) < len(value):
            raise _Twice(next(key for key, _ in value if sum(key == other for other, _ in value) > 1))
        return found
    if pa.types.is_struct(kind):
        return {name: _with_objects(inner, kind.field(name).type) for name, inner in value.items()}
    return [_with_objects(inner, kind.value_type) for inner in value] if isinstance(value, list) else value
