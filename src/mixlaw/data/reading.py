"""Raw rows of a domain, one at a time, each with its place for messages; whole, or in pieces for several processes.

A domain's source is a list of files (JSON, CSV, Parquet, Arrow) or one Hugging Face dataset. It is cut into pieces:
bytes of a JSONL file at line ends, row groups of a Parquet file, batches of an Arrow file, rows of a dataset. A
compressed file, a JSON array and CSV are read whole, from front to back.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixlaw.core.cores import usable_cores
from mixlaw.core.domain import ARROW_SUFFIXES, COLUMNS, COMPRESSED_SUFFIXES, FILE_SUFFIXES, TEXT_SUFFIXES, Domain
from mixlaw.core.errors import DataError
from mixlaw.core.files import expanded
from mixlaw.data.arrow_rows import arrow_rows, parquet_rows, part_sizes
from mixlaw.data.csv_rows import csv_rows
from mixlaw.data.json_documents import document_rows, is_document
from mixlaw.data.readers import Numbered, Tally, Wanted, chosen, hub_rows, is_blank, json_lines, load_hub
from mixlaw.data.streams import compression, file_errors, lines_of, open_bytes, text_bytes

_ENDINGS = f"{', '.join(TEXT_SUFFIXES)} (compressed: {', '.join(COMPRESSED_SUFFIXES)}), {', '.join(ARROW_SUFFIXES)}"
_NOT_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "manifest.json")
"""What `datasets` and mixlaw write beside the rows."""

_UNITS = {"lines": "line", "document": "element", "csv": "line", "parquet": "row", "arrow": "row"}
"""Kind of a file -> what its rows are counted in, in messages."""

PIECE_BYTES = 32 << 20
"""Bytes of a piece, about."""

LARGE_BYTES = 24 << 20
"""With fewer, starting processes takes longer than they save."""

_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?=[-._\d])", re.IGNORECASE)
"""How names of files begin that are a split of a dataset, as in copies of the hub's."""


def workers_for(source_bytes: int) -> int:
    """Return how many processes read sources of so many bytes: one a usable core, or one for little."""
    return usable_cores() if source_bytes >= LARGE_BYTES else 1


_HUB_ROWS = 50_000


class RawRow(NamedTuple):
    """One row as it stands in the source.

    Attributes:
        values: column -> value.
        place: how a message names it: file and line or row.
        number: its index over all of the source's files, from 0; in a piece, from the piece's start.
    """

    values: dict[str, Any]
    place: str
    number: int


@dataclass(frozen=True)
class Piece:
    """A part of a source that one process reads.

    Attributes:
        source: the index of its file.
        first: where it begins: a byte (the start of a line), a row group or a row.
        last: where it ends; None for the end of the file.
        rows_before: rows of the file before it; None where they are not counted (see `lines_before`).
    """

    source: int = 0
    first: int = 0
    last: int | None = None
    rows_before: int | None = 0


