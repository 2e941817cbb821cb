"""Ends the process soon after Ctrl-C or SIGTERM, whatever it is doing.

Python turns a signal into an exception of the main thread. It can come late, behind a long calculation of a library,
and it can be lost: in a destructor or a callback of the interpreter it is printed and ignored, and the command goes on.
So a thread learns of the signal from the interpreter's own handler, in C, and ends the process where the exception has
not done so in time. Nothing is lost by that: workers end with this process, and their leases name dead processes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping

IN_TIME_S = 1.5
"""The exception has so long to end the workers and to release their runs. What users wait for is two seconds."""

_over = threading.Event()


def end_in_time(codes: Mapping[int, int], say: Callable[[], None]) -> None:
    """From now on, end the process `IN_TIME_S` after one of some signals, unless it has ended itself.

    Args:
        codes: signal -> exit code. The signals have handlers in Python.
        say: called before the end, from a thread.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait() -> None:
        while (number := os.read(read, 1)[0]) not in codes:
            pass
        if not _over.wait(IN_TIME_S):
            say()
            os._exit(codes[number])

    threading.Thread(target=wait, name="end-in-time", daemon=True).start()


def give_up_waiting() -> None:
    """Say that the main thread is at its end, which needs no other to end it."""
    _over.set()
