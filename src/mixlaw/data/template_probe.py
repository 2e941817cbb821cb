"""Limits of what a chat template takes and writes: it is a program, and may loop or multiply its text.

Before this process runs a template, another one tries it out on a small conversation. That one imports Jinja alone, has
limits of time and memory, and is ended when it goes beyond them. What else it raises says nothing here: transformers'
environment may know what that one does not.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from mixlaw.core.errors import DataError
from mixlaw.core.limits import limit, raised

_TURNS = [{"role": "user", "content": "probe user"}, {"role": "assistant", "content": "probe answer"}]
_MEMORY, _TOO_LONG = 41, 42
_WAIT_S = 600
"""Then the machine, and not the template, is taken to be at fault: the process ends itself by its processor time."""

_known: set[str] = set()


def require_harmless(template: str, name: str) -> None:
    """Raise DataError where a template goes beyond the limits on a small conversation; asked once in a process.

    Args:
        template: its text.
        name: of the model, for messages.
    """
    if template in _known:
        return
    seconds, characters = limit("template_seconds"), limit("template_characters")
    given = json.dumps([template, _TURNS, seconds, limit("template_bytes"), characters])
    try:
        code = subprocess.run(
            [sys.executable, "-I", str(Path(__file__).with_name("template_child.py"))],
            input=given.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds + _WAIT_S,
        ).returncode
    except subprocess.TimeoutExpired:
        code = 0
    where = f"The chat template of '{name}'"
    hint = "Use a template that writes each turn once."
    if code < 0:  # ended by the limit of its time
        raise DataError(
            f"{where} takes more than {seconds} s for a conversation of two turns.",
            f"{hint} {raised('template_seconds')}",
        )
    if code == _MEMORY:
        raise DataError(
            f"{where} takes more than {limit('template_bytes'):,} bytes of memory for a conversation of two turns.",
            f"{hint} {raised('template_bytes')}",
        )
    if code == _TOO_LONG:
        raise DataError(
            f"{where} writes more than {characters:,} characters of a conversation of two turns.",
            f"{hint} {raised('template_characters')}",
        )
    _known.add(template)


class _TookTooLong(BaseException):
    """Not an Exception: whoever tries a template out goes on after those."""


@contextlib.contextmanager
def template_time(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that is called with the place of each row, whose rendering then has its time.

    The time is that of the processor. In another thread than the main one, which gets no signals, there is no limit.

    Args:
        name: of the model, for messages.

    Raises:
        DataError: the template takes too long for a row.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda place: None
        return
    seconds, at = limit("template_seconds"), ""

    def end(*_: object) -> None:
        raise _TookTooLong

    def begin(place: str) -> None:
        nonlocal at
        at = place
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)

    before = signal.signal(signal.SIGVTALRM, end)
    try:
        yield begin
    except _TookTooLong:
        raise DataError(
            f"{at}: the chat template of '{name}' takes more than {seconds} s for the conversation.",
            f"Drop that row, or use another template. {raised('template_seconds')}",
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def require_length(text: str, name: str, place: str) -> None:
    """Raise DataError where a template has written more of a row than the limit allows."""
    if len(text) > (most := limit("template_characters")):
        raise DataError(
            f"{place}: the chat template of '{name}' writes {len(text):,} characters of the conversation; at most "
            f"{most:,} are read.",
            f"Drop that row, or use another template. {raised('template_characters')}",
        )
