"""The column that says what a row of a run table is."""

import numpy as np
import pytest

from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable

COLUMNS = {"run": ["a", "b", "c"], "tokens:x": [1, 2, 3], "loss:x": [3.0, 2.0, 1.5]}


def test_rows_are_true_unless_the_column_says_merged():
    table = RunTable.from_columns(COLUMNS | {"fidelity": ["true", "merged", ""]})
    assert table.fidelity == ("true", "merged", "true") and table.merged_R.tolist() == [False, True, False]
    assert table.take([1, 2]).fidelity == ("merged", "true")
    assert RunTable.from_columns(COLUMNS).merged_R.tolist() == [False] * 3


def test_a_table_of_runs_alone_needs_no_column():
    cells = np.array(["true", None, float("nan")], object)
    table = RunTable.from_columns(COLUMNS | {"fidelity": cells})
    assert table.fidelity == () and "fidelity" not in table.to_rows()[0]


def test_the_column_survives_a_file(tmp_path):
    table = RunTable.from_columns(COLUMNS | {"fidelity": ["true", "merged", "true"]})
    table.to_csv(tmp_path / "runs.csv")
    assert RunTable.from_csv(tmp_path / "runs.csv").fidelity == table.fidelity


def test_another_word_is_refused_with_its_place():
    with pytest.raises(DataError, match=r"row 2, column 'fidelity': 'mergd'; a row is 'true', 'merged' or 'point'"):
        RunTable.from_columns(COLUMNS | {"fidelity": ["true", "mergd", "true"]})
