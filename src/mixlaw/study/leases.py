"""Leases: which process works on a run, and whether it is still alive.

A lease is a file created with O_EXCL that holds the owner's machine, process id and a token; a thread of the owner
touches it every few seconds. It is stale when its process is gone from this machine, or when it was not touched for a
minute. A time in the future, of a clock that was ahead, is set to now when it is seen. An owner that lives on this
machine needs no clock: the clock may jump, or the machine sleep. Claims and takeovers happen under the study's file
lock, so that of two workers who see the same stale lease only one replaces it. A worker that was suspended past the
minute may end a run that another has taken over; both write the same record, because records depend on the spec alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, sealed
from mixlaw.core.errors import DataError

STALE_AFTER_S = 60.0
BEAT_EVERY_S = 5.0

_ahead: dict[tuple[str, float], float] = {}
"""Lease and its time in the future -> when this process first saw it, where it could not be set to now."""


@dataclass(frozen=True)
class Lease:
    """A claim on one run, held by this process until `release`.

    Attributes:
        path: the lease file.
        token: unique to this claim.
    """

    path: Path
    token: str

    @property
    def held(self) -> bool:
        """Whether the file still is this claim's."""
        owner = read_lease(self.path)
        return owner is not None and owner.get("token") == self.token

    def beat(self) -> None:
        """Touch the file."""
        with contextlib.suppress(OSError):
            if self.held:
                os.utime(self.path)

    def release(self) -> None:
        """Remove the file if it still is this claim's."""
        with contextlib.suppress(OSError):
            if self.held:
                self.path.unlink()


def create_lease(path: Path) -> Lease | None:
    """Create the lease file and return the claim, or None where the file exists."""
    token = uuid.uuid4().hex
    who = {"machine": machine(), "pid": os.getpid(), "started": process_start(os.getpid()), "token": token}
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(sealed("lease", who), file)
    return Lease(path, token)


def read_lease(path: Path) -> dict[str, Any] | None:
    """Return what the lease file says: None without a file, {} where it is not readable (its owner died writing it)."""
    if not path.exists():
        return None
    try:
        return read_document(path, "lease")
    except DataError:  # its owner may also have removed it meanwhile
        return {} if path.exists() else None


def is_live(path: Path, now: float | None = None) -> bool:
    """Return whether the lease exists, its owner is not known to be dead, and it was touched recently.

    Args:
        path: the lease file.
        now: the file system's time, s; None for this machine's.
    """
    owner = read_lease(path)
    if owner is None:
        return False
    if owner.get("machine") == machine():
        if not _alive(owner):
            return False
        if _state(owner["pid"]) not in ("", "T", "t"):  # one that was stopped touches nothing, and loses its run
            return True
    try:
        touched = path.stat().st_mtime
    except OSError:
        return False
    age = (time.time() if now is None else now) - touched
    if age >= -BEAT_EVERY_S:
        return age < STALE_AFTER_S
    # A clock was ahead, or has jumped: from now on it has the minute of any other.
    try:
        os.utime(path)
    except OSError:  # another user's, or on a disk that is only read
        first = _ahead.setdefault((str(path), touched), time.monotonic())
        return time.monotonic() - first < STALE_AFTER_S
    return True


def machine() -> str:
    """Return the name of the set of processes that this process can see: host, boot and process namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def process_start(pid: int) -> str:
    """Return the process's start time in clock ticks since boot; empty where the system does not tell.

    A process that is dead and was not waited for yet ("Z") answers signals like a living one: it has no start.
    """
    fields = _fields(pid)
    return "" if not fields else "dead" if fields[0] in "ZX" else fields[19]


def _state(pid: int) -> str:
    """Return the letter of a process's state; empty where the system does not tell."""
    return (_fields(pid) or [""])[0]


def _fields(pid: int) -> list[str]:
    try:
        # The second field is the program's name in brackets, which may itself hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _alive(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return process_start(pid) == owner.get("started")


class Heartbeat:
    """Touches a lease from a thread while the block runs, and releases it at the end.

    Args:
        lease: the claim.
        every_s: seconds between touches.
    """

    def __init__(self, lease: Lease, every_s: float = BEAT_EVERY_S) -> None:
        self._lease = lease
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._lease.release()

    def _beat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._lease.beat()
