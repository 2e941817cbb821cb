"""What each run's training said: its loss over the steps, drawn small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import format_tokens
from mixlaw.report.drawing import Figure, mark
from mixlaw.report.numbers import nats, whole

Log = Sequence[tuple[int, float]]
"""(step, training loss in nats) of one run, in order."""

_POINTS = 80
_RUNS = 200
_WIDTH, _HEIGHT = 420, 180


def run_logs(runs: RunTable, logs: Mapping[str, Log]) -> list[tuple[str, Figure]]:
    """Return (summary, figure) of every run that has a log of at least two steps, of no more than 200 runs."""
    found = []
    for r, run in enumerate(runs.runs):
        log = [(step, loss) for step, loss in logs.get(run, ()) if np.isfinite(loss)]
        if len(log) >= 2 and len(found) < _RUNS:
            steps, last = whole(log[-1][0]), nats(log[-1][1], 3)
            summary = f"{run} · {format_tokens(runs.totals_R[r])} tokens · {steps} steps · {last} nats"
            found.append((summary, log_figure(run, log)))
    return found


def log_figure(run: str, log: Log) -> Figure:
    """Draw the training loss of one run over its steps; many steps are averaged into eighty pieces."""
    pieces = np.array_split(np.array(log, float), min(len(log), _POINTS))
    steps, losses = np.array([piece.mean(axis=0) for piece in pieces]).T

    def draw(axes: Any) -> None:
        axes.plot(steps, losses, **mark("curve", "series-0"))
        axes.set(xlabel="step", ylabel="training loss, nats")
        axes.set_xlim(0, float(log[-1][0]) * 1.02)
        axes.locator_params(axis="y", nbins=4)

    said = f"From {nats(losses[0], 3)} to {nats(losses[-1], 3)} nats in {whole(log[-1][0])} steps."
    return Figure(f"Training loss of {run}", said, draw, _WIDTH, _HEIGHT)
