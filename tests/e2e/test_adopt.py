"""Planned runs trained elsewhere: their results come in from a table, and the rest of the job goes on."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest

import mixlaw
from mixlaw.cli import main
from mixlaw.core.errors import DataError
from mixlaw.trackers.run_lists import RunList
from quick_study import short_fits, trained_here, write_quick_demo

DOMAINS = ("instruction", "math", "code")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was planned, and nothing more."""
    config = write_quick_demo(tmp_path_factory.mktemp("planned"))
    config.write_text(config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n", encoding="utf-8")
    mixlaw.plan(config)
    return config.parent


@pytest.fixture
def config(planned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(planned, tmp_path / "demo") / "mix.yaml"


def results(config: Path) -> list[dict[str, object]]:
    """Return what some tracker would export: its own column names, a row a run."""
    rows = []
    for spec in mixlaw.plan(config).trained:
        total = sum(spec.tokens.values())
        row: dict[str, object] = {"Name": spec.name, "State": "finished"}
        for i, domain in enumerate(DOMAINS):
            effective = spec.tokens[domain] + 0.1 * (i + 1) * (total - spec.tokens[domain])
            row[f"eval/{domain}_loss"] = 1.2 + 3 * math.exp(-0.2 * math.log(effective))
        rows.append(row)
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


LOSSES = {domain: f"eval/{domain}_loss" for domain in DOMAINS}


def test_a_trackers_export_becomes_the_studys_records(config: Path, tmp_path: Path) -> None:
    rows = results(config)
    unfinished = {**rows[-1], **dict.fromkeys(LOSSES.values(), "")}
    table = write(tmp_path / "export.csv", [*rows[:-1], unfinished])
    statuses = mixlaw.adopt(config, table, run_column="Name", losses=LOSSES)
    assert [status.state for status in statuses] == ["done"] * 12 + ["pending"]

    said: list[str] = []
    statuses = mixlaw.adopt(
        config, write(tmp_path / "export.csv", rows), run_column="Name", losses=LOSSES, note=said.append
    )
    assert {status.state for status in statuses} == {"done"}
    assert "1 runs adopted; 12 were already done." in said
    with trained_here(), short_fits():
        result = mixlaw.run(config)
    assert len(result.fit) == 13
    runs = mixlaw.load_runs(config)
    assert runs.losses_RJ[0, 0] == pytest.approx(rows[0]["eval/instruction_loss"], rel=1e-12)
    # Only the same program can measure the base model so that its losses compare.
    told = {"Name": ["base-model"], **{column: [4.0] for column in LOSSES.values()}}
    mixlaw.adopt(config, told, run_column="Name", losses=LOSSES)
    base = mixlaw.load_runs(config)
    assert base.runs[-1] == "base-model" and base.totals_R[-1] == 0 and len(base) == 14


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Name": "elsewhere"}, "'elsewhere' is not planned"),
        ({"Name": "fill-01"}, "appears twice"),
        ({"eval/math_loss": "nan"}, "a loss is a finite number"),
        ({"eval/math_loss": ""}, "a loss is a finite number"),
        ({"eval/math_loss": "-1"}, "a loss is a finite number"),
        ({"eval/math_loss": "20000"}, "a token has at most 10000"),
        ({"tokens:math": "1e12"}, "were planned"),
    ],
)
def test_a_bad_row_is_one_error_and_nothing_is_adopted(
    config: Path, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    rows = results(config)
    change = {key: str(rows[3]["Name"]) if value == "fill-01" else value for key, value in change.items()}
    table = write(
        tmp_path / "export.csv", [{**dict.fromkeys(change, ""), **row} for row in (*rows[:5], {**rows[5], **change})]
    )
    with pytest.raises(DataError, match=f"line 7.*{said}"):
        mixlaw.adopt(config, table, run_column="Name", losses=LOSSES)
    assert not list((config.parent / "study" / "runs").glob("*/record.json"))


def test_missing_columns_and_unknown_domains_are_named(config: Path) -> None:
    rows = results(config)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    with pytest.raises(DataError, match="no column 'run'"):
        mixlaw.adopt(config, columns, losses=LOSSES)
    with pytest.raises(DataError, match="no column 'loss:code'"):
        mixlaw.adopt(config, columns, run_column="Name", losses={d: LOSSES[d] for d in ("instruction", "math")})
    with pytest.raises(DataError, match="no domain 'cod'"):
        mixlaw.adopt(config, columns, run_column="Name", losses=LOSSES | {"cod": "x"})


def test_a_column_by_another_name_is_refused_and_other_forms_are_read(config: Path, tmp_path: Path) -> None:
    rows = results(config)
    for name, right in (("tok:math", "tokens:math"), ("Unique:math", "unique:math")):
        with pytest.raises(DataError, match=f"column '{name}', which adopt does not read. Name it '{right}'"):
            mixlaw.adopt(config, [{**row, name: 5} for row in rows], run_column="Name", losses=LOSSES)
    (tmp_path / "export.jsonl").write_text("\n".join(map(json.dumps, rows[:6])))
    for table, done in ((tmp_path / "export.jsonl", 6), (rows, len(rows))):
        statuses = mixlaw.adopt(config, table, run_column="Name", losses=LOSSES)
        assert sum(status.state == "done" for status in statuses) == done


def list_runs(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], unfinished: int = 0) -> None:
    """Let a tracker's run list hold these rows, their names in the column `run`."""
    columns = {"run" if name == "Name" else name: [row[name] for row in rows] for name in rows[0]}
    found = RunList(columns, [f"team/mixes/{i}" for i in range(len(rows))], unfinished)
    monkeypatch.setattr("mixlaw.api.adopt.fetch_runs", lambda source: found)


def test_a_run_list_gives_the_planned_runs_among_others(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = results(config)
    list_runs(monkeypatch, [*rows, {**rows[0], "Name": "something else"}], unfinished=2)
    losses = ",".join(f"{domain}={column}" for domain, column in LOSSES.items())
    assert main(["adopt", str(config), "wandb:team/mixes", "--loss", losses]) == 0
    said = capsys.readouterr()
    assert "13 done" in said.out
    assert "2 runs of wandb:team/mixes are not finished and were skipped." in said.err
    assert "1 runs of wandb:team/mixes are not in the plan and were skipped." in said.err
    (timing, *_) = (config.parent / "study" / "runs").glob("base-*/timing.json")
    found = json.loads(timing.read_text(encoding="utf-8"))
    assert found.pop("sha256") and found == {"format": 1, "adopted_from": "wandb:team/mixes", "files": {}}


def test_a_run_list_that_does_not_fit_is_one_error_and_nothing_is_adopted(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = results(config)
    list_runs(monkeypatch, [{**row, "Name": f"run {i}"} for i, row in enumerate(rows)])
    with pytest.raises(
        DataError, match="None of the 13 finished runs of wandb:team/mixes is in the plan; their names are 'run 0'"
    ):
        mixlaw.adopt(config, "wandb:team/mixes", losses=LOSSES)
    list_runs(monkeypatch, [*rows, rows[0]])
    with pytest.raises(DataError, match="run team/mixes/13: the run 'base' appears twice"):
        mixlaw.adopt(config, "wandb:team/mixes", losses=LOSSES)
    list_runs(monkeypatch, rows)
    with pytest.raises(DataError, match="no column 'eval/loss'; it has 'run', 'State', 'eval/instruction_loss'"):
        mixlaw.adopt(config, "wandb:team/mixes", losses=LOSSES | {"code": "eval/loss"})
    assert not list((config.parent / "study" / "runs").glob("*/record.json"))
