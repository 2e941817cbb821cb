"""What a collection holds: how many of its rows have each value of the column that splits it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.arrow_rows import coded, column_parts
from mixlaw.data.pool import run_tasks, shared
from mixlaw.data.readers import hub_values, no_column, value_text
from mixlaw.data.reading import Piece, Source, workers_for

_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Census:
    """The values of a column.

    Attributes:
        rows: value as text -> rows that have it, most first.
        without: rows without a value.
    """

    rows: dict[str, int]
    without: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"rows": self.rows, "without": self.without}


def take_census(domain: Domain, column: str, source: Source | None = None) -> Census:
    """Count the values of a column over all rows; of Parquet only that column is read.

    Args:
        domain: the collection, as one domain.
        column: its name.
        source: the domain's rows, where they were opened already.

    Raises:
        DataError: no such column, one that holds lists, one with a value of its own in nearly every row, or no rows.
    """
    source = source or Source(domain)
    tasks = [(count_values, (piece, column)) for piece in source.pieces()]
    found = run_tasks(tasks, workers_for(source.bytes), source)
    total: Counter[str | None] = Counter()
    for counts, _ in found:
        total.update(counts)
    if len(total) > _MOST_VALUES:
        raise DataError(
            f"{domain.path}: the column '{column}' has more than {_MOST_VALUES:,} values, too many for the names of "
            "domains.",
            "Split by a column with few values.",
        )
    without = total.pop(None, 0)
    if not total:
        columns = next((names for _, names in found if names), [])
        if not without:
            raise DataError(
                f"The collection is empty: {domain.path} has no rows.", "Add rows, or remove the collection."
            )
        if column not in columns:
            raise no_column(column, columns, domain.path)
        raise DataError(
            f"{domain.path}: the column '{column}' is null in all {without} rows.", "Split by another column."
        )
    return Census(dict(sorted(total.items(), key=lambda item: (-item[1], item[0] or ""))), without)  # type: ignore[arg-type]


def count_values(piece: Piece, column: str) -> tuple[dict[str | None, int], list[str]]:
    """Return value -> rows of one piece of the shared source (None: without a value), and the names of columns."""
    source: Source = shared()
    if source.files is None:
        values = hub_values(source.data, column, piece.first, piece.last or 0, source.domain.path)
        return dict(Counter(values)), list(source.data.column_names)
    if source.kind(piece.source) in ("parquet", "arrow"):
        return _count_arrow(source, piece, column)
    counts: Counter[str | None] = Counter()
    names = []
    for row in _rows(source, piece):
        names = names or list(row.values)
        counts[value_text(row.values.get(column), column, row.place)] += 1
    return dict(counts), names


def _rows(source: Source, piece: Piece) -> Any:
    try:
        yield from source.read(piece)
    except DataError:
        if (before := source.lines_before(piece)) == 0:
            raise
        # Only now do the messages need the lines before the piece.
        for _ in source.read(piece, lines_before=before):
            pass
        raise


def _count_arrow(source: Source, piece: Piece, column: str) -> tuple[dict[str | None, int], list[str]]:
    counts: Counter[str | None] = Counter()
    file, columns = (source.files or [])[piece.source], []
    before = piece.rows_before or 0
    for names, part in column_parts(file, piece.first, piece.last, column):
        columns = names
        codes, values = coded(part, column, str(file), before)
        before += len(codes)
        for value, count in zip([None, *values], np.bincount(codes + 1, minlength=len(values) + 1), strict=True):
            counts[value] += int(count)
    return {value: count for value, count in counts.items() if count}, columns
