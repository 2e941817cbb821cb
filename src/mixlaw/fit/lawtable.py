"""Laws side by side on the same runs: predictions of left-out mixtures, and the choice among them.

Every law is fitted to the same folds of whole mixtures (replicates stay together) and asked for the rest. `choose` is
for the simplest law whose mean error is within one standard error of the best law's, by paired differences (Breiman,
Friedman, Olshen and Stone 1984, section 3.4.3): a richer law has to earn its parameters on runs that it has not seen.

Shape letters: R runs, K domains, J targets.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import MixlawError
from mixlaw.core.notebook import bar, html_table, text_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit.crossvalidation import spearman
from mixlaw.fit.fitted import Fitter
from mixlaw.fit.generic import law_fitter
from mixlaw.fit.joint import fit_transfer, transfer_left_out
from mixlaw.fit.pairwise import fit_pairwise, pairwise_left_out
from mixlaw.fit.regression import fit_regressor
from mixlaw.fit.size import log_sizes, require_one_size
from mixlaw.laws import LAWS, REGRESSORS

FITTERS: dict[str, Fitter] = {name: law_fitter(law) for name, law in LAWS.items()}
FITTERS["transfer"] = fit_transfer
FITTERS["pairwise"] = fit_pairwise

_FOLDS = 10
_MILLION = 1e6


@dataclass(frozen=True)
class LawRow:
    """One law's figures on left-out runs.

    Attributes:
        name: of the law.
        predicted_RJ: losses predicted while left out; NaN where that could not be done.
        mre: mean relative error, a share; NaN where the law does not apply.
        spearman: mean over targets of the rank correlation.
        r2: share of the variance within targets that is explained.
        bias: mean of predicted minus measured, nats.
        seconds: for all folds.
        note: why there is no figure.
    """

    name: str
    predicted_RJ: np.ndarray
    mre: float = float("nan")
    spearman: float = float("nan")
    r2: float = float("nan")
    bias: float = float("nan")
    seconds: float = float("nan")
    note: str = ""

    def to_json(self) -> dict[str, str | float | None]:
        """Return the row without its predictions; a number that does not exist is None."""
        numbers = {key: getattr(self, key) for key in ("mre", "spearman", "r2", "bias", "seconds")}
        return {
            "name": self.name,
            **{key: float(value) if np.isfinite(value) else None for key, value in numbers.items()},
            "note": self.note,
        }


class LawTable(list[LawRow]):
    """Laws side by side, best first: a list of `LawRow` that notebooks show as a table."""

    def __repr__(self) -> str:
        best = self[0].name if self else "none"
        return f"<{len(self)} laws on left-out mixtures, best: {best}>"

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        title, columns, rows = self._table()
        worst = max((row.mre for row in self if np.isfinite(row.mre)), default=1.0) or 1.0
        drawn = [bar(row.mre / worst) if np.isfinite(row.mre) else "" for row in self]
        return html_table(title, [*columns, ""], [[*row, figure] for row, figure in zip(rows, drawn, strict=True)])

    def _table(self) -> tuple[str, list[str], list[list[str | float]]]:
        columns = ["law", "error %", "rank correlation", "r2", "bias, nats", "seconds", "note"]
        rows: list[list[str | float]] = [
            [r.name, 100 * r.mre, r.spearman, r.r2, r.bias, r.seconds, r.note] for r in self
        ]
        return "Laws on left-out mixtures, best first", columns, rows


def compare_laws(runs: RunTable, laws: Sequence[str] | None = None) -> LawTable:
    """Return the laws' figures, best first; laws that do not apply last, with the reason.

    Args:
        runs: R runs.
        laws: names; None for all. The mean is always there.
    """
    names = list(laws) if laws is not None else [*LAWS, *REGRESSORS]
    rows = [left_out(runs, name) for name in dict.fromkeys([*names, "mean"])]
    return LawTable(sorted(rows, key=lambda row: (not np.isfinite(row.mre), row.mre if np.isfinite(row.mre) else 0.0)))


def left_out(runs: RunTable, name: str) -> LawRow:
    """Return one law's figures on left-out mixtures; an error of the law becomes its note."""
    began = time.perf_counter()
    predicted = np.full(runs.losses_RJ.shape, np.nan)
    try:
        require_one_size(runs, name)
        tokens = runs.tokens_RK / _MILLION
        if name == "pairwise":
            sizes = log_sizes(runs)
            predicted = pairwise_left_out(runs.domains, runs.targets, tokens, runs.losses_RJ, folds(runs), sizes)
        elif name == "transfer":
            predicted = transfer_left_out(runs.domains, runs.targets, tokens, runs.losses_RJ, folds(runs))
        else:
            for fold in folds(runs):
                predicted[fold] = _predict_left_out(runs, name, fold)
    except MixlawError as error:
        return LawRow(name, predicted, note=f"{error} {error.hint}".strip())
    seconds, losses = time.perf_counter() - began, runs.losses_RJ
    ceiling = 2 * np.nanmax(np.abs(losses), axis=0)
    predicted = np.clip(np.nan_to_num(predicted, nan=np.inf), 0, ceiling)
    known = np.isfinite(losses)
    residual = np.where(known, predicted - losses, np.nan)
    spread = np.nansum((losses - np.nanmean(losses, axis=0)) ** 2)
    ranks = [spearman(predicted[known[:, j], j], losses[known[:, j], j]) for j in range(losses.shape[1])]
    return LawRow(
        name,
        predicted,
        float(np.nanmean(np.abs(residual) / np.abs(losses))),
        float(np.mean(np.nan_to_num(ranks))),
        float(1 - np.nansum(residual**2) / spread) if spread > 0 else float("nan"),
        float(np.nanmean(residual)),
        seconds,
    )


