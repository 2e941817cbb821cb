"""Predicted losses with their bands.

Shape letters: R mixtures, J targets, S posterior draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.notebook import Tabular, interval
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import losses_in
from mixlaw.fit.asked import asked, require_domains
from mixlaw.fit.curve import Scatter

BAND_ENDS = (0.05, 0.95)
"""Quantiles of every 90 % interval. Usual. No data."""

_NORMAL = (-1.7317, -1.1503, -0.8122, -0.5485, -0.3186, -0.1046, 0.1046, 0.3186, 0.5485, 0.8122, 1.1503, 1.7317)
"""Medians of twelve equally probable pieces of a standard normal. No data."""

CEILING = 2.0
"""Predictions are cut off at the largest measured loss times this, and at 0: no law can be trusted there. No data."""


@dataclass(frozen=True, repr=False)
class Prediction(Tabular):
    """Predicted losses with 90 % intervals.

    Attributes:
        mean: (R, J) nats per supervised token; of a metric, the distance from its best value.
        low: (R, J) lower end of the 90 % interval of a run's loss: uncertainty of the fit and scatter of runs.
        high: (R, J) upper end.
        mean_low: (R, J) lower end of the 90 % band of the law alone: of the mean over runs of that mixture.
        mean_high: (R, J) upper end.
        draws: (S, R, J) losses in the posterior draws, without the scatter of runs.
        targets: names, J of them.
        interval: which of the two the table shows: `run` or `law`.
        warnings: sentences, where mixtures lie outside the range of the runs.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray
    draws: np.ndarray
    targets: tuple[str, ...] = ()
    interval: Literal["run", "law"] = "run"
    warnings: tuple[str, ...] = ()

    @staticmethod
    def of(
        columns: Sequence[tuple[np.ndarray, ...]],
        targets: tuple[str, ...],
        interval: Literal["run", "law"] = "run",
        warnings: tuple[str, ...] = (),
    ) -> Prediction:
        """Return the prediction from each target's (R,) mean, low, high, mean_low, mean_high and (S, R) draws."""
        *parts, draws = zip(*columns, strict=True)
        size = min(map(len, draws))
        cube = np.stack([drawn_SR[:size] for drawn_SR in draws], axis=-1)
        return Prediction(
            *map(np.column_stack, parts), draws=cube, targets=targets, interval=interval, warnings=warnings
        )

    def of_mixture(self, row: int = 0) -> dict[str, dict[str, float]]:
        """Return one mixture as in all JSON files: target -> mean, low, high (a run), mean_low, mean_high (the law)."""
        parts = ("mean", "low", "high", "mean_low", "mean_high")
        return {name: {p: float(getattr(self, p)[row, j]) for p in parts} for j, name in enumerate(self.targets)}

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends, (R, J) each, of the interval that was asked for."""
        return (self.low, self.high) if self.interval == "run" else (self.mean_low, self.mean_high)

    def __repr__(self) -> str:
        return f"<{self.table()[0]}>"

    def _drawn(self) -> tuple[Any, ...]:
        title, columns, rows = self.table()
        ends = (float(self.ends[0].min()), float(self.ends[1].max()))
        drawn = [interval(low, mean, high, ends) for *_, mean, low, high in rows]
        return title, [*columns, "interval"], [[*r, d] for r, d in zip(rows, drawn, strict=True)]

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Return title, columns and rows, with one row per target of each mixture."""
        count, names = len(self.mean), self.targets or tuple(map(str, range(self.mean.shape[1])))
        rows: list[list[Any]] = [
            [*([str(r)] if count > 1 else []), name, *(float(part[r, j]) for part in (self.mean, *self.ends))]
            for r in range(count)
            for j, name in enumerate(names)
        ]
        which = "90 % of runs" if self.interval == "run" else "90 % band of the law"
        title = f"Prediction of {count} mixture{'s' if count > 1 else ''}: {losses_in(self.targets)}, {which}"
        return title, [*(["mixture"] if count > 1 else []), "target", "mean", "low", "high"], rows


def band(
    mean_R: np.ndarray | None,
    drawn: Sequence[tuple[Scatter, np.ndarray]],
    measured: np.ndarray,
    lean_R: np.ndarray | None = None,
    besides: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, ...]:
    """Return (R,) mean, low, high, mean_low, mean_high and (S, R) draws of one target (see `Prediction`).

    Args:
        mean_R: the law at the reported parameters; None: the mean over the draws.
        drawn: of each law that is believed, how its runs scatter and its (S, R) losses in the posterior draws.
        measured: the losses of the fit's runs, which say what can be believed.
        lean_R: how much the mixtures lean on few domains; None: as the runs do on average.
        besides: from (S, R) losses to the standard deviation that runs have besides their scatter; None for none.
    """
    ceiling = CEILING * float(np.nanmax(np.abs(measured)))
    scatters, parts = zip(*((scatter, _held(losses_SR, ceiling)) for scatter, losses_SR in drawn), strict=True)
    drawn_SR = np.vstack(parts)
    mean = drawn_SR.mean(axis=0) if mean_R is None else _held(mean_R, ceiling)
    sd_SR = np.vstack([scatter.at(part, lean_R) for scatter, part in zip(scatters, parts, strict=True)])
    if besides is not None:
        sd_SR = np.hypot(sd_SR, besides(drawn_SR))
    runs = drawn_SR[:, None] + sd_SR[:, None] * np.array(_NORMAL)[:, None]
    low, high = np.quantile(runs.reshape(-1, len(mean)), BAND_ENDS, axis=0)
    mean_low, mean_high = np.quantile(drawn_SR, BAND_ENDS, axis=0)
    return (
        mean,
        np.maximum(np.minimum(low, mean), 0.0),
        np.maximum(high, mean),
        np.minimum(mean_low, mean),
        np.maximum(mean_high, mean),
        drawn_SR,
    )


def _held(losses: np.ndarray, ceiling: float) -> np.ndarray:
    return np.clip(np.nan_to_num(losses, nan=ceiling, posinf=ceiling), 0.0, ceiling)


def token_array(tokens: Any, domains: tuple[str, ...]) -> np.ndarray:
    """Return the (R, K) tokens of mixtures, as `asked` takes them, in the order of the domains.

    Raises:
        DataError: no mixture, an unknown domain, a wrong shape, or a negative or non-finite token count.
    """
    array = asked(tokens, domains)
    if isinstance(array, RunTable):
        require_domains(array.domains, domains)
        missing = [domain for domain in domains if domain not in array.domains]
        if missing:
            raise DataError(f"The table has no tokens of the domains {missing}.", "Add a tokens column for each.")
        array = array.tokens_RK[:, [array.domains.index(domain) for domain in domains]]
    if array.size == 0:
        raise DataError("There is no mixture to predict.", "Give the tokens of at least one.")
    if array.ndim != 2 or array.shape[1] != len(domains):
        raise DataError(
            f"The token array has shape {array.shape}; the fit has {len(domains)} domains.",
            "Pass a row for each mixture and a column for each domain, in the order of fit.domains.",
        )
    if not np.all(np.isfinite(array) & (array >= 0)):
        raise DataError(
            "A token count is negative or not finite; it must be a number >= 0.", "Give each domain 0 or more tokens."
        )
    return array
