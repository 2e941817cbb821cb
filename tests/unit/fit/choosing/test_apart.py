"""Targets that no law follows are set apart from those that one does, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from law_runs import TRANSFER, run_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.apart import parts_of, set_apart
from mixlaw.fit.choosing.choice import Choice
from mixlaw.fit.choosing.table import LawRow
from mixlaw.laws.transfer import Transfer

RUNS = run_table(Transfer, TRANSFER, 30, 0.002)
SIGN_R = np.where(np.arange(len(RUNS)) % 2, 1.0, -1.0)


def held(*away: float, runs: RunTable = RUNS, name: str = "transfer") -> LawRow:
    """Held-out predictions that are off by so many standard deviations of a target's losses, up and down in turn."""
    spread_J = np.array(away) * runs.losses_RJ.std(axis=0)
    predicted = runs.losses_RJ + SIGN_R[:, None] * spread_J
    return LawRow(name, predicted, float(np.abs(spread_J).mean()))


@pytest.mark.parametrize(
    ("away", "apart"),
    [
        ((0.9, 0.05, 0.05), (0,)),
        ((0.05, 0.9, 0.9), (1, 2)),
        ((0.9, 0.2, 0.2), ()),  # not followed, but not far from the others
        ((0.3, 0.01, 0.01), ()),  # far from the others, but followed
        ((0.9, 0.9, 0.9), ()),  # nothing that a law follows
    ],
)
def test_what_is_set_apart(away: tuple[float, ...], apart: tuple[int, ...]) -> None:
    assert set_apart(RUNS, Choice("transfer", rows=(held(*away),))) == apart


def test_a_low_floor_alone_sets_nothing_apart() -> None:
    """Of losses near 0 relative errors are large; noise is in nats."""
    low = replace(RUNS, losses_RJ=RUNS.losses_RJ - np.array([0.999 * RUNS.losses_RJ[:, 0].min(), 0, 0]))
    nats = 0.9 * RUNS.losses_RJ[:, 0].std()
    away = np.array([0.9, 0.2, 0.2])
    assert nats / (low.losses_RJ[:, 0].mean()) > 2 * nats / RUNS.losses_RJ[:, 1].mean()
    assert set_apart(low, Choice("transfer", rows=(held(*away, runs=low),))) == ()


def test_the_better_law_says_whether_a_target_is_followed() -> None:
    rows = (held(0.9, 0.05, 0.05), held(0.05, 0.06, 0.06, name="pairwise"))
    assert set_apart(RUNS, Choice("transfer", rows=rows)) == ()


def test_a_law_without_figures_sets_nothing_apart() -> None:
    failed = LawRow("transfer", np.full(RUNS.losses_RJ.shape, np.nan), note="too few")
    assert set_apart(RUNS, Choice("transfer", rows=(failed,))) == ()


def test_targets_of_a_law_are_one_part() -> None:
    (part,) = parts_of(RUNS)
    assert part.places == (0, 1, 2) and part.runs is RUNS
