"""One process at a time fits, solves, writes mixtures and reports in a study; the others wait, as they do for runs.

The lock is the file system's (`work.lock`), so it ends with its process, however that ends. Runs are not under it: they
have leases of their own, and processes share them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from mixlaw.study.store import Study

_held = threading.local()
"""The locks of this thread: a step that is part of another one does not wait for it."""


@contextlib.contextmanager
def alone(study: Study, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the study's lock for long steps; `note` is told when another process has it.

    A study that is not there yet, or that cannot be written, is not locked: nothing is written into it either.
    """
    import fcntl

    path = study.folder / "work.lock"
    held: set[str] = _held.__dict__.setdefault("paths", set())
    name = str(path.absolute())
    if name in held:
        yield
        return
    try:
        file = open(path, "a")  # noqa: SIM115 - closed below, errors of the block pass unchanged
    except OSError:
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"Another process is at work in {study.folder}: waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        held.add(name)
        try:
            yield
        finally:
            held.discard(name)
