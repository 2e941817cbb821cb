"""Entries of a cache of folders: made whole or not at all, beside other processes that make the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mixlaw.data.rows import replace_folder

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
