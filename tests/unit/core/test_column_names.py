"""No column that changes a fit is left out unsaid, and no table with columns of the user's own is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixlaw.api.numbers import load_runs
from mixlaw.core.errors import DataError
from table_formats import FORMATS, Columns, as_dict

R = 4


def table() -> Columns:
    return {
        "run": [f"r{i}" for i in range(R)],
        "tokens:a": [1000, 2000, 3000, 4000],
        "tokens:b": [4000, 3000, 2000, 1000],
        "loss:a": [2.0, 1.9, 1.8, 1.7],
        "loss:b": [1.7, 1.8, 1.9, 2.0],
    }


def without(name: str) -> Columns:
    return {column: cells for column, cells in table().items() if column != name}


MISREAD = [
    # columns before, the column by another name, its cells, the right name
    (table(), "tok:c", [1, 2, 3, 4], "tokens:c"),
    (table(), "n_tokens:c", [1, 2, 3, 4], "tokens:c"),
    (table(), "token:c", [1, 2, 3, 4], "tokens:c"),
    (table(), "Val Loss:c", [1, 2, 3, 4], "loss:c"),
    (without("loss:b"), "val_loss:b", [1, 2, 3, 4], "loss:b"),
    (without("loss:b"), "eval:b", [1, 2, 3, 4], "loss:b"),
    (without("loss:b"), "loss_b", [1, 2, 3, 4], "loss:b"),
    (without("loss:b"), "eval/b_loss", [1, 2, 3, 4], "loss:b"),
    (without("tokens:b"), "tokens_b", [1, 2, 3, 4], "tokens:b"),
    (table(), "unique_a", [1, 2, 3, 4], "unique:a"),
    (table(), "available:a", [9, 9, 9, 9], "unique:a"),
    (table(), "Params", [7e6] * R, "params"),
    (table(), "parms", [7e6, 7e6, 9e6, 9e6], "params"),
    (table(), "n_params", [7e6, 7e6, 9e6, 9e6], "params"),
    (table(), "checkpoint-of", ["r0", "r0", "r2", "r2"], "checkpoint_of"),
    (table(), "Checkpoint Of", ["r0", "r0", "r2", "r2"], "checkpoint_of"),
    (table(), "fidelty", ["true", "true", "merged", "merged"], "fidelity"),
    (table(), "Study", ["x", "x", "y", "y"], "study"),
    (table(), "stduy", ["x", "x", "y", "y"], "study"),
    (table(), "seeds", [0, 0, 1, 1], "seed"),
]


@FORMATS
@pytest.mark.parametrize(("columns", "name", "cells", "right"), MISREAD, ids=[case[1] for case in MISREAD])
def test_a_known_column_by_another_name_is_refused_with_its_right_name(
    given: Any, columns: Columns, name: str, cells: list[Any], right: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load_runs(given(columns | {name: cells}, tmp_path))
    assert f"has a column '{name}', which no run table has" in caught.value.message
    assert f"Name it '{right}', or " in caught.value.hint


TEXTS = "comment git_sha Notes Tags State User Sweep Name ID error_message checkpoint config.seed data_seed params.lr"
NUMBERS = (
    "gpu_hours Runtime speed rank lr learning_rate _step epoch tokens_total tokens_per_second train/loss loss_scale "
    "eval/loss eval/a_loss loss_a train_loss:a weight:a epochs:a eval:lr count_rows unique_rows metric_for_best_model"
)
OWN: Columns = {
    **{name: ["x"] * R for name in TEXTS.split()},
    **{name: [1, 2, 3, 4] for name in NUMBERS.split()},
    "model_size": ["7B"] * R,
}


@FORMATS
def test_columns_of_the_users_own_are_allowed_and_listed(given: Any, tmp_path: Path) -> None:
    runs = load_runs(given(table() | OWN, tmp_path))
    assert set(runs.unused) == set(OWN)
    assert (runs.domains, runs.targets) == (("a", "b"), ("a", "b"))
    assert f"Columns that no fit reads: comment, git_sha, Notes, Tags, State, User and {len(OWN) - 6} more." in str(
        runs
    )
    assert runs.take([0, 1]).unused == runs.unused


@FORMATS
def test_distinct_tokens_of_some_domains_only_are_refused(given: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'unique:a', but not 'unique:b'; distinct tokens are needed of all") as caught:
        load_runs(given(table() | {"unique:a": [500] * R}, tmp_path))
    assert "Add unique:b" in caught.value.hint
    assert load_runs(given(table() | {"unique:a": [500] * R, "unique:b": [500] * R}, tmp_path)).unique_RK is not None


@FORMATS
def test_counts_of_some_targets_only_are_listed_as_unused(given: Any, tmp_path: Path) -> None:
    runs = load_runs(given(table() | {"count:a": [500] * R}, tmp_path))
    assert (runs.counts_RJ, runs.unused) == (None, ("count:a",))


@FORMATS
def test_spaces_around_names_and_colons_do_not_count(given: Any, tmp_path: Path) -> None:
    columns = {name.replace(":", " : ") + " ": cells for name, cells in (table() | {"params": [7e6] * R}).items()}
    runs = load_runs(given(columns, tmp_path))
    assert (runs.domains, runs.targets, runs.unused) == (("a", "b"), ("a", "b"), ())
    assert runs.params_R is not None


def test_an_empty_column_by_another_name_tells_a_fit_nothing() -> None:
    assert load_runs(table() | {"Params": [None] * R}).unused == ("Params",)


def test_of_a_column_and_one_by_another_name_one_must_go() -> None:
    with pytest.raises(DataError, match=r"column 'losses:b'.* 'loss:b' is there as well: delete one of them"):
        load_runs(table() | {"losses:b": [1, 2, 3, 4]})
    with pytest.raises(DataError, match=r"column 'Params'.* 'params' is there as well: delete one of them"):
        load_runs(table() | {"params": [7e6] * R, "Params": [7e6] * R})


def test_columns_of_several_tables_that_no_fit_reads_are_listed_once() -> None:
    other = as_dict({**table(), "run": ["s0", "s1", "s2", "s3"], "comment": ["x"] * R}, Path())
    assert load_runs([table() | {"comment": ["y"] * R}, other]).unused == ("comment",)
