"""Data files opened as bytes, whatever they are compressed with: gzip, bzip2, xz and Zstandard."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.core.limits import limit, raised

COMPRESSIONS = {".gz": ("gzip", 4), ".zst": ("Zstandard", 4), ".bz2": ("bzip2", 5), ".xz": ("xz", 5)}
"""Last part of a name -> what it is called, and about how many times as long the text is."""

_STREAM_BYTES = 1 << 20
_SMALL_BYTES = 1 << 30
"""A compressed file may hold so much text however small it is."""


def compression(file: Path) -> str:
    """Return the last part of a file's name where that names a compression, else an empty text."""
    suffix = file.suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def text_bytes(file: Path) -> int:
    """Return about how many bytes of text a file holds."""
    return file.stat().st_size * (COMPRESSIONS[compression(file)][1] if compression(file) else 1)


def open_bytes(file: Path) -> BinaryIO:
    """Open a file to read its text as bytes.

    Raises:
        MissingExtra: it is compressed with Zstandard, and pyarrow is not installed.
    """
    if compression(file) == ".zst":
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtra("pyarrow", "train", "Reading files compressed with Zstandard") from None
        stream: Any = pa.input_stream(str(file), compression="zstd")
        return io.BufferedReader(stream, _STREAM_BYTES)
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(compression(file), open)
    return opener(file, "rb")


def lines_of(stream: BinaryIO, file: Path, first: int = 1) -> Iterator[bytes]:
    """Yield the lines of an open file, with their ends.

    Args:
        stream: from where reading goes on.
        file: for messages.
        first: number of the first line, for messages.

    Raises:
        DataError: a line, or what a small compressed file holds, is beyond the limits.
    """
    most, size, read = limit("row_bytes"), file.stat().st_size if compression(file) else None, 0
    for number, raw in enumerate(iter(functools.partial(stream.readline, most + 1), b""), first):
        if len(raw) > most:
            raise too_long(f"{file}, line {number}")
        if size is not None:
            read += len(raw)
            if read > _SMALL_BYTES and read > size * limit("expansion"):
                raise DataError(
                    f"{file}, line {number}: {size:,} compressed bytes hold more than {read:,} bytes of text.",
                    f"Fetch the file again. {raised('expansion')}",
                )
        yield raw


def too_long(place: str) -> DataError:
    """Return the error of a row that is longer than the limit."""
    return DataError(
        f"{place}: longer than {limit('row_bytes'):,} bytes.",
        f"Write one row a line, or split the row; is there a line break or a quotation mark missing? "
        f"{raised('row_bytes')}",
    )


@contextlib.contextmanager
def file_errors(file: Path, where: Callable[[], str]) -> Iterator[None]:
    """Say what the operating system or a damaged compressed file says as a DataError.

    Args:
        file: that is read.
        where: returns how far reading came, such as "line 3".

    Raises:
        DataError: instead of them.
    """
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        # What the operating system refuses has a number; what a decompressor refuses has none.
        if compression(file) and getattr(error, "errno", None) is None:
            name = COMPRESSIONS[compression(file)][0]
            raise DataError(
                f"{file}, after {where()}: damaged {name} file ({error}).", "Download or write the file again."
            ) from None
        raise DataError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.", "Check the file."
        ) from None
