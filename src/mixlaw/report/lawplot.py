"""Predicted against measured losses of held-out runs, one self-contained SVG a law."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixlaw.core.files import write_text
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.table import LawRow
from mixlaw.report.svg import Markup, element, joined

_SIZE = 420
_EDGE = 56
_INK = "#444"
_COLOURS = ("#0b63a8", "#b8520a", "#0a7d5a", "#9b3f86", "#7a6a00", "#1f8fb3", "#666666")


def write_law_plots(rows: Sequence[LawRow], runs: RunTable, folder: Path) -> list[Path]:
    """Write `<law>.svg` for every law that applies, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        if np.isfinite(row.mre):
            written.append(folder / f"{row.name}.svg")
            write_text(written[-1], law_plot(row, runs))
    return written


def law_plot(row: LawRow, runs: RunTable) -> str:
    """Return the figure: measured loss along x, predicted along y, the diagonal where they agree."""
    known = np.isfinite(runs.losses_RJ)
    values = np.concatenate([runs.losses_RJ[known], row.predicted_RJ[known]])
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    low, high = low - 0.04 * span, high + 0.04 * span
    length = _SIZE - 2 * _EDGE

    def x(value: float) -> float:
        return _EDGE + length * (value - low) / (high - low)

    def y(value: float) -> float:
        return _SIZE - x(value)

    parts = [
        element("rect", width=_SIZE, height=_SIZE + 24.0 * (len(runs.targets) // 4 + 1), fill="white"),
        element("rect", x=_EDGE, y=_EDGE, width=length, height=length, fill="none", stroke="#bbb"),
        element("line", x1=x(low), y1=y(low), x2=x(high), y2=y(high), stroke="#bbb", stroke_dasharray="4 3"),
        _text(_EDGE, 26, f"{row.name}: held-out error {100 * row.mre:.2f} %", "start", 15),
        _text(_EDGE + length / 2, _SIZE - 14, "measured, nats per supervised token", "middle"),
        element(
            "text",
            "predicted, nats",
            transform=f"translate(16 {_EDGE + length / 2}) rotate(-90)",
            text_anchor="middle",
            font_size=12,
            fill=_INK,
        ),
    ]
    for share in (0.1, 0.5, 0.9):
        value = low + share * (high - low)
        parts += [_text(x(value), _SIZE - _EDGE + 16, f"{value:.2f}", "middle")]
        parts += [_text(_EDGE - 6, y(value) + 4, f"{value:.2f}", "end")]
    for j, target in enumerate(runs.targets):
        colour = _COLOURS[j % len(_COLOURS)]
        parts += [
            element("circle", cx=x(runs.losses_RJ[r, j]), cy=y(row.predicted_RJ[r, j]), r=3, fill=colour, opacity=0.7)
            for r in np.flatnonzero(known[:, j])
        ]
        left, top = _EDGE + 90.0 * (j % 4), _SIZE + 8 + 22.0 * (j // 4)
        parts += [element("circle", cx=left, cy=top, r=4, fill=colour), _text(left + 9, top + 4, target, "start")]
    height = _SIZE + 24 * (len(runs.targets) // 4 + 1)
    return element(
        "svg",
        joined(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_SIZE} {height}",
        font_family="system-ui, sans-serif",
        role="img",
        aria_label=f"Predicted against measured losses, law {row.name}",
    )


def _text(x: float, y: float, words: str, anchor: str, size: float = 12) -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, font_size=size, fill=_INK)
