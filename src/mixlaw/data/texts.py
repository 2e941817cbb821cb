"""The text of a domain's token rows, one JSON line a conversation, for programs that tokenise for themselves.

A folder holds `train.jsonl` and `validation.jsonl`, in the order of the token rows, and `train.npy` and
`validation.npy`: (R + 1,) byte offsets of the lines; `meta.json` has the checksums of all four. The folder lies beside
the token rows, whose content it shares.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixlaw.core.checksums import checksums, damage
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.formats import converter
from mixlaw.data.prepare import DomainTokens, require_unchanged
from mixlaw.data.readers import Wanted
from mixlaw.data.reading import RawRow, Source
from mixlaw.data.rows import TokenRows, replace_folder

PARTS = ("train", "validation")
_META = "meta.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextRows:
    """Conversations as lines as `Conversation.line` writes them; line r is row r of the token rows.

    Attributes:
        path: the JSONL file.
        offsets: (R + 1,) int64 places where the lines begin.
    """

    path: Path
    offsets: np.ndarray

    @staticmethod
    def open(rows: TokenRows) -> TextRows:
        """Return the text of token rows, verified: once in a process, and again where a file has changed.

        Raises:
            DataError: it was not written (see `write_texts`), is not as it was written, or is not of these rows.
        """
        folder, part = text_folder(rows), rows.folder.name
        again = "Plan the runs again: mixlaw plan mix.yaml."
        names = {name: digest for name, digest in _checksums(folder).items() if name.startswith(f"{part}.")}
        if problem := damage(folder, names):
            raise DataError(problem, again)
        try:
            offsets = np.load(folder / f"{part}.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise DataError(f"{folder} does not hold text: {error}.", again) from None
        if len(offsets) != len(rows) + 1:
            raise DataError(f"{folder} holds {len(offsets) - 1} lines of {part}, not {len(rows)}.", again)
        return TextRows(folder / f"{part}.jsonl", offsets)

    def lines(self, rows: Iterable[int]) -> Iterator[bytes]:
        """Yield the lines of the given rows, with their newlines."""
        with open(self.path, "rb") as file:
            for row in rows:
                file.seek(int(self.offsets[row]))
                yield file.read(int(self.offsets[row + 1] - self.offsets[row]))


def token_rows_of(path: str | Path) -> TokenRows:
    """Return the token rows whose text a file written by `write_texts` is; raise DataError where there are none."""
    path = Path(path)
    return TokenRows.open(path.parent.parent / path.stem)


def text_folder(rows: TokenRows) -> Path:
    """Return where the text of token rows lies."""
    return rows.folder.parent / "text"


def write_texts(domain: Domain, prepared: DomainTokens, hashes: dict[str, str] | None = None) -> None:
    """Write the text of a domain's training and validation rows beside them, whole or not at all.

    Text that is there and as it was written is left as it is; damaged text is written again, and this is said.

    Args:
        domain: whose rows they are.
        prepared: its token rows.
        hashes: of sources that were hashed already; see `mixlaw.data.prepare.hashed_sources`.

    Raises:
        DataError: a source is not the one whose tokens were counted.
    """
    folder = text_folder(prepared.train)
    if folder.is_dir():
        if (problem := _damage(prepared)) is None:
            return
        _log.warning("%s It is made again.", problem)
    source = Source(domain)
    require_unchanged(domain, source.files, prepared, hashes)
    wanted = {part: rows.source_rows for part, rows in zip(PARTS, (prepared.train, prepared.validation), strict=True)}
    temporary = Path(tempfile.mkdtemp(prefix=".text.", dir=folder.parent))
    try:
        _write(source, prepared.format, wanted, temporary)
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _checksums(folder: Path) -> dict[str, str]:
    """Return name -> checksum of the files of a folder of text; raise DataError where it has none."""
    if not (folder / _META).is_file():
        raise DataError(f"{folder} holds no text with checksums.", "Plan the runs again: mixlaw plan mix.yaml.")
    return read_document(folder / _META, "texts")["files"]


def _damage(prepared: DomainTokens) -> str | None:
    try:
        for rows in (prepared.train, prepared.validation):
            TextRows.open(rows)
    except DataError as error:
        return error.message
    return None


def seal_texts(folder: Path) -> None:
    """Write the checksums of a folder's texts beside them."""
    names = [f"{part}.{suffix}" for part in PARTS for suffix in ("jsonl", "npy") if (folder / f"{part}.jsonl").exists()]
    write_document(folder / _META, "texts", {"files": checksums(folder, names)})


def _write(source: Source, form: str, wanted: dict[str, np.ndarray], folder: Path) -> None:
    """Write the lines as they come, then put them into the order of the token rows where that is another one."""
    numbers = np.concatenate(list(wanted.values()))
    owners = np.repeat(np.arange(len(PARTS)), [len(rows) for rows in wanted.values()])
    order = np.argsort(numbers, kind="stable")
    numbers, owners = numbers[order], owners[order]
    lengths = np.zeros(len(numbers), np.int64)
    convert = converter(form, source.domain)
    streams = [open(folder / f"{part}.stream", "wb") for part in PARTS]  # noqa: SIM115 - closed below
    try:
        for k, row in enumerate(_rows(source, numbers)):
            lengths[k] = streams[owners[k]].write(convert(row.values, row.place).line(source.domain.name))
    finally:
        for stream in streams:
            stream.close()
    for p, part in enumerate(PARTS):
        mine = lengths[owners == p]
        starts = np.cumsum(mine) - mine
        at = np.searchsorted(numbers[owners == p], wanted[part])
        with open(folder / f"{part}.stream", "rb") as stream, open(folder / f"{part}.jsonl", "wb") as target:
            for start, length in zip(starts[at].tolist(), mine[at].tolist(), strict=True):
                stream.seek(start)
                target.write(stream.read(length))
        (folder / f"{part}.stream").unlink()
        np.save(folder / f"{part}.npy", np.concatenate([[0], np.cumsum(mine[at])]).astype(np.int64))
    seal_texts(folder)


def _rows(source: Source, numbers: np.ndarray) -> Iterator[RawRow]:
    """Yield the rows of a source that have the given sorted numbers."""
    before = 0
    for piece in source.pieces():
        count = source.count(piece)
        first, last = np.searchsorted(numbers, [before, before + count])
        yield from source.read(piece, Wanted(numbers=numbers[first:last] - before))
        before += count
