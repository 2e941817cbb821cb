"""A fit as a table, for its reprs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlaw.fit.result import Fit


def fit_table(fit: Fit) -> tuple[str, list[str], list[list[Any]], list[str]]:
    """Return title, columns, rows and notes: a row a target, with what its law and its left-out runs say."""
    # A pairwise fit has a coefficient per source, t[math]: too many for a table; `Fit.parameters` has them.
    names = [name for name in next(iter(fit.targets.values())).parameters if "[" not in name]
    columns = ["target", "status", *names, "noise, nats", "left-out error %", "of the mean %"]
    rows = []
    for name, target in fit.targets.items():
        errors = (100 * float(target.cv_mre), 100 * float(target.cv_mre_mean))
        values = (float(target.parameters[p]) for p in names)
        rows.append([name, target.status, *values, float(target.noise_nats), *errors])
    notes = [*filter(None, [fit.choice]), *(f"warning: {text}" for text in fit.warnings)]
    return f"{fit.law}, {fit.procedure} fit of {len(fit)} runs; tokens in millions", columns, rows, notes
