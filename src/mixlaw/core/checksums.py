"""Files that are not JSON are verified when they are read: once in a process, and again where they have changed.

Their SHA-256 stand in the JSON file beside them, which is sealed itself (`mixlaw.core.documents`). A file whose size,
time and number in the file system are those of the last time is not read again: reading all of it costs about 0.6 s a
gigabyte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlaw.core.fingerprints import file_fingerprint

FILES = "files"
"""The key under which a JSON file has the checksums of those beside it: name -> SHA-256."""

_known: dict[tuple[str, ...], tuple[list[tuple[int, ...]], str]] = {}
"""Paths -> what the files were when they were read last, and what was computed of them."""


def checksums(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """Return name -> SHA-256 (64 hexadecimal digits) of files of a folder."""
    return {name: file_fingerprint(Path(folder) / name) for name in names}


def damage(folder: str | Path, expected: Any) -> str | None:
    """Return a sentence about the first file that is missing or not as it was written; None where all are sound.

    Args:
        folder: where the files are.
        expected: name -> SHA-256; None, of an earlier version, says nothing.
    """
    if not isinstance(expected, Mapping):
        return None
    for name, digest in expected.items():
        path = Path(folder) / name
        try:
            found = once([path], lambda path=path: file_fingerprint(path))
        except OSError as error:
            return f"{path} cannot be read: {error.strerror or error}."
        if found != digest:
            return f"{path} has changed since it was written: its contents do not match its checksum."
    return None


def once(paths: Sequence[Path], compute: Callable[[], str]) -> str:
    """Return what `compute` says of files; in a process it is asked again only where one of them has changed."""
    names, stamps = tuple(map(os.path.abspath, paths)), [_stamp(path) for path in paths]
    known = _known.get(names)
    if known is None or known[0] != stamps:
        known = _known[names] = stamps, compute()
    return known[1]


def _stamp(path: Path) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
