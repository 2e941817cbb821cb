"""Laws on held-out mixtures: the table of laws, folds, and laws that do not apply."""

from __future__ import annotations

import numpy as np

from law_runs import DOMAINS, TRANSFER, run_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import compare_laws, folds, held_out
from mixlaw.laws.transfer import Transfer


def test_laws_side_by_side_put_the_true_one_before_the_mean() -> None:
    rows = compare_laws(run_table(Transfer, TRANSFER, 16, 0.002), ["transfer", "chinchilla", "ridge"])
    names = [row.name for row in rows]
    assert names[0] == "transfer"
    assert "mean" in names
    assert all(row.seconds > 0 for row in rows)


def test_a_law_that_does_not_apply_says_why() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    other = RunTable(runs.runs, DOMAINS, ("x", "y", "z"), runs.tokens_RK, runs.losses_RJ)
    row = held_out(other, "transfer")
    assert np.isnan(row.mre)
    assert "x" in row.note


def test_folds_hold_each_run_once_and_keep_replicates_together() -> None:
    runs = run_table(Transfer, TRANSFER, 15, 0.002)
    double = runs.take(np.repeat(np.arange(15), 2))
    parts = folds(double)
    assert np.array_equal(np.sum(parts, axis=0), np.ones(30))
    assert all(np.array_equal(part[::2], part[1::2]) for part in parts)
