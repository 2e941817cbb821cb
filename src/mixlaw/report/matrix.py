"""Who helps whom: what more tokens of one domain do to the loss of every target.

    change of target j by source i = L_j(N + s e_i) / L_j(N) - 1          s = a tenth of the budget

N is the recommended mixture and all other domains keep their tokens, so that every column is the same experiment: the
same number of tokens, of another domain. Negative is help. Taken within each posterior draw, hence the intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import Change, available_of, change_of, losses_by_draw
from mixlaw.report.numbers import digits_for, percent, percent_interval
from mixlaw.report.tables import Cell, Table
from mixlaw.solve.solution import Solution

SHARE = 0.1
"""Of the budget, added to one domain."""

_TONES = (0.001, 0.003, 0.01, 0.03)
"""Changes from which on a cell has the next stronger tone."""


@dataclass(frozen=True)
class TransferMatrix:
    """What more tokens of a domain do.

    Attributes:
        step_tokens: how many more.
        changes: target -> source -> change of the target's loss.
    """

    step_tokens: int
    changes: Mapping[str, Mapping[str, Change]]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; an end of an interval that does not exist is None."""
        return {
            "step_tokens": self.step_tokens,
            "changes": {target: {s: c.to_json() for s, c in of.items()} for target, of in self.changes.items()},
        }


def transfer_matrix(fit: Fit, solution: Solution, study: Mapping[str, Any] | None = None) -> TransferMatrix:
    """Return the matrix at the recommended mixture."""
    step, available = max(1, round(SHARE * solution.budget_tokens)), available_of(solution, study)
    here = dict(solution.tokens)
    drawn = losses_by_draw(fit, here, available)
    changes: dict[str, dict[str, Change]] = {target: {} for target in fit.targets}
    for source in solution.weights:
        more = losses_by_draw(fit, here | {source: here[source] + step}, available)
        for j, target in enumerate(fit.targets):
            changes[target][source] = change_of(more[:, j], drawn[:, j])
    return TransferMatrix(step, changes)


def matrix_table(matrix: TransferMatrix) -> Table:
    """Return the matrix: rows are targets, columns the domains whose tokens grow."""
    sources = list(next(iter(matrix.changes.values())))
    rows = []
    for target, of in matrix.changes.items():
        digits = digits_for(*(v for c in of.values() for v in (c.mean, c.low, c.high)))
        rows.append([Cell(target), *(_cell(of[source], target == source, digits) for source in sources)])
    caption = f"Change of each target's loss with {format_tokens(matrix.step_tokens)} more tokens of one domain"
    return Table(f"{caption}, with 90 % interval", [("Target", False), *((s, True) for s in sources)], rows)


def _cell(change: Change, own: bool, digits: int) -> Cell:
    note = percent_interval(change.low, change.high, digits, True) if change.has_interval else ""
    known = change.sure or not change.has_interval
    strength = sum(abs(change.mean) >= edge for edge in _TONES) if known else 0
    tone = f"{'help' if change.mean < 0 else 'hurt'}-{strength}" if strength else "open"
    return Cell(percent(change.mean, digits, True), note, tone=f"{tone} own" if own else tone)
