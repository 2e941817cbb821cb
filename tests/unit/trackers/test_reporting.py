"""Every finished run is told to every tracker once, whatever a tracker does; the study has the last word."""

import sys
import tomllib
from pathlib import Path

import pytest

from mixlaw.config.trackers import TRACKERS as CONFIGURED
from mixlaw.core.errors import MissingExtra
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study
from mixlaw.trackers import PACKAGES, TRACKERS, reporting
from mixlaw.trackers.reporting import Reporter, logged_run
from mixlaw.trackers.tracker import require

SPECS = [RunSpec(name, {"code": 1000 * (i + 1), "math": 500}, 0) for i, name in enumerate(("a", "b", "c"))]


class Fake:
    """Remembers the runs it was told, and fails while it is told to."""

    told: list[str]
    broken = False

    def __init__(self, folder, study):
        if Fake.broken:
            raise OSError("no network")

    def write(self, run):
        sys.stdout.write("chatter")
        if Fake.broken:
            raise OSError("no network")
        Fake.told.append(run.name)


class Broken(Fake):
    def write(self, run):
        raise ValueError("a server\nthat says no")


@pytest.fixture
def study(tmp_path, monkeypatch):
    Fake.told, Fake.broken = [], False
    monkeypatch.setitem(TRACKERS, "wandb", Fake)
    monkeypatch.setitem(TRACKERS, "mlflow", Broken)
    monkeypatch.setattr(reporting, "require_packages", lambda names: None)
    study = Study(tmp_path / "support-bot")
    study.save_plan(SPECS)
    return study


def finish(study, spec, steps=4):
    lease = study.claim(spec)
    lines = [f'{{"step": {i + 1}, "steps": {steps}, "loss": {2 / (i + 1)}}}\n' for i in range(steps)]
    (study.run_folder(spec) / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    losses = {"code": TargetLoss(30.0, 20), "math": TargetLoss(8.0, 10)}
    study.complete(spec, RunRecord(spec, spec.tokens, {}, spec.tokens, losses, steps, 7), {"wall_s": 1.5})
    lease.release()


def reporter(study, names=("wandb",), notes=None):
    return Reporter(names, study, {"train": {"learning_rate": 1e-3}}, (notes if notes is not None else []).append)


def test_the_names_of_the_configuration_are_the_trackers_and_the_extras():
    extras = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert tuple(TRACKERS) == CONFIGURED == tuple(PACKAGES)
    assert set(TRACKERS) <= set(extras)


def test_what_is_logged_is_what_the_files_say(study):
    finish(study, SPECS[0])
    run = logged_run(study, study.record(SPECS[0]), "support-bot", {"train": {"learning_rate": 1e-3}})
    assert run.key == SPECS[0].id and run.name == "a" and run.group == "support-bot"
    assert run.curve[0] == (1, {"train/loss": 2.0, "train/tokens": 375.0})
    assert run.curve[-1] == (4, {"train/loss": 0.5, "train/tokens": 1500.0}) and run.last_step == 4
    assert run.final == {
        "loss/code": 1.5,
        "count/code": 20,
        "loss/math": 0.8,
        "count/math": 10,
        "tokens/code": 1000,
        "tokens/math": 500,
        "unique_tokens/code": 1000,
        "unique_tokens/math": 500,
        "steps": 4,
        "parameters": 7,
        "wall_s": 1.5,
    }
    assert run.config["tokens"] == {"code": 1000, "math": 500} and run.config["train"] == {"learning_rate": 1e-3}


def test_runs_are_told_as_they_finish_and_once(study, capsys):
    finish(study, SPECS[0])
    events = []
    with reporter(study).following(study, SPECS, events.append) as follow:
        assert Fake.told == ["a"]
        finish(study, SPECS[1])
        follow(RunEvent("started", "b"))
        follow(RunEvent("finished", "b"))
        assert Fake.told == ["a", "b"] and [event.kind for event in events] == ["started", "finished"]
        finish(study, SPECS[2])  # by another process
    assert Fake.told == ["a", "b", "c"]
    with reporter(study).following(study, SPECS, None):
        pass
    assert Fake.told == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_a_tracker_that_fails_is_one_sentence_and_is_caught_up_later(study):
    notes = []
    for spec in SPECS:
        finish(study, spec)
    before = {path: path.read_bytes() for path in study.runs_folder.rglob("*") if path.is_file()}
    now = reporter(study, ("mlflow", "wandb"), notes)
    now.report(study, SPECS)
    now.report(study, SPECS)
    assert len(notes) == 1 and "report_to: mlflow failed (ValueError: a server that says no)" in notes[0]
    assert Fake.told == ["a", "b", "c"]
    assert {path: path.read_bytes() for path in study.runs_folder.rglob("*") if path.is_file()} == before
    TRACKERS["mlflow"] = Fake
    reporter(study, ("mlflow", "wandb")).report(study, SPECS)
    assert Fake.told == ["a", "b", "c"] * 2


def test_a_folder_that_cannot_be_written_is_one_sentence(study):
    finish(study, SPECS[0])
    (study.folder / "trackers").write_text("a file", encoding="utf-8")
    notes = []
    reporter(study, notes=notes).report(study, SPECS)
    assert len(notes) == 1 and Fake.told == []


def test_a_failed_start_is_one_sentence_too(study):
    finish(study, SPECS[0])
    notes, Fake.broken = [], True
    reporter(study, notes=notes).report(study, SPECS)
    assert len(notes) == 1 and "OSError: no network" in notes[0]


def test_values_are_told_once_for_the_same_content(study):
    for loss in (1.0, 1.0, 2.0, float("nan")):
        reporter(study).report_values("solution", {"law": "transfer"}, {"total_loss": loss})
    assert Fake.told == ["solution"] * 3


def test_without_trackers_nothing_is_written(study):
    finish(study, SPECS[0])
    with reporter(study, ()).following(study, SPECS, None) as follow:
        follow(RunEvent("finished", "a"))
    assert not (study.folder / "trackers").exists()


def test_a_folder_named_like_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "nosuchtracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra):
        require("nosuchtracker", "wandb", "report_to: wandb")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_said_before_any_training(name, tmp_path, monkeypatch):
    monkeypatch.setattr("mixlaw.trackers.tracker.find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=rf'report_to: {name} needs .*pip install "mixlaw\[{name}\]"'):
        Reporter([name], Study(tmp_path), {}, print)
