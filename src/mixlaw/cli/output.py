"""What the command line prints: results on stdout, everything about the work on stderr, JSON alone with --json."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mixlaw.core.errors import MixlawError
from mixlaw.core.files import json_ready
from mixlaw.core.notebook import shown

_WORDS = re.compile(r"(?:-\S+ (?!-))?(?:'[^']*'|[^\s'])+")
"""Of a command: an option with its value is one."""

_LISTS = re.compile(r"(--(?:weights|tokens)) ([^\s']+,[^\s']+)")
"""An option that may be repeated, with several values: each can stand on a line of its own."""

_TOGETHER = re.compile(r"\S+(?: %\S*)?")
"""Words; a number and its percent sign are one."""

LABEL = 9
"""Characters of a label before a line, with the space behind it."""


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
    return escape(clean(text))


def clean(text: str) -> str:
    """Return a text without control characters, other than line ends and tabs."""
    return "".join(c if (c >= " " and c != "\x7f") or c in "\n\t" else "\ufffd" for c in text)


def print_json(value: Any) -> None:
    """Print one JSON object; a number that is not finite becomes null."""
    print(json.dumps(json_ready(value), ensure_ascii=False), file=sys.stdout)  # noqa: T201


def wrapped(console: Console, text: str, indent: int = 0) -> list[str]:
    """Return a text in lines that fit into a terminal beside an indent, cut between words; elsewhere as it is.

    A word that is longer than a line stays whole.
    """
    if not console.is_terminal:
        return [text]
    most, lines = max(20, console.width - indent), []
    for paragraph in text.splitlines():
        line = ""
        for word in _TOGETHER.findall(paragraph):
            if line and cell_len(line) + 1 + cell_len(word) > most:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".lstrip()
        lines.append(line)
    return lines


def folded(console: Console, text: str, indent: int) -> list[str]:
    """Return a text of the user's, spaces in it included, in lines that fit; a word longer than a line is cut."""
    if not console.is_terminal:
        return [text]
    return [line.plain.rstrip() for line in Text(text).wrap(console, max(20, console.width - indent))]


def labelled(console: Console, label: str, text: str, style: str = "", indent: int = LABEL) -> None:
    """Print a text behind its label; further lines begin below the text."""
    for i, line in enumerate(wrapped(console, text, indent)):
        head = Text(" " * indent) if i else Text.assemble((label, style), " " * (indent - len(label)))
        console.print(head + Text(clean(line)))


