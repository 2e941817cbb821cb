"""Predicted against measured losses of held-out runs, one self-contained SVG a law."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.files import write_text
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import losses_in
from mixlaw.fit.choosing.table import LawRow
from mixlaw.report.drawing import Figure, mark
from mixlaw.report.palette import series_of

_SIZE = 420


def write_law_plots(rows: Sequence[LawRow], runs: RunTable, folder: Path) -> list[Path]:
    """Write `<law>.svg` for every law that applies, and return the paths.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        if np.isfinite(row.mre):
            written.append(folder / f"{row.name}.svg")
            write_text(written[-1], law_figure(row, runs).standalone())
    return written


def law_figure(row: LawRow, runs: RunTable) -> Figure:
    """Return the figure: measured loss along x, predicted along y, the diagonal where they agree."""
    series = series_of(runs.targets)

    def draw(axes: Any) -> None:
        known = np.isfinite(runs.losses_RJ)
        values = np.concatenate([runs.losses_RJ[known], row.predicted_RJ[known]])
        room = 0.04 * float(np.ptp(values)) or 1.0
        ends = (float(values.min()) - room, float(values.max()) + room)
        axes.plot(ends, ends, **mark("diagonal"))
        for j, target in enumerate(runs.targets):
            looks = mark("full", series[target]) | {"markersize": 6}
            axes.plot(runs.losses_RJ[known[:, j], j], row.predicted_RJ[known[:, j], j], **looks)
        axes.set(xlim=ends, ylim=ends, xlabel=f"measured, {losses_in(runs.targets)}", ylabel="predicted")

    said = f"Predicted against measured losses, law {row.name}"
    legend = [(f"full/{series[target]}", target) for target in runs.targets]
    title = f"{row.name}: held-out error {100 * row.mre:.2f} %"
    return Figure(title, said, draw, _SIZE, _SIZE, legend=[*legend, ("diagonal", "predicted = measured")])
