"""The exchange format: what is read, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixlaw.core.errors import DataError
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.core.runtable import RunTable

GOOD = "run,seed,tokens:a,tokens:b,loss:a,loss:b,note\nr0,0,100,200,1.5,2.5,x\nr1,1,300,0,1.25,,y\n"


def read(tmp_path: Path, text: str) -> RunTable:
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return RunTable.from_csv(path)


def test_a_table_is_read_with_its_empty_losses_as_not_measured(tmp_path: Path) -> None:
    runs = read(tmp_path, GOOD)
    assert (runs.domains, runs.targets, runs.seeds) == (("a", "b"), ("a", "b"), ("0", "1"))
    assert runs.tokens_RK.tolist() == [[100, 200], [300, 0]]
    assert np.isnan(runs.losses_RJ[1, 1])


def test_writing_and_reading_gives_the_same_table(tmp_path: Path) -> None:
    runs = read(tmp_path, GOOD)
    runs.to_csv(tmp_path / "again.csv")
    again = RunTable.from_csv(tmp_path / "again.csv")
    assert np.array_equal(again.losses_RJ, runs.losses_RJ, equal_nan=True)
    assert np.array_equal(again.tokens_RK, runs.tokens_RK)
    assert (again.runs, again.seeds) == (runs.runs, runs.seeds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("100", "-100"), r"line 2, column 'tokens:a': '-100'; a token count is a number >= 0"),
        (GOOD.replace("1.25", "nan"), r"line 3, column 'loss:a': 'nan'; a loss is a finite number"),
        (GOOD.replace("1.25", "inf"), r"line 3, column 'loss:a'"),
        (GOOD.replace("1.25", "low"), r"line 3, column 'loss:a': 'low'"),
        (GOOD.replace("300,0", ",0"), r"line 3, column 'tokens:a': the cell is empty"),
        (GOOD.replace("300,0", "0,0").replace("100,200", "0,0"), "no run has any tokens"),
        (GOOD.replace("r1", "r0"), "the run 'r0' is already in line 2"),
        (GOOD.replace("tokens:b", "tokens:a"), "'tokens:a' appears twice"),
        (GOOD.replace("tokens:b", " tokens:a"), "'tokens:a' appears twice"),
        (GOOD.replace("tokens:b", "tokens: "), "'tokens:' without a name"),
        (GOOD.replace("2.5", "1e300"), r"line 2, column 'loss:b': '1e300'"),
        (GOOD.replace("note", "count:b").replace(",x", ",-3"), r"line 2, column 'count:b': '-3'"),
        (GOOD.replace("note", "metric:m").replace(",x", ",-inf"), r"line 2, column 'metric:m': '-inf'"),
        (GOOD.replace("loss:b", "losses:b"), r"has a column 'losses:b', which no run table has. Name it 'loss:b'"),
        (GOOD.replace("tokens:a", "Tokens:a"), r"has a column 'Tokens:a', which no run table has. Name it 'tokens:a'"),
        (GOOD.replace("tokens:", "t_"), "no column 'tokens:<domain>'"),
        (GOOD.replace("loss:", "l_"), "no column 'loss:<target>'"),
        (GOOD + "r2,1,3\n", "line 4: 3 cells, the header has 7"),
        (GOOD.splitlines()[0], "a header and no runs"),
        ("", "is empty"),
    ],
)
def test_a_malformed_table_is_refused_with_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_table_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        RunTable.from_csv(tmp_path / "file" / "runs.csv")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such run table"):
        RunTable.from_csv(tmp_path / "none.csv")


def test_records_become_a_table_and_domains_that_they_lack_have_no_tokens() -> None:
    spec = RunSpec("r0", {"a": 10}, 3)
    record = RunRecord(spec, {"a": 11}, {"a": 5}, {"a": 11}, {"a": TargetLoss(6.0, 4)}, 2, 99)
    runs = RunTable.from_records([RunRecord.from_json(record.to_json())], ["a", "b"], ["a", "b"])
    assert runs.tokens_RK.tolist() == [[11, 0]]
    assert runs.losses_RJ[0, 0] == 1.5
    assert np.isnan(runs.losses_RJ[0, 1])


def test_a_runs_identity_ignores_its_name_and_unused_domains_but_not_what_it_trains_on() -> None:
    inputs = {"model": "m", "data:a": "1", "data:b": "2"}
    spec = RunSpec("x", {"a": 10, "b": 0}, 0, inputs)
    assert spec.id == RunSpec("y", {"a": 10}, 0, inputs | {"data:b": "3"}).id
    for other in (
        RunSpec("x", {"a": 11}, 0, inputs),
        RunSpec("x", {"a": 10}, 1, inputs),
        RunSpec("x", {"a": 10}, 0, inputs | {"data:a": "9"}),
        RunSpec("x", {"a": 10}, 0, inputs | {"model": "n"}),
    ):
        assert other.id != spec.id


def test_a_spec_changed_by_hand_is_refused() -> None:
    value = RunSpec("x", {"a": 10}, 0).to_json()
    value["tokens"] = {"a": 20}
    with pytest.raises(DataError, match="changed by hand"):
        RunSpec.from_json(value)