def folds(runs: RunTable) -> list[np.ndarray]:
    """Return boolean masks (R,) of the runs to leave out: whole mixtures, at most ten folds, no randomness."""
    mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel()
    # Sorted by total and dealt out in turn, so that every fold has small and large runs.
    totals = np.array([runs.totals_R[mixtures == m][0] for m in range(mixtures.max() + 1)])
    rank = np.argsort(np.argsort(totals, kind="stable"), kind="stable")[mixtures]
    count = min(_FOLDS, int(mixtures.max()) + 1)
    return [rank % count == fold for fold in range(count)] if count > 1 else []


def choose(rows: Sequence[LawRow], runs: RunTable) -> tuple[str, str]:
    """Return the chosen law's name and the reason; `rows` from the simplest law to the richest.

    Raises:
        MixlawError: no law could be fitted; the first one's reason.
    """
    usable = [row for row in rows if np.isfinite(row.mre)]
    best = min(usable, key=lambda row: row.mre)
    said = ", ".join(f"{row.name} {100 * row.mre:.3g} %" for row in usable)
    for row in usable:
        if row is best:
            break
        worse, error = _worse(row, best, runs)
        if worse <= error:
            break
    if row is best:
        return row.name, f"Law '{row.name}' has the smallest error on left-out mixtures ({said})."
    return row.name, (
        f"Law '{row.name}' is the simplest within one standard error of the best, '{best.name}', on left-out mixtures "
        f"({said})."
    )


def told_apart(row: LawRow, other: LawRow, runs: RunTable) -> bool:
    """Return whether one of two laws is better on left-out mixtures, by more than one standard error."""
    worse, error = _worse(row, other, runs)
    return not abs(worse) <= error


def _worse(row: LawRow, other: LawRow, runs: RunTable) -> tuple[float, float]:
    """Return how much larger a law's relative error on left-out runs is than another's, and its standard error."""
    each_RJ = np.abs(row.predicted_RJ - runs.losses_RJ) - np.abs(other.predicted_RJ - runs.losses_RJ)
    each_R = np.nanmean(each_RJ / np.abs(runs.losses_RJ), axis=1)
    each_R = each_R[np.isfinite(each_R)]
    return float(each_R.mean()), float(each_R.std(ddof=1) / np.sqrt(len(each_R)))


def _predict_left_out(runs: RunTable, name: str, held: np.ndarray) -> np.ndarray:
    tokens, losses = runs.tokens_RK / _MILLION, runs.losses_RJ
    if name in REGRESSORS:
        columns = []
        for column in losses.T:
            kept = ~held & np.isfinite(column)
            columns.append(fit_regressor(name, tokens[kept], column[kept]).predict(tokens[held]))
        return np.column_stack(columns)
    fits = FITTERS[name](runs.domains, runs.targets, tokens[~held], losses[~held], 0, 0)
    return np.column_stack([fit.law.predict(fit.theta_P, tokens[held]) for fit in fits])
