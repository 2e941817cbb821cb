"""Predicted losses with their bands.

Shape letters: R mixtures, J targets, S posterior draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.notebook import html_table, interval, text_table
from mixlaw.fit.fitted import Scatter

_BAND = (0.05, 0.95)
_NORMAL = (-1.7507, -1.1503, -0.8122, -0.5485, -0.3186, -0.1046, 0.1046, 0.3186, 0.5485, 0.8122, 1.1503, 1.7507)
"""Medians of twelve equally probable pieces of the standard normal distribution."""

CEILING = 2.0
"""No prediction lies above the largest measured loss times this, nor below 0: no law is believed there."""


@dataclass(frozen=True)
class Prediction:
    """Predicted losses with a band.

    Attributes:
        mean: (R, J) nats per supervised token.
        low: (R, J) lower end of the 90 % interval of a run's loss: what the fit leaves open and how runs scatter.
        high: (R, J) upper end.
        mean_low: (R, J) lower end of the 90 % band of the law alone, the mean over runs.
        mean_high: (R, J) upper end.
        targets: names, J of them.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray
    targets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self._table()[0]}>"

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        title, columns, rows = self._table()
        ends = (float(self.low.min()), float(self.high.max()))
        drawn = [interval(low, mean, high, ends) for *_, mean, low, high in rows]
        return html_table(title, [*columns, "interval"], [[*r, d] for r, d in zip(rows, drawn, strict=True)])

    def _table(self) -> tuple[str, list[str], list[list[Any]]]:
        count, names = len(self.mean), self.targets or tuple(map(str, range(self.mean.shape[1])))
        rows: list[list[Any]] = [
            [*([str(r)] if count > 1 else []), name, *(float(part[r, j]) for part in (self.mean, self.low, self.high))]
            for r in range(count)
            for j, name in enumerate(names)
        ]
        title = f"Prediction of {count} mixture{'s' if count > 1 else ''}: nats per supervised token, 90 % of runs"
        return title, [*(["mixture"] if count > 1 else []), "target", "mean", "low", "high"], rows


def band(
    mean_R: np.ndarray, drawn_SR: np.ndarray, scatter: Scatter, measured: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (R,) mean, low, high, mean_low, mean_high of one target (see `Prediction`).

    Args:
        mean_R: the law at the point estimate.
        drawn_SR: the law at the posterior draws.
        scatter: of runs around the law.
        measured: the losses of the fit's runs, which say what can be believed.
    """
    ceiling = CEILING * float(np.nanmax(np.abs(measured)))
    mean, drawn = (np.clip(np.nan_to_num(x, nan=ceiling, posinf=ceiling), 0.0, ceiling) for x in (mean_R, drawn_SR))
    runs = drawn[:, None] + scatter.at(drawn)[:, None] * np.array(_NORMAL)[:, None]
    low, high = np.quantile(runs.reshape(-1, len(mean)), _BAND, axis=0)
    mean_low, mean_high = np.quantile(drawn, _BAND, axis=0)
    return (
        mean,
        np.maximum(np.minimum(low, mean), 0.0),
        np.maximum(high, mean),
        np.minimum(mean_low, mean),
        np.maximum(mean_high, mean),
    )
