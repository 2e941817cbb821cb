"""What the command line prints: results on stdout, everything about the work on stderr, JSON alone with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from mixlaw.core.errors import MixlawError
from mixlaw.core.files import json_ready
from mixlaw.core.notebook import shown

_NARROWEST = 14
"""Characters of a column of text that does not fit, at least."""


def stdout() -> Console:
    """The console of results. Made at each use, so that redirection in tests is seen."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console of progress, warnings and errors."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # A file or a pipe has no width to fit into: tables keep all of their digits.
        console.width = 200
    return console


def is_live(console: Console) -> bool:
    """Whether lines can be drawn anew: a real terminal. FORCE_COLOR makes colours, not a terminal."""
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def plain(text: str) -> str:
    """Return a text of the user's for the terminal: no markup, and no control characters that would steer it."""
    return escape("".join(c if (c >= " " and c != "\x7f") or c in "\n\t" else "\ufffd" for c in text))


def print_json(value: Any) -> None:
    """Print one JSON object; a number that is not finite becomes null."""
    print(json.dumps(json_ready(value), ensure_ascii=False), file=sys.stdout)  # noqa: T201


def wrapped(console: Console, text: str, indent: int = 0) -> list[str]:
    """Return a text in lines that fit into a terminal beside an indent, cut between words; elsewhere as it is."""
    if not console.is_terminal:
        return [text]
    return [line.plain.rstrip() for line in Text(text).wrap(console, max(20, console.width - indent))]


def note(text: str) -> None:
    """Say what is going on, on stderr."""
    console = stderr()
    for line in wrapped(console, text):
        console.print(plain(line), style="dim")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: text left, numbers right; names are shown as they are, markup in them included.

    Where a terminal is too narrow, texts go on in the next line of their cell.
    """
    rows = list(rows)
    grid = grid_of(title, columns, rows)
    console = stdout()
    whole = console.options.update(max_width=10_000)
    wide = Measurement.get(console, whole, grid).maximum
    if console.is_terminal and wide > console.width:
        _fold(grid, [Measurement.get(console, whole, _alone(c)).maximum for c in grid.columns], wide - console.width)
        wide = Measurement.get(console, whole, grid).maximum
    if console.is_terminal and wide > console.width and len(columns) > 2:
        _print_parts(console, title, columns, [list(row) for row in rows])
        return
    # As wide as its numbers: one that is cut off is worse than a line that the terminal wraps.
    console.width = max(console.width, wide)  # print() takes no width beyond the console's
    console.print(grid, width=wide)


def _print_parts(console: Console, title: str, columns: Sequence[str], rows: list[list[Any]]) -> None:
    """Print a table in parts below one another: each begins with the first column and has as many more as fit."""
    left, first = list(range(1, len(columns))), True
    while left:
        for count in range(len(left), 0, -1):
            kept = [0, *left[:count]]
            part = grid_of(title if first else "", [columns[i] for i in kept], [[row[i] for i in kept] for row in rows])
            wide = Measurement.get(console, console.options.update(max_width=10_000), part).maximum
            if wide <= console.width or count == 1:
                break
        part.title = part.title or None
        console.print(part, width=min(wide, console.width), soft_wrap=False)
        left, first = left[count:], False


def _alone(column: Column) -> Table:
    """Return a table of one column."""
    grid = Table(box=None, padding=0, pad_edge=False)
    grid.add_column(column.header, no_wrap=True)
    for cell in column.cells:
        grid.add_row(cell)
    return grid


def _fold(grid: Table, widths: list[int], excess: int) -> None:
    """Make the widest columns of text narrower by `excess` characters in all, none below _NARROWEST."""
    texts = [i for i, column in enumerate(grid.columns) if column.justify == "left"]
    for _ in range(excess):
        widest = max(texts, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        column = grid.columns[widest]
        column.width, column.no_wrap, column.overflow = widths[widest], False, "fold"


def grid_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return the table that `table` prints."""
    rows = [[shown(cell) for cell in row] for row in rows]
    grid = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(row[i][:1] in "0123456789-+.–" for row in rows)
        justify = "right" if numeric and rows else "left"
        grid.add_column(escape(column), justify=justify, style="" if i else "bold", no_wrap=True)
    for row in rows:
        grid.add_row(*[plain(cell) for cell in row])
    return grid


def show_checks(checks: Sequence[Any]) -> None:
    """Print the checks that are no PASS, with their remedies, and how many there are in all."""
    console, passed = stdout(), sum(check.status == "PASS" for check in checks)
    for check in checks:
        if check.status != "PASS":
            style = "red" if check.status == "FAIL" else "yellow"
            first, *more = wrapped(console, f"{check.name}: {check.finding}", 5)
            console.print(f"[{style}]{check.status}[/] {plain(first)}")
            for line in more:
                console.print(f"     {plain(line)}")
            for line in wrapped(console, check.next_step, 5):
                console.print(f"     {plain(line)}", style="dim")
    if checks:
        console.print(f"{passed} of {len(checks)} checks of the data passed")


def finish(written: Mapping[str, Any], next_step: str) -> None:
    """Say what was written and what to do next."""
    console = stdout()
    for what, path in written.items():
        console.print(f"[green]wrote[/] {plain(what)}: {plain(near(path))}")
    if next_step:
        console.print(f"[cyan]next[/]  {plain(next_step)}")


def near(path: Any) -> str:
    """Return a path as it is reached from here: relative where it lies below the working folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def warn(warnings: Iterable[str]) -> None:
    """Print warnings on stderr."""
    for warning in warnings:
        stderr().print(f"[yellow]warning[/] {plain(warning)}")


def print_error(error: MixlawError, as_json: bool) -> None:
    """Print one error: an object on stdout with --json, else a line on stderr."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        stderr().print(f"[red]error[/] {plain(str(error))}")
