"""A cell that a spreadsheet would take for a formula is written as text, and is read back as it was."""

import csv

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable

NAMES = ["=1+1", "+a", "-a", "@a", "'=a", "'a", "a=b", "''@x", "plain"]


@pytest.fixture
def path(tmp_path):
    table = RunTable.from_columns(
        {"run": NAMES, "tokens:a": [10] * len(NAMES), "loss:a": [1.5] * len(NAMES), "metric:m": [-0.5] * len(NAMES)}
    )
    table.to_csv(tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def test_no_text_begins_like_a_formula(path):
    cells = [row["run"] for row in csv.DictReader(path.open())]
    assert not [cell for cell in cells if cell[0] in "=+-@"] and "plain" in cells and "a=b" in cells


def test_the_table_is_read_back_as_it_was(path):
    back = RunTable.from_csv(path)
    assert list(back.runs) == NAMES
    assert np.array_equal(back.metrics["m"], [-0.5] * len(NAMES))
