"""Entries of a cache of folders: made whole or not at all, beside other processes that make the same.

An entry is what `mixlaw.data.prepare` or `mixlaw.data.views` makes of a domain: summary.json, the token rows `train`
and `validation`, and where it is a domain's own the hashes of their contents, whose checksums the summary has.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mixlaw.core.checksums import FILES, damage
from mixlaw.core.documents import read_document
from mixlaw.core.errors import DataError
from mixlaw.data.rows import TokenRows, replace_folder

_log = logging.getLogger(__name__)

SUMMARY = "summary.json"
"""The file of an entry without which it counts as unfinished."""


@contextlib.contextmanager
def parts_folder(cache: Path) -> Iterator[Path]:
    """Yield an empty folder in the cache, held by a lock; those that killed processes left are removed."""
    import fcntl

    for old in cache.glob(".parts.*"):
        with contextlib.suppress(OSError), open(old / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=".new.", dir=cache))
    folder = new.with_name(f".parts{new.suffix}")
    try:
        with open(new / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now may another process find it: without the lock it would look left behind.
            os.rename(new, folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_entry(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the cache entry `folder` when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.rename(temporary, folder)
        except OSError:
            # A complete entry is another process's: it stays, since others may be opening it just now.
            if not (folder / SUMMARY).exists():
                replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_sound(folder: Path, sources: int) -> bool:
    """Return whether an entry is there and as it was written; a damaged one is put out of the way, and this is said.

    Args:
        folder: the entry.
        sources: how many files its rows come from.
    """
    if not (folder / SUMMARY).exists():
        return False
    if _problem(folder, sources) is None:
        return True
    with _cleaning(folder.parent):
        # Looked at again: another process may have put it away meanwhile, and have made it anew.
        if not (folder / SUMMARY).exists() or (problem := _problem(folder, sources)) is None:
            return (folder / SUMMARY).exists()
        discard(folder, problem)
    return False


def discard(folder: Path, problem: str) -> None:
    """Remove a folder of the cache that can be made again, and say so. Who has it open keeps what it has.

    Args:
        folder: which.
        problem: why, a sentence.
    """
    _log.warning("%s It is made again.", problem)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, aside / "old")
    shutil.rmtree(aside, ignore_errors=True)


def _problem(folder: Path, sources: int) -> str | None:
    path = folder / SUMMARY
    try:
        summary = read_document(path, "prepared")
        for part in ("train", "validation"):
            TokenRows.open(folder / part)
    except DataError as error:
        return error.message
    if (found := len(summary["rows_per_source"])) != sources:
        return f"{path} counts the rows of {found} source files; there are {sources}."
    return damage(folder, summary.get(FILES))


@contextlib.contextmanager
def _cleaning(cache: Path) -> Iterator[None]:
    """Hold the lock under which damaged entries are put away, one process at a time."""
    import fcntl

    with open(cache / ".damaged.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
