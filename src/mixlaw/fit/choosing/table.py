"""Laws side by side on the same runs, as a table that notebooks show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.core.notebook import bar, html_table, text_table


@dataclass(frozen=True)
class LawRow:
    """One law's figures on held-out runs.

    Attributes:
        name: of the law.
        predicted_RJ: losses predicted while held out; NaN where that could not be done.
        mre: mean relative error, a share; NaN where the law does not apply.
        spearman: mean over targets of the rank correlation.
        r2: share of the variance within targets that is explained.
        bias: mean of predicted minus measured, nats.
        seconds: for all folds.
        note: why there are no figures.
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
        """Return the row without its predictions; a missing number is None."""
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
        return f"<{len(self)} laws on held-out mixtures, best: {best}>"

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
        return "Laws on held-out mixtures, best first", columns, rows
