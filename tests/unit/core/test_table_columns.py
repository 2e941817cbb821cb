"""A run table is read from whatever has named columns; everything else is one error that says what to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlaw.api.numbers import load_runs
from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from table_formats import FORMATS, Columns, rows_of

COLUMNS: Columns = {
    "run": ["r0", "r1", "r2"],
    "tokens:a": [1000, 2000, 3000],
    "loss:a": [2.0, 1.9, 1.8],
    "loss:b": [1.5, None, 1.4],
}


@FORMATS
def test_every_form_gives_the_same_table(given: Any, tmp_path: Path) -> None:
    runs = load_runs(given(COLUMNS, tmp_path))
    assert (runs.runs, runs.domains, runs.targets) == (("r0", "r1", "r2"), ("a",), ("a", "b"))
    assert runs.tokens_RK.tolist() == [[1000], [2000], [3000]]
    assert np.array_equal(runs.losses_RJ, [[2.0, 1.5], [1.9, np.nan], [1.8, 1.4]], equal_nan=True)


def test_an_index_of_pandas_that_is_a_column_of_a_run_table_is_one() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS | {"study": ["x", "x", "y"]})
    assert load_runs(frame.set_index("run")).runs == ("r0", "r1", "r2")
    assert load_runs(frame.set_index(["study", "run"])).study == ("x", "x", "y")
    assert load_runs(frame.set_index("run", drop=False)).runs == ("r0", "r1", "r2")


def test_a_record_may_have_a_list_for_a_note() -> None:
    assert load_runs([row | {"tags": ["x", "y"]} for row in rows_of(COLUMNS)]).unused == ("tags",)


def test_several_dicts_of_columns_are_still_several_studies() -> None:
    other = COLUMNS | {"run": ["s0", "s1", "s2"]}
    assert load_runs([COLUMNS, other]).studies == ("study 1", "study 2")


def no_tables() -> list[Any]:
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame(COLUMNS)
    named = "cannot be read from .*; its columns must have names. Give a path, a DataFrame, a dict with one list per"
    return [
        (None, named),
        (5, named),
        (b"run", named),
        (np.ones((3, 2)), named),
        (twice["loss:a"], named),
        ([None], named),
        ([np.ones(3)], named),
        ([], "There are no runs: the list is empty"),
        ({"tokens:a": 1000, "loss:a": 2.0}, "column 'tokens:a' is 1000, which is no list; a column has one value per"),
        ({"tokens:a": "1000", "loss:a": "2"}, "column 'tokens:a' is '1000', which is no list"),
        ({"tokens:a": np.ones((3, 2)), "loss:a": [1, 2, 3]}, "column 'tokens:a' is a value of type ndarray, which is"),
        ({"tokens:a": {1, 2}, "loss:a": [1, 2]}, "column 'tokens:a' is {1, 2}, which is no list"),
        (COLUMNS | {"loss:a": [2.0]}, "different lengths: 'loss:a' has 1 and 'run' has 3 values"),
        (COLUMNS | {"loss:a": []}, "different lengths: 'loss:a' has 0"),
        (pandas.concat([twice, twice], axis=1), "the column 'run' appears twice"),
        (COLUMNS | {" loss:a": [1, 2, 3]}, "the column 'loss:a' appears twice"),
        ({}, "no column 'tokens:<domain>'; it has none"),
        (pandas.DataFrame(), "no column 'tokens:<domain>'; it has none"),
        ([{}], "no column 'tokens:<domain>'; it has none"),
        (COLUMNS | {"loss:a": [[1], [2], [3]]}, r"row 1, column 'loss:a': \[1\]; a loss is a finite number"),
        (COLUMNS | {"tokens:a": [10**400, 1, 1]}, "row 1, column 'tokens:a': 1000"),
    ]


@pytest.mark.parametrize("case", range(21))
def test_what_is_no_run_table_is_one_error_with_a_remedy(case: int) -> None:
    value, words = no_tables()[case]
    with pytest.raises(DataError, match=words) as caught:
        load_runs(value)
    assert caught.value.hint


def test_a_table_that_says_what_to_predict_needs_no_losses() -> None:
    table = RunTable.from_columns({"tokens:a": [0, 0], "unique:a": [1, 1]}, losses=False)
    assert (table.targets, len(table)) == ((), 2)
    with pytest.raises(DataError, match="no column 'loss:<target>'"):
        RunTable.from_columns({"tokens:a": [0, 0]})
