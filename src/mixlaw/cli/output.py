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
from rich.table import Table

from mixlaw.core.errors import MixlawError
from mixlaw.core.files import json_ready
from mixlaw.core.notebook import shown


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


def note(text: str) -> None:
    """Say what is going on, on stderr."""
    stderr().print(plain(text), style="dim")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: text left, numbers right; names are shown as they are, markup in them included."""
    grid = grid_of(title, columns, rows)
    # As wide as its content: a cut-off number is worse than a line that the terminal wraps.
    console = stdout()
    wide = Measurement.get(console, console.options.update(max_width=10_000), grid).maximum
    console.width = max(console.width, wide)  # print() takes no width beyond the console's
    console.print(grid, width=wide)


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
            console.print(f"[{style}]{check.status}[/] {plain(check.name)}: {plain(check.finding)}")
            console.print(f"     {plain(check.next_step)}", style="dim")
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