class Source:
    """The files or the dataset of a domain. It can be handed to another process.

    Args:
        domain: whose rows they are.
        files: its files, where they are known; else they are found.

    Raises:
        DataError: see `source_files`.
    """

    def __init__(self, domain: Domain, files: Sequence[Path] | None = None) -> None:
        self.domain = domain
        self.files = list(files) if files is not None else source_files(domain)
        self._data: Any = None
        self._kinds: dict[int, str] = {}

    @property
    def data(self) -> Any:
        """The Hugging Face dataset, loaded the first time."""
        if self._data is None:
            self._data = load_hub(self.domain)
        return self._data

    @property
    def bytes(self) -> int:
        """About how much text it holds, by the size of its files; 0 for a dataset."""
        return sum(map(text_bytes, self.files or ()))

    def kind(self, s: int) -> str:
        """Return how file `s` is written: lines, document (other JSON), csv, parquet or arrow.

        Raises:
            DataError: it cannot be read.
        """
        if s not in self._kinds:
            file = (self.files or [])[s]
            name = file.name.lower()
            if name.endswith(ARROW_SUFFIXES):
                self._kinds[s] = "parquet" if name.endswith(".parquet") else "arrow"
            elif name.removesuffix(compression(file)).endswith((".csv", ".tsv")):
                self._kinds[s] = "csv"
            else:
                self._kinds[s] = "document" if is_document(file, self._names) else "lines"
        return self._kinds[s]

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of columns that only a row has."""
        return (*COLUMNS, *self.domain.columns.values())

    def pieces(self, size: int = PIECE_BYTES) -> list[Piece]:
        """Return its pieces of about `size` bytes, in order.

        Raises:
            DataError: a Parquet file is damaged.
        """
        if self.files is None:
            rows = len(self.data)
            return [Piece(0, a, min(rows, a + _HUB_ROWS), a) for a in range(0, rows, _HUB_ROWS)] or [Piece()]
        return [piece for s, file in enumerate(self.files) for piece in _cut(s, file, self.kind(s), size)]

    def read(
        self, piece: Piece, wanted: Wanted | None = None, tally: Tally | None = None, lines_before: int = 0
    ) -> Iterator[RawRow]:
        """Yield the wanted rows of a piece; numbers count from the piece's start.

        Args:
            piece: of `pieces`.
            wanted: None for all rows.
            tally: counts the piece's rows, wanted or not.
            lines_before: lines of a JSONL file before the piece, for messages.

        Raises:
            DataError: a malformed line (file and line number), a damaged file, or a data set that cannot be loaded.
            MissingExtra: Parquet or the hub is needed and the package for it is not installed.
        """
        wanted, tally = wanted or Wanted(), tally or Tally()
        place, rows = self._rows(piece, wanted, tally, lines_before)
        for number, line, values in rows:
            yield RawRow(values, f"{place} {line}", number)

    def _rows(self, piece: Piece, wanted: Wanted, tally: Tally, lines_before: int) -> tuple[str, Numbered]:
        """Return how messages name the place of a row, but for its number, and the rows."""
        if self.files is None:
            rows = hub_rows(self.data, piece.first, piece.last, wanted, tally)
            return f"{self.domain.path} ({self.domain.split}), row", rows
        file, kind = self.files[piece.source], self.kind(piece.source)
        place, part = f"{file}, {_UNITS[kind]}", (file, piece.first, piece.last)
        if kind == "lines":
            return place, json_lines(*part, lines_before, wanted, tally)
        if kind in ("parquet", "arrow"):
            reader = parquet_rows if kind == "parquet" else arrow_rows
            return place, reader(*part, piece.rows_before or 0, wanted, tally)
        return place, chosen(self._whole(file, kind), place, wanted, tally)

    def _whole(self, file: Path, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
        return csv_rows(file) if kind == "csv" else document_rows(file, self._names)

    def lines_before(self, piece: Piece) -> int:
        """Return the lines of a JSONL file before a piece; 0 for other sources."""
        if self.files is None or piece.first == 0 or self.kind(piece.source) != "lines":
            return 0
        return sum(1 for _ in _raw_lines(self.files[piece.source], 0, piece.first))

    def count(self, piece: Piece) -> int:
        """Return the rows of a piece, as far as possible without parsing them."""
        if self.files is None:
            return (len(self.data) if piece.last is None else piece.last) - piece.first
        file, kind = self.files[piece.source], self.kind(piece.source)
        if kind in ("parquet", "arrow"):
            return sum(rows for _, rows in part_sizes(file)[piece.first : piece.last])
        if kind != "lines":
            return sum(1 for _ in self._whole(file, kind))
        lines = _raw_lines(file, piece.first, piece.last)
        return sum(not is_blank(raw, piece.first == 0 and i == 0) for i, raw in enumerate(lines))


def _raw_lines(file: Path, first: int, last: int | None) -> Iterator[bytes]:
    with file_errors(file, lambda: "some lines"), open_bytes(file) as stream:
        if first:
            stream.seek(first)
        at = first
        for raw in lines_of(stream, file):
            if last is not None and at >= last:
                return
            at += len(raw)
            yield raw


def _cut(source: int, file: Path, kind: str, size: int) -> list[Piece]:
    total = file.stat().st_size
    if kind in ("parquet", "arrow"):
        return _cut_parts(source, part_sizes(file), size)
    if kind != "lines" or compression(file) or total <= size:
        return [Piece(source)]
    starts = [0]
    with open(file, "rb") as stream:
        for k in range(1, total // size + 1):
            stream.seek(max(0, k * total // (total // size + 1) - 1))
            stream.readline()  # to the start of the next line; a byte earlier, lest a line that begins here be skipped
            if starts[-1] < stream.tell() < total:
                starts.append(stream.tell())
    ends = [*starts[1:], None]
    return [Piece(source, a, b, None if a else 0) for a, b in zip(starts, ends, strict=True)]


def _cut_parts(source: int, sizes: Sequence[tuple[int, int]], size: int) -> list[Piece]:
    pieces, first, held, before, rows = [], 0, 0, 0, 0
    for g, (length, count) in enumerate(sizes):
        if held and held + length > size:
            pieces.append(Piece(source, first, g, before))
            first, held, before = g, 0, rows
        held, rows = held + length, rows + count
    return [*pieces, Piece(source, first, len(sizes), before)]


def source_files(domain: Domain) -> list[Path] | None:
    """Return the domain's local files, sorted, or None where its path is a Hugging Face dataset id.

    Raises:
        DataError: the path looks local and there is no such file, a folder or glob holds no data files, or a part of
            local files is asked for that only a dataset of the hub has.
    """
    files = _local_files(domain)
    if files is not None and (asked := {key: value for key, value in _of_the_hub(domain).items() if value}):
        key, value = next(iter(asked.items()))
        raise DataError(
            f"Domain '{domain.name}': {key} is {value!r}, but {domain.path} is a file or folder here, which has no "
            f"{key}s.",
            f"Leave out {key}. To train on some of the rows alone, put them into a file of their own.",
        )
    return files


def _of_the_hub(domain: Domain) -> dict[str, str | None]:
    """Return what is asked of a dataset of the hub, None where that is the default."""
    split = None if domain.split == "train" else domain.split
    return {"split": split, "subset": domain.subset, "revision": domain.revision}


def _local_files(domain: Domain) -> list[Path] | None:
    path = expanded(domain.path)
    if path.is_file():
        if not _is_data(path):
            raise DataError(f"Domain '{domain.name}': {path} is not one of {_ENDINGS}.", "Convert or rename the file.")
        return [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if _is_rows(f) and f.is_file())
        if not files and (path / "dataset_dict.json").is_file():
            splits = sorted(f.name for f in path.iterdir() if f.is_dir())
            raise DataError(
                f"Domain '{domain.name}': the folder {path} holds the splits {', '.join(splits)}.",
                "Give the folder of one of them.",
            )
        if not files:
            raise DataError(f"Domain '{domain.name}': the folder {path} holds no {_ENDINGS} files.", "Check the path.")
        if len(splits := sorted({found[1].lower() for f in files if (found := _SPLIT.match(f.name))})) > 1:
            raise DataError(
                f"Domain '{domain.name}': the folder {path} holds files of the splits {', '.join(splits)}, which would "
                "all be trained on.",
                f"Give a pattern of those to train on, such as {path / 'train*'}, or {path / '*'} for all.",
            )
        return files
    if any(sign in domain.path for sign in "*?["):
        files = sorted(f for f in map(Path, glob.glob(str(path))) if _is_rows(f))
        if not files:
            raise DataError(f"Domain '{domain.name}': no file matches {domain.path}.", "Check the pattern.")
        return files
    if domain.path.startswith(("/", "./", "../", "~")) or _is_data(path) or domain.path.count("/") > 1:
        raise DataError(f"Domain '{domain.name}': no such file or folder: {path}.", "Check the path.")
    return None


def _is_data(file: Path) -> bool:
    return file.name.lower().endswith(FILE_SUFFIXES)


def _is_rows(file: Path) -> bool:
    """Whether a file of a folder is taken for data."""
    return _is_data(file) and not file.name.startswith(".") and file.name not in _NOT_ROWS


def read_rows(domain: Domain, source: Source | Sequence[Path] | None) -> Iterator[RawRow]:
    """Yield the domain's rows in order.

    Args:
        domain: whose rows.
        source: its source, or the files of it.

    Raises:
        DataError: a malformed line (file and line number), a damaged file, or a data set that cannot be loaded.
        MissingExtra: Parquet or the hub is needed and the package for it is not installed.
    """
    source, before = source if isinstance(source, Source) else Source(domain, source), 0
    for s in range(len(source.files) if source.files is not None else 1):
        tally = Tally()
        for row in source.read(Piece(s), wanted_of([domain]), tally):
            yield row if before == 0 else row._replace(number=row.number + before)
        before += tally.rows


def wanted_of(domains: Sequence[Domain]) -> Wanted:
    """Return which rows of one source belong to any of some domains; a value's key is the domain's index."""
    column = domains[0].split_by
    if column is None:
        return Wanted()
    return Wanted(column, {value: d for d, domain in enumerate(domains) for value in domain.values})
