"""One and the same table in every form that mixlaw takes: for tests that none of them is read otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Columns = dict[str, list[Any]]


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Return one dict per run, without what is None."""
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


def text_of(columns: Columns, delimiter: str = ",") -> str:
    """Return a table as text with a delimiter; what is None is empty."""
    rows = [delimiter.join(columns)]
    rows += [delimiter.join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(rows) + "\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def as_csv(columns: Columns, folder: Path) -> Any:
    return written(folder, "runs.csv", text_of(columns))


def as_semicolons(columns: Columns, folder: Path) -> Any:
    return written(folder, "semicolons.csv", text_of(columns, ";"))


def as_tsv(columns: Columns, folder: Path) -> Any:
    return written(folder, "runs.tsv", text_of(columns, "\t"))


def as_json(columns: Columns, folder: Path) -> Any:
    return written(folder, "runs.json", json.dumps(columns))


def as_json_rows(columns: Columns, folder: Path) -> Any:
    return written(folder, "rows.json", json.dumps(rows_of(columns)))


def as_json_lines(columns: Columns, folder: Path) -> Any:
    return written(folder, "runs.jsonl", "\n".join(map(json.dumps, rows_of(columns))) + "\n")


def as_frame(columns: Columns, folder: Path) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def as_arrow(columns: Columns, folder: Path) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def as_parquet(columns: Columns, folder: Path) -> Any:
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(as_arrow(columns, folder), folder / "runs.parquet")
    return folder / "runs.parquet"


def as_dict(columns: Columns, folder: Path) -> Any:
    return columns


def as_records(columns: Columns, folder: Path) -> Any:
    return rows_of(columns)


TEXTS = [as_csv, as_semicolons, as_tsv]
VALUES = [as_json, as_json_rows, as_json_lines, as_parquet, as_frame, as_arrow, as_dict, as_records]
FORMATS = pytest.mark.parametrize("given", [*TEXTS, *VALUES])
