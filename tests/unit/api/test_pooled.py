"""Which studies may be fitted together, and how their run tables become one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw
from law_runs import TRANSFER, run_table
from mixlaw.core.errors import DataError
from mixlaw.core.run import BASE, RunRecord, RunSpec, TargetLoss
from mixlaw.laws.transfer import Transfer
from mixlaw.study.store import Study

INPUTS = {"model": "m", "train": "slow"} | {f"{kind}:{d}": kind + d for d in "abc" for kind in ("data", "validation")}


def write_study(folder: Path, seed: int, shift: float = 0.0, **inputs: str) -> Path:
    """Write a study of eight finished runs and the base model."""
    table, study = run_table(Transfer, TRANSFER, 8, 0.002, seed), Study(folder)
    given = INPUTS | {key.replace("__", ":"): value for key, value in inputs.items()}
    specs = [
        RunSpec(f"run-{i}", dict(zip("abc", map(int, row), strict=True)), 0, given)
        for i, row in enumerate(table.tokens_RK)
    ]
    base = RunSpec("base-model", dict.fromkeys("abc", 0), 0, given, BASE)
    study.save_plan([*specs, base])
    for spec, losses_J in zip([*specs, base], [*table.losses_RJ + shift, np.full(3, 4.0)], strict=True):
        losses = {d: TargetLoss(1000 * float(loss), 1000) for d, loss in zip("abc", losses_J, strict=True)}
        lease = study.claim(spec)
        assert lease is not None
        study.complete(spec, RunRecord(spec, spec.tokens, {}, spec.tokens, losses, 1, 10), {})
        lease.release()
    return folder


def test_studies_that_differ_in_training_settings_become_one_table(tmp_path):
    first = write_study(tmp_path / "slow", 3)
    other = write_study(tmp_path / "fast", 5, 0.1, train="fast")
    table = mixlaw.load_runs([first, other])
    assert table.study == ("slow",) * 9 + ("fast",) * 8  # the base model, once
    assert table.runs[0] == "slow/run-0" and table.runs[-1] == "fast/run-7"
    assert (table.totals_R == 0).sum() == 1
    fitted = mixlaw.fit([first, other], law="transfer")
    assert all(abs(shift["mean"] - 0.1) < 4 * shift["sd"] for shift in fitted.runs.shifts["fast"].values())


def test_one_source_in_a_list_is_that_source(tmp_path):
    assert mixlaw.load_runs([write_study(tmp_path / "one", 3)]).study == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "n"}, "the base model"),
        ({"data__b": "x"}, "the training rows of 'b'"),
        ({"validation__c": "x"}, "the validation rows of 'c'"),
    ],
)
def test_another_model_or_other_data_are_refused(tmp_path, changed, said):
    studies = [write_study(tmp_path / "one", 3), write_study(tmp_path / "two", 5, **changed)]
    with pytest.raises(DataError, match=f"'one' and 'two' differ in {said}"):
        mixlaw.fit(studies)


def test_tables_and_studies_may_have_domains_of_their_own(tmp_path):
    study = write_study(tmp_path / "one", 3)
    rows = [{"run": f"r{i}", "tokens:a": 1e5 * (i + 1), "tokens:d": 2e5, "loss:a": 2 - 0.1 * i} for i in range(4)]
    (tmp_path / "more.json").write_text(json.dumps(rows))
    table = mixlaw.load_runs([study, tmp_path / "more.json"])
    assert table.domains == ("a", "b", "c", "d") and table.targets == ("a", "b", "c")
    assert table.tokens_RK[-1].tolist() == [4e5, 0, 0, 2e5] and table.tokens_RK[0, 3] == 0
    assert np.isnan(table.losses_RJ[-1, 1:]).all()
    assert table.unique_RK is not None and table.unique_RK[-1].tolist() == [4e5, 0, 0, 2e5]


def test_what_cannot_be_told_apart_or_joined_is_refused(tmp_path):
    study = write_study(tmp_path / "one", 3)
    with pytest.raises(DataError, match="is given twice"):
        mixlaw.load_runs([study, study])
    (tmp_path / "far.json").write_text(json.dumps([{"run": "r", "tokens:x": 1e5, "loss:x": 2.0}]))
    with pytest.raises(DataError, match="'far' has the domains x, and none of 'one'"):
        mixlaw.load_runs([study, tmp_path / "far.json"])
