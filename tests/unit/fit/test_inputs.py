"""The same table is taken, or refused for the same reason, as CSV, JSON, DataFrame and dict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixlaw
from mixlaw.api.numbers import load_runs
from mixlaw.core.errors import DataError, TooFewRuns
from mixlaw.core.runtable import RunTable
from quick_fits import few_folds, points_only

Columns = dict[str, list[Any]]


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(4), points_only():
        yield


def as_csv(columns: Columns, folder: Path) -> Any:
    rows = [",".join(columns)]
    rows += [",".join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path = folder / "runs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def as_json(columns: Columns, folder: Path) -> Any:
    path = folder / "runs.json"
    path.write_text(json.dumps(columns))
    return path


def as_json_rows(columns: Columns, folder: Path) -> Any:
    path = folder / "rows.json"
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text(json.dumps([{k: v for k, v in row.items() if v is not None} for row in rows]))
    return path


def as_frame(columns: Columns, folder: Path) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.read_csv(as_csv(columns, folder))


def as_dict(columns: Columns, folder: Path) -> Any:
    return columns


FORMATS = pytest.mark.parametrize("given", [as_csv, as_json, as_json_rows, as_frame, as_dict])
Given = Callable[[Columns, Path], Any]


def curve() -> Columns:
    sizes = [0, 1000, 2000, 4000, 8000, 16000, 32000, 64000]
    losses: list[Any] = [3.0, 2.8, 2.7, 2.55, 2.4, 2.2, 2.0, None]
    return {"run": [f"r{i}" for i in range(8)], "tokens:math": sizes, "loss:math": losses}


@FORMATS
def test_an_empty_loss_is_a_target_not_measured(given: Given, tmp_path: Path) -> None:
    runs = load_runs(given(curve(), tmp_path))
    assert np.isnan(runs.losses_RJ[:, 0]).tolist() == [False] * 7 + [True]
    assert runs.totals_R[0] == 0


@FORMATS
def test_a_table_of_metrics_alone_is_read_and_its_metric_fitted(given: Given, tmp_path: Path) -> None:
    columns = curve()
    columns["metric:exam"] = [0.1, 0.12, 0.15, 0.2, 0.28, 0.35, 0.42, 0.5]
    del columns["loss:math"]
    source = given(columns, tmp_path)
    assert list(mixlaw.fit(source, law="rectified", metrics={"exam": "higher"}).targets) == ["metric:exam"]
    with pytest.raises(DataError, match=r"no losses \(metrics: exam\)"):
        mixlaw.fit(source)


@FORMATS
def test_one_run_teaches_a_regressor_nothing(given: Given, tmp_path: Path) -> None:
    one = {name: cells[1:2] for name, cells in curve().items()}
    for law in ("ridge", "chinchilla"):
        with pytest.raises(TooFewRuns, match="measured at 1 mixture; "):
            mixlaw.fit(given(one, tmp_path), law=law)


@FORMATS
def test_a_table_without_any_tokens_is_refused(given: Given, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run has any tokens"):
        mixlaw.fit(given(curve() | {"tokens:math": [0] * 8}, tmp_path))


@FORMATS
def test_a_target_that_may_be_a_domain_misspelt_is_named(given: Given, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.uniform(1e5, 1e6, (12, 2))
    losses = 3 * tokens**-0.1 + rng.normal(0, 0.01, (12, 2))
    columns: Columns = {"tokens:math": tokens[:, 0].tolist(), "tokens:code": tokens[:, 1].tolist()}
    columns |= {"loss:math": losses[:, 0].tolist(), "loss:coed": losses[:, 1].tolist()}
    assert any("'coed'" in text and "'code'" in text for text in mixlaw.fit(given(columns, tmp_path)).warnings)
    exam = {name.replace("coed", "exam"): cells for name, cells in columns.items()}
    assert not any("'exam'" in text for text in mixlaw.fit(given(exam, tmp_path), law="pairwise").warnings)


def test_a_loss_that_is_written_as_nan_is_no_empty_cell(tmp_path: Path) -> None:
    columns = curve()
    columns["loss:math"][-1] = "nan"
    with pytest.raises(DataError, match="'nan'; a loss is a finite number"):
        RunTable.from_columns(columns)


def test_json_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    for text, message in (("{", "not readable as JSON"), ("3", "not a run table"), ('{"a": [1], "b": []}', "lengths")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_runs(path)


@pytest.mark.parametrize("law", ["auto", "pairwise", "chinchilla", "exponential"])
def test_runs_that_leave_directions_open_give_a_fit_or_one_error(law: str) -> None:
    half, one = 1.0e6, 2.0e6
    tokens = np.array([[8, 1.5, 1.5, 2], [8, 1.5, 1, 4], [1, 0, 1, 2], [4, 3, 1, 2], [4.9, 1.6, 1.6, 2.1]]) * half
    for repeats, losses in ((1, [3.25, 3.35, 3.1, 3.17, 3.168]), (2, [2.0, 2.1, 2.0, 2.1, 2.05])):
        table = RunTable(
            tuple(f"r{i}" for i in range(5 * repeats)),
            ("a", "b", "c", "d"),
            ("t",),
            np.tile(tokens, (repeats, 1)) * one / half,
            np.tile(np.array(losses)[:, None], (repeats, 1)),
        )
        try:
            fit = mixlaw.fit(table, law=law)
        except mixlaw.MixlawError:
            continue
        assert np.isfinite(fit.predict(table).mean).all()
