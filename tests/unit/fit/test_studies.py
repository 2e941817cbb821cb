"""Runs of another study help with the law's shape, whatever their level; the first study's runs say how high it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import mixlaw
from law_runs import DOMAINS, TRANSFER, run_table
from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.free_line import free_columns
from mixlaw.fit.studies import aligned
from mixlaw.laws import find
from mixlaw.laws.transfer import Transfer
from quick_fits import draws_kept, few_folds, none_held_out, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(4), none_held_out(), short_draws(), draws_kept(40):
        yield


NOISE, SHIFTS = 0.002, np.array([0.06, -0.04, 0.15])


def two_studies(shifts: np.ndarray = SHIFTS, noise: float = NOISE) -> tuple[RunTable, RunTable]:
    mine = run_table(Transfer, TRANSFER, 8, noise, 3)
    theirs = run_table(Transfer, TRANSFER, 10, noise, 5)
    theirs = replace(theirs, runs=tuple(f"other-{i}" for i in range(10)), losses_RJ=theirs.losses_RJ + shifts)
    return mine, theirs


def together(mine: RunTable, theirs: RunTable, named: bool = True) -> RunTable:
    return RunTable(
        mine.runs + theirs.runs,
        DOMAINS,
        DOMAINS,
        np.vstack([mine.tokens_RK, theirs.tokens_RK]),
        np.vstack([mine.losses_RJ, theirs.losses_RJ]),
        study=("mine",) * len(mine) + ("theirs",) * len(theirs) if named else (),
    )


def error_of(fitted: mixlaw.Fit) -> float:
    """Return the mean relative error on other mixtures."""
    asked = np.exp(np.random.default_rng(11).normal(0, 0.7, (60, 3)))
    truth = np.column_stack([Transfer(DOMAINS, d).predict(TRANSFER, asked) for d in DOMAINS])
    return float(np.mean(np.abs(fitted.predict(asked * 1e6).mean - truth) / truth))


def test_shifts_are_found_and_the_law_gains_from_the_other_study():
    mine, theirs = two_studies()
    fitted = mixlaw.fit(together(mine, theirs), law="transfer")
    found = fitted.runs.shifts["theirs"]
    for target, shift in zip(DOMAINS, SHIFTS, strict=True):
        assert abs(found[target]["mean"] - shift) < 4 * found[target]["sd"] < 0.08
    with_theirs, alone = error_of(fitted), error_of(mixlaw.fit(mine, law="transfer"))
    unshifted = error_of(mixlaw.fit(together(mine, theirs, named=False), law="transfer"))
    assert with_theirs < alone and with_theirs < 0.5 * unshifted


def test_the_level_is_the_first_studys_however_many_runs_the_other_has():
    mine, theirs = two_studies(np.full(3, 0.5), noise=1e-4)
    said = mixlaw.fit(together(mine, theirs), law="transfer").predict(mine)
    assert said.mean == pytest.approx(mine.losses_RJ, abs=0.01)
    other = mixlaw.fit(together(theirs, mine), law="transfer").predict(mine)
    assert other.mean == pytest.approx(mine.losses_RJ + 0.5, abs=0.01)


@pytest.mark.parametrize("law", ["transfer", "pairwise", "chinchilla"])
def test_any_law_takes_a_shift_of_a_study_without_a_trace(law: str):
    mine, theirs = two_studies(np.zeros(3))
    moved = replace(theirs, losses_RJ=theirs.losses_RJ + 0.3)
    as_is, shifted = (mixlaw.fit(together(mine, one), law=law).predict(mine) for one in (theirs, moved))
    assert shifted.mean == pytest.approx(as_is.mean, abs=5e-3)  # of a shift of 0.3


def test_a_fit_of_studies_is_the_same_when_read_again(tmp_path):
    fitted = mixlaw.fit(together(*two_studies()), law="transfer", out=tmp_path / "fit.json")
    read = mixlaw.load_fit(tmp_path / "fit.json")
    assert read.runs.study == fitted.runs.study and read.runs.shifts == fitted.runs.shifts
    assert read.summary() == fitted.summary()
    assert "of study 'mine'; 'theirs' lies a +0.0" in fitted.choice


def test_laws_are_compared_on_the_level_of_the_first_study():
    rows = {row.name: row for row in mixlaw.laws(together(*two_studies()), ["transfer", "ridge"])}
    apart = {row.name: row for row in mixlaw.laws(together(*two_studies(), named=False), ["transfer", "ridge"])}
    assert all(rows[name].mre < 0.7 * apart[name].mre for name in ("transfer", "ridge"))


def test_a_target_that_a_study_did_not_measure_has_no_level_there():
    mine, theirs = two_studies()
    theirs.losses_RJ[:, 1] = np.nan
    with pytest.raises(DataError, match="No run of study 'theirs' measured 'b'"):
        aligned(together(mine, theirs), find("transfer"))


def test_runs_of_one_study_are_returned_as_they_are():
    mine, _ = two_studies()
    assert aligned(mine, find("transfer")) is mine
    assert free_columns(mine, 0) is None
    only = replace(together(mine, mine, named=False).take(range(8)), study=("x",) * 8)
    assert free_columns(only, 0) is None


def test_the_study_is_a_column_of_a_run_table(tmp_path):
    table = together(*two_studies())
    table.to_csv(tmp_path / "runs.csv")
    assert mixlaw.load_runs(tmp_path / "runs.csv").study == table.study
    text = (tmp_path / "runs.csv").read_text().replace("theirs\n", "\n", 1)
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(DataError, match="line 10, column 'study': the cell is empty"):
        mixlaw.load_runs(tmp_path / "bad.csv")
