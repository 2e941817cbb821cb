"""Tables and bars as HTML and as text, for the reprs of values: notebooks show the one, terminals the other."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_CELL = "padding:2px 12px 2px 0;text-align:{align};border:0"
_BAR_WIDTH, _BAR_HEIGHT = 160, 12
_COLOURS = ("#3b6fb6", "#c8553d", "#588157", "#8e6c8a", "#b8860b", "#2a9d8f", "#6c757d")
"""Legible on white and on black."""


class Tabular(ABC):
    """A value that is shown as a table: as text on a terminal, as HTML in a notebook; a class says what is in it."""

    @abstractmethod
    def table(self) -> tuple[Any, ...]:
        """Return title, columns, rows and, where there are any, notes."""

    def _drawn(self) -> tuple[Any, ...]:
        """Return the table of a notebook, which may have drawings."""
        return self.table()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.table()[0]}>"

    def __str__(self) -> str:
        return text_table(*self.table())

    def _repr_html_(self) -> str:
        return html_table(*self._drawn())


def shown(cell: Any) -> str:
    """Return a cell as text: four significant digits, and a dash for a number that does not exist."""
    if not isinstance(cell, float):
        return str(cell)
    return "–" if math.isnan(cell) else f"{cell:#.4g}".removesuffix(".")


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """Return an HTML table; every text is escaped, except values of `Markup`."""
    body = [list(row) for row in rows]
    numeric = [all(_is_number(row[i]) for row in body) for i in range(len(columns))]

    def cells(tag: str, values: Sequence[Any]) -> str:
        styles = (_CELL.format(align="right" if right else "left") for right in numeric)
        return "".join(
            f'<{tag} style="{style}">{value if isinstance(value, Markup) else escape(shown(value))}</{tag}>'
            for style, value in zip(styles, values, strict=True)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in body)
    after = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return (
        f'<div><strong>{escape(title)}</strong><table style="border-collapse:collapse;margin:4px 0">'
        f"<thead><tr>{cells('th', columns)}</tr></thead><tbody>{lines}</tbody></table>{after}</div>"
    )


def text_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """Return a table of plain text, columns aligned; figures are left out."""
    body = [[shown(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(columns)) if columns[i]]
    body = [[row[i] for i in kept] for row in body]
    header = [columns[i] for i in kept]
    right = [all(_is_number(row[i]) for row in body) for i in range(len(header))]
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [header, *body]
    ]
    return "\n".join([title, *lines, *notes])


class Markup(str):
    """HTML that is shown as it is."""


def bar(share: float, colour: int = 0) -> Markup:
    """Return a bar whose length is a share of 1, as inline SVG."""
    width = round(_BAR_WIDTH * min(max(share, 0.0), 1.0), 1) if math.isfinite(share) else 0
    return Markup(
        f'<svg width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" role="img" aria-label="{100 * share:.1f} %">'
        f'<rect width="{width}" height="{_BAR_HEIGHT}" rx="2" fill="{_COLOURS[colour % len(_COLOURS)]}"/></svg>'
    )


def interval(low: float, mean: float, high: float, ends: tuple[float, float]) -> Markup:
    """Return an interval with its mean on an axis from `ends[0]` to `ends[1]`, as inline SVG."""
    span = max(ends[1] - ends[0], 1e-12)
    x = [round(4 + (_BAR_WIDTH - 8) * min(max((v - ends[0]) / span, 0.0), 1.0), 1) for v in (low, mean, high)]
    y = _BAR_HEIGHT / 2
    return Markup(
        f'<svg width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" role="img" aria-label="{low:.4g} to {high:.4g}">'
        f'<line x1="{x[0]}" x2="{x[2]}" y1="{y}" y2="{y}" stroke="{_COLOURS[0]}" stroke-width="3"/>'
        f'<circle cx="{x[1]}" cy="{y}" r="4" fill="{_COLOURS[0]}"/></svg>'
    )


def shares(values: Mapping[str, float]) -> Markup:
    """Return shares of 1 side by side in one bar, as inline SVG with their names as tooltips."""
    total = sum(values.values()) or 1.0
    parts, at = [], 0.0
    for i, (name, value) in enumerate(values.items()):
        width = _BAR_WIDTH * value / total
        parts.append(
            f'<rect x="{at:.1f}" width="{width:.1f}" height="{_BAR_HEIGHT}" fill="{_COLOURS[i % len(_COLOURS)]}">'
            f"<title>{escape(name)} {100 * value / total:.1f} %</title></rect>"
        )
        at += width
    return Markup(f'<svg width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" role="img">{"".join(parts)}</svg>')


def _is_number(cell: Any) -> bool:
    return not isinstance(cell, Markup) and shown(cell)[:1] in tuple("0123456789-+.–")
