"""Runs whose loss the others are far from predicting: most likely a wrong cell of the table, or a run that went wrong.

A run is named where its error on held-out mixtures is many times the usual one of its target, and far larger than those
of all other runs: errors of a law that does not fit go over into one another, wrong numbers do not.

Shape letters: R runs.
"""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.magnitude import magnitudes
from mixlaw.laws._shares import ROBUST_SD

_USUAL = 6.0
"""How many times as large as the usual error, a robust standard deviation, a run's must be. Chosen on: planted tuning
worlds (seeds 0 to 3 of two truths; 9 to 21 runs), where right runs reach 4.8, and losses that are wrong by 10 to 30 %
mostly more than 6."""

_APART = 2.0
"""How many times as large as the next. Chosen on: as `_USUAL`."""

_TELLS = 0.05
"""Least relative error that is worth a sentence. No data."""

_MOST = 10
"""One in so many runs may be odd, and one in any case; where more are, it is the law that does not fit. No data."""

_FEWEST = 6
"""Runs that are held out, below which nothing is usual. No data."""


def odd_runs(predicted_R: np.ndarray, losses_R: np.ndarray) -> np.ndarray:
    """Return the places of the odd runs, the oddest first.

    Args:
        predicted_R: losses predicted while a run's mixture was held out; NaN where it was not.
        losses_R: measured; NaN where they were not.
    """
    errors_R = np.abs(predicted_R - losses_R)
    known = np.flatnonzero(np.isfinite(errors_R))
    if len(known) < _FEWEST:
        return known[:0]
    order = known[np.argsort(-errors_R[known], kind="stable")]
    usual = max(ROBUST_SD * float(np.median(errors_R[known])), 1e-300)
    sizes_R = magnitudes(losses_R)
    for count in range(max(len(known) // _MOST, 1), 0, -1):
        least, rest = errors_R[order[count - 1]], errors_R[order[count]]
        tells = (errors_R[order[:count]] > _TELLS * sizes_R[order[:count]]).all()
        if least > _USUAL * usual and least > _APART * rest and tells:
            return order[:count]
    return order[:0]


def said_of_odd(runs: RunTable, j: int, predicted_R: np.ndarray) -> str:
    """Return the sentence about a target's odd runs; empty where there are none."""
    losses_R = runs.losses_RJ[:, j]
    odd = odd_runs(predicted_R, losses_R)
    if not len(odd):
        return ""
    named = ", ".join(f"{runs.runs[r]} has {losses_R[r]:.4g} ({predicted_R[r]:.4g})" for r in odd[:3])
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return (
        f"{runs.targets[j]}: {named}{more}, far from what the other runs predict (in brackets). A wrong loss moves the "
        "answer: check it, and measure it again or empty its cell if it is wrong."
    )
