"""Data files opened as bytes, whatever they are compressed with: gzip, bzip2, xz and Zstandard."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mixlaw.core.errors import DataError, MissingExtra

COMPRESSIONS = {".gz": ("gzip", 4), ".zst": ("Zstandard", 4), ".bz2": ("bzip2", 5), ".xz": ("xz", 5)}
"""Last part of a name -> what it is called, and about how many times as long the text is."""

_STREAM_BYTES = 1 << 20


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
