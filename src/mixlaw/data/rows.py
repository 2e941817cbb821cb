"""Tokenised conversations of one domain, memory-mapped, and samples of them that nest.

Shape letters: T tokens, R rows (conversations).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.checksums import FILES, checksums, damage, once
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.seeds import generator

_TYPES = {"ids": "<u4", "supervised": "|u1", "offsets": "<i8", "source_rows": "<i8", "supervised_bytes": "<i8"}
_ARRAYS = tuple(_TYPES)
_ROWS_AT_ONCE = 16_384
_BYTES_AT_ONCE = 1 << 20
_AGAIN = "Run the command again: what the cache held is made again. Or delete the folder."


@dataclass(frozen=True)
class TokenRows:
    """Conversations as tokens. Opened from its folder in any process; the arrays stay on disk.

    Attributes:
        folder: where the arrays lie.
        ids: (T,) uint32 token ids.
        supervised: (T,) uint8, 1 where the token carries loss.
        offsets: (R + 1,) int64, row r is ids[offsets[r]:offsets[r + 1]].
        source_rows: (R,) int64, the row's place in its domain's sources, counted from 0 over all files.
        supervised_bytes: (R,) int64, UTF-8 bytes of the supervised text.
        meta: counts, and the content hash `fingerprint`.
    """

    folder: Path
    ids: np.ndarray
    supervised: np.ndarray
    offsets: np.ndarray
    source_rows: np.ndarray
    supervised_bytes: np.ndarray
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def row_tokens(self) -> np.ndarray:
        """(R,) tokens of each row."""
        return np.diff(self.offsets)

    @cached_property
    def row_supervised(self) -> np.ndarray:
        """(R,) supervised tokens of each row."""
        counts = np.zeros(len(self), np.int64)
        for first in range(0, len(self), _ROWS_AT_ONCE):
            bounds = self.offsets[first : first + _ROWS_AT_ONCE + 1]
            part = _read(self.supervised, int(bounds[0]), int(bounds[-1]))
            ends = np.concatenate([[0], np.cumsum(part, dtype=np.int64)])
            counts[first : first + _ROWS_AT_ONCE] = np.diff(ends[bounds - bounds[0]])
        return counts

    @property
    def tokens(self) -> int:
        """All tokens."""
        return int(self.offsets[-1])

    @property
    def supervised_tokens(self) -> int:
        """Tokens that carry loss."""
        return int(self.meta["supervised_tokens"])

    @property
    def supervised_bytes_total(self) -> int:
        """UTF-8 bytes of the supervised text of all rows."""
        return int(self.supervised_bytes.sum())

    @property
    def fingerprint(self) -> str:
        """Content hash of ids, supervision and row bounds."""
        return self.meta["fingerprint"]

    @staticmethod
    def open(folder: str | Path) -> TokenRows:
        """Return the rows of a folder, verified: once in a process, and again where a file has changed.

        Raises:
            DataError: the folder is missing, incomplete, or not as it was written.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder} does not hold rows of tokens: there is no such folder.", _AGAIN)
        meta = read_document(folder / "meta.json", "rows")
        if problem := damage(folder, meta.get(FILES)):
            raise DataError(problem, _AGAIN)
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise DataError(f"{folder} does not hold rows of tokens: {error}.", _AGAIN) from None
        rows = TokenRows(folder, **arrays, meta=meta)
        if problem := rows._problem():
            raise DataError(f"{folder} is damaged: {problem}.", _AGAIN)
        return rows

    def _problem(self) -> str | None:
        """Return what does not go together: the counts, and without checksums of files what `fingerprint` is of."""
        counts = [self.meta["tokens"], self.meta["tokens"], *[self.meta["rows"] + n for n in (1, 0, 0)]]
        for name, count in zip(_ARRAYS, counts, strict=True):
            array = getattr(self, name)
            if array.shape != (count,) or array.dtype != _TYPES[name]:
                return f"{name}.npy has {array.dtype} of shape {array.shape}, not {_TYPES[name]} of ({count},)"
        if FILES not in self.meta:
            paths = [self.folder / f"{name}.npy" for name in _ARRAYS[:3]]
            if once(paths, self._content) != self.fingerprint:
                return "its ids, supervision and row bounds do not fit their fingerprint"
        return None

    def _content(self) -> str:
        digest = hashlib.sha256()
        for name in _ARRAYS[:3]:
            with open(self.folder / f"{name}.npy", "rb") as file:
                file.seek(getattr(self, name).offset)
                while block := file.read(_BYTES_AT_ONCE):
                    digest.update(block)
        return digest.hexdigest()

    @staticmethod
    def write(
        folder: str | Path,
        rows: list[tuple[np.ndarray, np.ndarray]],
        source_rows: list[int],
        supervised_bytes: list[int],
    ) -> TokenRows:
        """Write rows of (ids, supervised) as a new folder, whole or not at all, and open it."""
        ids = np.concatenate([r[0] for r in rows]).astype(np.uint32) if rows else np.zeros(0, np.uint32)
        supervised = np.concatenate([r[1] for r in rows]).astype(np.uint8) if rows else np.zeros(0, np.uint8)
        lengths = np.array([len(r[0]) for r in rows], np.int64)
        numbers, sizes = np.array(source_rows, np.int64), np.array(supervised_bytes, np.int64)
        return TokenRows.write_stream(folder, lambda: [ids], lambda: [supervised], lengths, numbers, sizes)

    @staticmethod
    def write_stream(
        folder: str | Path,
        ids: Callable[[], Iterable[np.ndarray]],
        supervised: Callable[[], Iterable[np.ndarray]],
        lengths: np.ndarray,
        source_rows: np.ndarray,
        supervised_bytes: np.ndarray,
    ) -> TokenRows:
        """Write rows whose tokens come in parts, none of them held longer than it takes, and open them.

        Args:
            folder: a new folder, made whole or not at all.
            ids: gives uint32 arrays that together are the ids.
            supervised: gives uint8 arrays that together are the supervision.
            lengths: (R,) tokens of each row.
            source_rows: (R,) see `TokenRows`.
            supervised_bytes: (R,) see `TokenRows`.
        """
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        folder, digest, count = Path(folder), hashlib.sha256(), 0
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, parts, kind in (("ids", ids, "<u4"), ("supervised", supervised, "|u1")):
                with open(temporary / f"{name}.npy", "wb") as file:
                    shape = (int(offsets[-1]),)
                    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
                    for part in parts():
                        part = np.ascontiguousarray(part, kind)
                        digest.update(part.data)
                        part.tofile(file)
                        count += int(part.sum(dtype=np.int64)) if name == "supervised" else 0
            digest.update(offsets.data)
            for name, array in zip(_ARRAYS[2:], (offsets, source_rows, supervised_bytes), strict=True):
                np.save(temporary / f"{name}.npy", array)
            meta = {
                "rows": len(lengths),
                "tokens": int(offsets[-1]),
                "supervised_tokens": count,
                "fingerprint": digest.hexdigest(),
                FILES: checksums(temporary, [f"{name}.npy" for name in _ARRAYS]),
            }
            write_document(temporary / "meta.json", "rows", meta)
            os.chmod(temporary, 0o755)
            replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return TokenRows.open(folder)


