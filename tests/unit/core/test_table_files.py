"""Files of run tables: what can be read without guessing is read, and the rest is one error with a remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlaw.api import numbers
from mixlaw.api.numbers import load_fit, load_runs
from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from planted_fits import planted_fit, two_runs
from table_formats import Columns, rows_of, text_of, written

COLUMNS: Columns = {
    "run": [f"r{i}" for i in range(8)],
    "tokens:a": [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000],
    "loss:a": [2.8, 2.7, 2.55, 2.4, 2.2, 2.0, 1.85, 1.7],
    "note, mine": ["x; y"] * 8,
}
PLAIN = {name: cells for name, cells in COLUMNS.items() if name != "note, mine"}
JSON, ROWS = json.dumps(COLUMNS), json.dumps(rows_of(COLUMNS))
LINES = "\n".join(map(json.dumps, rows_of(COLUMNS)))
QUOTED = {'"note, mine"' if "," in name else name: cells for name, cells in COLUMNS.items()}
READ = {
    "runs.csv": text_of(QUOTED),
    "runs.TSV": text_of(COLUMNS, "\t"),
    "semicolons.csv": text_of(COLUMNS | {"note, mine": ['"x; y"'] * 8}, ";"),
    "tabs.csv": text_of(COLUMNS, "\t"),
    "runs.txt": text_of(QUOTED),
    "runs": text_of(COLUMNS, "\t"),
    "spreadsheet.csv": "\ufeff" + text_of(COLUMNS | {"note, mine": ['"x; y"'] * 8}, ";"),
    "runs.JSON": JSON,
    "rows.json": ROWS,
    "mark.json": "\ufeff" + JSON,
    "pretty.json": json.dumps(COLUMNS, indent=2),
    "runs.jsonl": LINES,
    "runs.JSONL": LINES + "\n\n",
    "runs.ndjson": "\ufeff" + LINES,
    "lines.json": LINES,
    "rows.jsonl": ROWS,
    "json.txt": JSON,
    "rows.txt": ROWS,
}


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_whatever_stands_between_its_cells(name: str, tmp_path: Path) -> None:
    runs = load_runs(written(tmp_path, name, READ[name]))
    assert runs.tokens_RK[:, 0].tolist() == COLUMNS["tokens:a"]
    assert runs.losses_RJ[:, 0].tolist() == COLUMNS["loss:a"]
    assert runs.unused == ("note, mine",)


@pytest.mark.parametrize("name", ["runs.txt", "runs", "runs.TSV", "runs.JSON", "mark.json", "lines.json", "rows.txt"])
def test_a_fit_is_made_of_a_table_whatever_its_file_is_called(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(numbers, "fit_law", lambda runs, *_: runs)
    assert load_fit(written(tmp_path, name, READ[name])).tokens == {"a": COLUMNS["tokens:a"]}


def test_a_fit_is_read_from_its_file_whatever_that_is_called(tmp_path: Path) -> None:
    point = {"C": 1.0, "k": 0.3, "alpha": 0.6, "beta": 0.2, "E": 0.5}
    fit = planted_fit("transfer", two_runs("ab", "a"), {"a": point}, {"a": np.ones((4, 5))})
    for name in ("fit.json", "fit.JSON", "fit.txt", "fit"):
        fit.save(tmp_path / name)
        assert load_fit(tmp_path / name).parameters == {"a": point}
    with pytest.raises(DataError, match=r"No such file: .*none.json"):
        load_fit(tmp_path / "none.json")


REFUSED = [
    ("pipes.csv", text_of(PLAIN, "|"), "no column 'tokens:<domain>'.* must be commas, semicolons or tabs"),
    ("decimals.csv", text_of(PLAIN, ";").replace("2.55", "2,55"), "'2,55'; .* Write a point before decimals and noth"),
    ("thousands.csv", text_of(PLAIN, ";").replace("128000", "128,000"), "'128,000'; .* nothing between thousands"),
    ("ragged.csv", "run,tokens:a,loss:a\nr0,1,2\nr1,1,2,3\n", "line 3: 4 cells, the header has 3"),
    ("ragged2.csv", "run;tokens:a;loss:a\nr0;1;2\nr1;1;2;3\n", "line 3: 4 cells, the header has 3"),
    ("broken.jsonl", LINES + "\n{", "line 9 is not readable as JSON: .* Write one object per run and line"),
    ("broken.json", "{", "is not readable as JSON"),
    ("deep.json", "[" * 100_000, "is not readable as JSON"),
    ("empty.json", "[]", "has no runs"),
    ("empty.jsonl", "", "has no runs"),
    ("pandas.json", json.dumps({"tokens:a": {"0": 1}}), "is not a run table. .*orient='records' in pandas"),
    ("three.json", "3", "is not a run table"),
]


@pytest.mark.parametrize(("name", "text", "words"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_file_that_cannot_be_read_is_one_error_with_a_remedy(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        load_runs(written(tmp_path, name, text))


@pytest.mark.parametrize("name", ["runs.csv", "runs.tsv", "runs.JSON", "runs.jsonl", "runs.txt"])
def test_a_table_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"No such run table: .*{name}"):
        load_runs(tmp_path / name)


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "None", "N/A", "-"])
def test_a_loss_that_is_no_number_is_told_apart_from_one_that_was_not_measured(value: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"'{value}'; a loss is a finite number") as caught:
        load_runs(written(tmp_path, "runs.csv", READ["runs.csv"].replace("2.55", value)))
    assert caught.value.hint.startswith("Leave the cell empty if it was not measured, or delete that run")


def test_empty_lines_before_the_header_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\n , \n\nrun;tokens:a;loss:a\nx;5;1.5\ny;7;oops\n".replace(" , ", ""))
    with pytest.raises(DataError, match="line 6, column 'loss:a': 'oops'"):
        load_runs(path)
    path.write_text("\n\n")
    with pytest.raises(DataError, match="is empty"):
        load_runs(path)


def test_true_is_no_number_of_tokens() -> None:
    with pytest.raises(DataError, match="row 1, column 'tokens:a': True; a token count"):
        load_runs({"run": ["x"], "tokens:a": [True], "loss:a": [1.5]})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"tokens_RK": np.array([[1.0, 2.0], [np.nan, 2.0]])}, "tokens_RK has nan for run 'y'"),
        ({"tokens_RK": np.array([[1.0, 2.0], [-3.0, 2.0]])}, "tokens_RK has -3.0 for run 'y'"),
        ({"tokens_RK": [[1.0, 2.0], [3.0, 2.0]]}, "tokens_RK is list; it must be an array of shape"),
        ({"losses_RJ": np.ones((1, 1))}, r"losses_RJ is an array of shape \(1, 1\); it must be"),
        ({"losses_RJ": np.array([[1.0], [np.inf]])}, "losses_RJ has inf for run 'y'"),
        ({"losses_RJ": np.array([[-1.0], [2.0]])}, "losses_RJ has -1.0 for run 'x'"),
        ({"domains": ("a", "a")}, "has the domain 'a' twice"),
    ],
)
def test_a_table_made_by_a_program_is_held_to_the_same_rules(part: dict[str, Any], words: str) -> None:
    sound = RunTable(("x", "y"), ("a", "b"), ("a",), np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([[1.5], [np.nan]]))
    assert load_runs(sound) is sound
    with pytest.raises(DataError, match=words):
        load_runs(replace(sound, **part))
