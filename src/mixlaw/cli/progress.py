"""The progress of a sweep: on a terminal a bar and one line per worker, elsewhere plain lines now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mixlaw.cli.output import is_live, stderr
from mixlaw.core.durations import duration
from mixlaw.core.tokens import format_tokens
from mixlaw.study.status import RunEvent

_PLAIN_EVERY_S = 15.0
_SHOWN_LOSSES = 4


class SweepLine:
    """Shows the events of a sweep on stderr; a context manager, called with each event.

    Args:
        silent: show nothing (with --json).
        console: where to; None for stderr.
    """

    def __init__(self, silent: bool = False, console: Console | None = None) -> None:
        self._silent = silent
        self._console = console or stderr()
        self._last_plain = 0.0
        self._workers: dict[str, tuple[TaskID, float]] = {}
        self._progress: Progress | None = None
        if not silent and is_live(self._console):
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[loss]}"),
                TextColumn("{task.fields[eta]}", style="cyan"),
                console=self._console,
                transient=True,
            )
            self._all = self._progress.add_task("starting", total=1, loss="", eta="")

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
        if event.kind in ("workers", "waiting", "left") and event.reason:
            self._console.print(escape(event.reason), style="yellow" if event.kind == "left" else "dim")
        if event.kind in ("failed", "retry"):
            colour = "red" if event.kind == "failed" else "yellow"
            self._console.print(f"[{colour}]{event.kind}[/] {escape(event.run)}: {escape(event.reason)}")
        if self._progress:
            self._show_live(event, self._progress)
            return
        now = time.monotonic()
        if event.kind == "finished" or now - self._last_plain > _PLAIN_EVERY_S:
            self._last_plain = now
            self._console.print(escape(" ".join(filter(None, (self._plain(event), _left(event.eta_s))))))

    def _show_live(self, event: RunEvent, progress: Progress) -> None:
        if event.kind == "finished":
            self._console.print(f"[green]done[/] {escape(event.run)}: {escape(_losses(event))}")
        for name in set(self._workers) - set(event.running):
            progress.remove_task(self._workers.pop(name)[0])
        for name in event.running:
            if name not in self._workers:
                task = progress.add_task(f"  {escape(name)}", total=None, loss="", eta="")
                self._workers[name] = task, time.monotonic()
        if event.kind == "progress" and event.run in self._workers:
            task, began = self._workers[event.run]
            left = (time.monotonic() - began) / max(event.step, 1) * (event.steps - event.step)
            # The last step is not the end: the validation sets come after it.
            said = _left(left) if event.step < event.steps else "evaluating"
            loss = "" if event.loss is None else f"loss {event.loss:.3f}"
            progress.update(task, completed=event.step, total=max(event.steps, 1), loss=loss, eta=said)
        progress.update(
            self._all,
            description=escape(_counted(event)),
            completed=event.tokens_done,
            total=max(event.tokens_total, 1),
            eta=_left(event.eta_s),
        )

    @staticmethod
    def _plain(event: RunEvent) -> str:
        text = f"{_counted(event)}, {format_tokens(event.tokens_done)} tokens"
        if event.losses:
            return f"{text}  {event.run}: {_losses(event)}"
        return text if event.loss is None else f"{text}  {event.run}: train {event.loss:.3f}"


def _counted(event: RunEvent) -> str:
    text = f"{event.runs_done}/{event.runs_total} runs"
    return f"{text}, {event.runs_failed} failed" if event.runs_failed else text


def _losses(event: RunEvent) -> str:
    return " ".join(f"{name} {loss:.3f}" for name, loss in list(event.losses.items())[:_SHOWN_LOSSES])


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} left"