def _read(array: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return a part of an array, read anew where it lies in a file: a map's pages would stay in memory."""
    if not isinstance(array, np.memmap) or array.filename is None:
        return array[first:last]
    place = array.offset + first * array.itemsize
    return np.fromfile(array.filename, array.dtype, last - first, offset=place)


def replace_folder(new: Path, folder: Path) -> None:
    """Move a finished folder into the place of an earlier one, which is put back where that fails."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, aside / "old")
        try:
            os.rename(new, folder)
        except OSError:
            # It may stand there because another process was quicker; then its result counts.
            if not folder.exists():
                if (aside / "old").exists():
                    os.rename(aside / "old", folder)
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sample_rows(rows: TokenRows, tokens: int, *names: str | int, pool: int | None = None) -> np.ndarray:
    """Return indices of rows with `tokens` training tokens in all; see `sample_indices`."""
    return sample_indices(rows.row_tokens if len(rows) else np.zeros(0, np.int64), tokens, *names, pool=pool)


def sample_indices(row_tokens: np.ndarray, tokens: int, *names: str | int, pool: int | None = None) -> np.ndarray:
    """Return indices of rows with `tokens` training tokens in all, to within half a row at the end.

    Rows come in an order that depends on the names alone, so the sample of n tokens is a prefix of the sample of
    2 n tokens. Beyond the end the rows start over in a new order: every row appears p times or p + 1 times. With a
    pool, that holds of the rows in the sample of `pool` tokens, and the others do not appear; pools nest as well.

    Args:
        row_tokens: (R,) tokens of the domain's training rows.
        tokens: training tokens wanted; 0 gives an empty sample, a positive number at least one row.
        names: seed and domain name, for `mixlaw.core.seeds.generator`.
        pool: distinct training tokens to draw from; None for all.

    Raises:
        DataError: tokens are wanted from a domain without rows.
    """
    if tokens <= 0:
        return np.zeros(0, np.int64)
    if pool is not None:
        kept = sample_indices(row_tokens, min(max(pool, 1), int(row_tokens.sum())), *names)
        return kept[sample_indices(row_tokens[kept], tokens, *names)]
    count, total = len(row_tokens), int(row_tokens.sum())
    if total == 0:
        raise DataError(f"{tokens} tokens are wanted from a domain without training rows.", "Add rows to the domain.")
    passes, rest = divmod(int(tokens), total)
    parts = [generator("sample", *names, p).permutation(count) for p in range(passes + 1)]
    reached = np.cumsum(row_tokens[parts[-1]])
    taken = int(np.searchsorted(reached, rest))  # rows before the one that reaches `rest`
    before = int(reached[taken - 1]) if taken else 0
    if rest and reached[taken] - rest < rest - before:
        taken += 1
    last = parts[-1]
    parts[-1] = last[:taken]
    if passes == 0 and taken == 0:
        parts[-1] = last[:1]
    return np.concatenate(parts)
