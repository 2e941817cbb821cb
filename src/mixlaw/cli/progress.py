"""A sweep's progress: one line that moves on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from mixlaw.cli.output import stderr
from mixlaw.core.tokens import format_tokens
from mixlaw.study.status import RunEvent

_PLAIN_EVERY_S = 15.0


class SweepLine:
    """Shows the events of a sweep on stderr; a context manager, called with each event.

    Args:
        silent: show nothing (with --json).
    """

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent
        self._console = stderr()
        self._last_plain = 0.0
        self._progress: Progress | None = None
        if not silent and self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[eta]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("starting", total=1, eta="")

    def __enter__(self) -> SweepLine:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        if self._silent:
            return
        if event.kind in ("failed", "retry"):
            colour = "red" if event.kind == "failed" else "yellow"
            self._console.print(f"[{colour}]{event.kind}[/] {escape(event.run)}: {escape(event.reason)}")
        if self._progress:
            self._progress.update(
                self._task,
                description=escape(self._text(event)),
                completed=event.tokens_done,
                total=max(event.tokens_total, 1),
                eta=_eta(event),
            )
            return
        now = time.monotonic()
        if event.kind == "finished" or now - self._last_plain > _PLAIN_EVERY_S:
            self._last_plain = now
            self._console.print(escape(f"{self._text(event)} {_eta(event)}".strip()))

    @staticmethod
    def _text(event: RunEvent) -> str:
        text = f"{event.runs_done}/{event.runs_total} runs, {format_tokens(event.tokens_done)} tokens"
        if event.runs_failed:
            text += f", {event.runs_failed} failed"
        if event.losses:
            losses = " ".join(f"{name} {loss:.3f}" for name, loss in list(event.losses.items())[:4])
            return f"{text}  {event.run}: {losses}"
        if event.loss is not None:
            return f"{text}  {event.run}: train {event.loss:.3f}"
        return text


def _eta(event: RunEvent) -> str:
    return f"{duration(event.eta_s)} left" if event.eta_s is not None else ""


def duration(seconds: float) -> str:
    """Return a duration in words: 42 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