def note(text: str) -> None:
    """Say what is going on, on stderr."""
    console = stderr()
    for line in wrapped(console, text):
        console.print(plain(line), style="dim")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: text left, numbers right; names are shown as they are, markup in them included.

    Where a terminal is too narrow, headings and texts go on in the next line of their cell; where that is not enough,
    the columns that are left are printed below, beside the first column again. No number and no word is cut.
    """
    rows, console = [list(row) for row in rows], stdout()
    if not console.is_terminal:
        grid = grid_of(title, columns, rows)
        # As wide as its numbers: one that is cut off is worse than a long line.
        console.width = max(console.width, _width(console, grid))  # print() takes no width beyond the console's
        console.print(grid, width=console.width)
        return
    for line in wrapped(console, title):
        console.print(plain(line), style="bold")
    left = list(range(1, len(columns)))
    while True:
        for count in range(len(left), -1, -1):
            kept = [0, *left[:count]]
            grid = grid_of("", [columns[i] for i in kept], [[row[i] for i in kept] for row in rows])
            if _fits(console, grid) or count <= 1:
                break
        console.width = max(console.width, _width(console, grid))
        console.print(grid)
        left = left[max(count, 1) :]
        if not left:
            return


def _width(console: Console, grid: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=10_000), grid).maximum


def _fits(console: Console, grid: Table) -> bool:
    """Make headings and columns of text narrower where a table is too wide, and return whether it fits then."""
    if _width(console, grid) <= console.width:
        return True
    cells = [[str(cell) for cell in column.cells] for column in grid.columns]
    texts = [column.justify == "left" for column in grid.columns]
    widths, least = [], []
    for column, inside, text in zip(grid.columns, cells, texts, strict=True):
        words = [cell_len(word) for cell in inside for word in cell.split()] if text else [*map(cell_len, inside)]
        heading = max((cell_len(word) for word in str(column.header).split()), default=1)
        # A name that takes half of the terminal is cut, if nothing else helps; a number never.
        half = console.width // 2 - 2
        least.append(max(min(heading, half), max(words, default=1) if not text else min(max(words, default=1), half)))
        widths.append(max((cell_len(line) for line in (*inside, str(column.header))), default=1))
    between = _width(console, grid) - sum(widths)
    while sum(widths) + between > console.width:
        wide = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not wide:
            return False
        # Headings of numbers first: that costs a line of the table, and a text a line of each row.
        widest = max(wide, key=lambda i: (not texts[i], widths[i]))
        widths[widest] -= 1
    for column, width in zip(grid.columns, widths, strict=True):
        column.width, column.no_wrap, column.overflow = width, False, "fold"
    return True


def grid_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return the table that `table` prints."""
    rows = [[shown(cell) for cell in row] for row in rows]
    grid = Table(title=escape(title) or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(row[i][:1] in "0123456789-+.–" for row in rows)
        justify = "right" if numeric and rows else "left"
        grid.add_column(escape(column), justify=justify, style="" if i else "bold", no_wrap=True)
    for row in rows:
        grid.add_row(*[plain(cell) for cell in row])
    return grid


def show_checks(checks: Sequence[Any]) -> None:
    """Print the checks that are no PASS, with their remedies, and how many there are in all."""
    for check in checks:
        if check.status != "PASS":
            _show_check(check)
    if checks:
        passed = sum(check.status == "PASS" for check in checks)
        stdout().print(f"{passed} of {len(checks)} checks of the data passed")


def show_failures(checks: Sequence[Any]) -> None:
    """Print the checks that failed, with their remedies: what must not be overlooked."""
    for check in checks:
        if check.status == "FAIL":
            _show_check(check)


def _show_check(check: Any) -> None:
    console, style = stdout(), "red" if check.status == "FAIL" else "yellow"
    labelled(console, check.status, f"{check.name}: {check.finding}", style, len(check.status) + 1)
    for line in wrapped(console, check.next_step, 5):
        console.print(f"     {plain(line)}", style="dim")


def finish(written: Mapping[str, Any], next_step: str, before: str = "", beside: tuple[str, str] | None = None) -> None:
    """Say what was written and what to do next.

    Args:
        written: what -> path.
        next_step: a command that can be copied, on several lines too.
        before: what to do first, in words.
        beside: label and text of a fact that stands in the same line.
    """
    console = stdout()
    for what, path in written.items():
        labelled(console, "wrote", f"{what}: {near(path)}", "green")
    if before:
        labelled(console, "next", f"{before}{', then:' if next_step else ''}", "cyan")
    first = Text.assemble(("next", "cyan"), " " * (LABEL - len("next")))
    if beside:
        label = Text.assemble((beside[0], "bold"), " " * (LABEL - len(beside[0])))
        first = Text.assemble(label, clean(beside[1]), "; ", ("next:", "cyan"), " ")
    for i, line in enumerate(command_lines(console, next_step)):
        console.print((Text(" " * LABEL) if i or before else first) + Text(clean(line)))


def command_lines(console: Console, command: str) -> list[str]:
    """Return a command in lines that fit behind a label: each but the last ends with a backslash, as a shell wants."""
    if not console.is_terminal or not command or LABEL + cell_len(command) <= console.width:
        return [command] if command else []
    lines = _split(console, command)
    if any(LABEL + cell_len(line) > console.width for line in lines):
        lines = _split(console, _LISTS.sub(_one_each, command))
    return lines


def _split(console: Console, command: str) -> list[str]:
    lines = [""]
    for word in _WORDS.findall(command):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and LABEL + cell_len(longer) + (2 if len(lines) == 1 else 4) > console.width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [("  " if i else "") + line + (" \\" if i + 1 < len(lines) else "") for i, line in enumerate(lines)]


def _one_each(found: re.Match[str]) -> str:
    return " ".join(f"{found[1]} {part}" for part in found[2].split(","))


def near(path: Any) -> str:
    """Return a path as it is reached from here: relative where it lies below the working folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def here(*paths: Any) -> str:
    """Return paths as they are written in a command that is copied."""
    return shlex.join(near(path) for path in paths)


def warn(warnings: Iterable[str]) -> None:
    """Print warnings on stderr."""
    for warning in warnings:
        labelled(stderr(), "warning", warning, "yellow", len("warning "))


def print_error(error: MixlawError, as_json: bool) -> None:
    """Print one error: an object on stdout with --json, else a line on stderr."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        labelled(stderr(), "error", str(error), "red", len("error "))
