"""The text of a domain's token rows, one JSON line a conversation, for programs that tokenise for themselves.

A folder holds `train.jsonl` and `validation.jsonl`, in the order of the token rows, and `train.npy` and
`validation.npy`: (R + 1,) byte offsets of the lines. It lies beside the token rows, whose content it shares.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.prepare import DomainTokens, conversations, hashed_sources
from mixlaw.data.reading import source_files
from mixlaw.data.rows import TokenRows, replace_folder

PARTS = ("train", "validation")


@dataclass(frozen=True)
class TextRows:
    """Conversations as lines `{"messages": [...], "domain": <name>}`; line r is row r of the token rows.

    Attributes:
        path: the JSONL file.
        offsets: (R + 1,) int64 places where the lines begin.
    """

    path: Path
    offsets: np.ndarray

    @staticmethod
    def open(rows: TokenRows) -> TextRows:
        """Return the text of token rows; raise DataError where it was not written (see `write_texts`)."""
        folder, part = text_folder(rows), rows.folder.name
        try:
            return TextRows(folder / f"{part}.jsonl", np.load(folder / f"{part}.npy"))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} holds no text: {error}.", "Plan the runs again.") from None

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


def write_texts(domain: Domain, prepared: DomainTokens) -> None:
    """Write the text of a domain's training and validation rows beside them, where it is missing; whole or not at all.

    Raises:
        DataError: a source is not the one whose tokens were counted.
    """
    folder = text_folder(prepared.train)
    if folder.is_dir():
        return
    files = source_files(domain)
    if [s["sha256"] for s in hashed_sources(domain, files)] != [s["sha256"] for s in prepared.sources]:
        raise DataError(
            f"Domain '{domain.name}': its {'data set' if files is None else 'files'} changed since the tokens were "
            "counted.",
            "Run the step again.",
        )
    wanted = {part: rows.source_rows for part, rows in zip(PARTS, (prepared.train, prepared.validation), strict=True)}
    temporary = Path(tempfile.mkdtemp(prefix=".text.", dir=folder.parent))
    try:
        _write(domain, files, wanted, temporary)
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(domain: Domain, files: list[Path] | None, wanted: dict[str, np.ndarray], folder: Path) -> None:
    """Write the lines as they come, then put them into the order of the token rows where that is another one."""
    part_of = {int(number): part for part, numbers in wanted.items() for number in numbers}
    streams = {part: open(folder / f"{part}.stream", "wb") for part in PARTS}  # noqa: SIM115 - closed below
    places: dict[str, dict[int, tuple[int, int]]] = {part: {} for part in PARTS}
    try:
        for row, messages, _ in conversations(domain, files):
            if (part := part_of.get(row.number)) is not None:
                line = json.dumps({"messages": messages, "domain": domain.name}, ensure_ascii=False).encode() + b"\n"
                start = streams[part].tell()
                streams[part].write(line)
                places[part][row.number] = (start, len(line))
    finally:
        for stream in streams.values():
            stream.close()
    for part, numbers in wanted.items():
        ordered = [places[part][int(number)] for number in numbers]
        with open(folder / f"{part}.stream", "rb") as source, open(folder / f"{part}.jsonl", "wb") as target:
            for start, length in ordered:
                source.seek(start)
                target.write(source.read(length))
        (folder / f"{part}.stream").unlink()
        np.save(folder / f"{part}.npy", np.concatenate([[0], np.cumsum([n for _, n in ordered])]).astype(np.int64))
