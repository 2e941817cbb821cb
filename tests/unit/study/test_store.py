import dataclasses
import json
import logging
import os

import pytest

from mixlaw.core.errors import DataError, RunFailed, StudyError
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.study.leases import machine
from mixlaw.study.store import Study


def record_of(spec):
    return RunRecord(spec, dict(spec.tokens), {}, {}, {"math": TargetLoss(12.5, 10, 30)}, 3, 1000)


def test_the_plan_round_trips(planned):
    study, specs = planned
    assert study.load_plan() == specs
    assert [status.state for status in study.status()] == ["pending", "pending"]
    assert study.pending(specs) == [specs[1], specs[0]]  # longest first


def test_a_completed_run_is_done_and_its_record_round_trips(planned):
    study, (spec, other) = planned
    lease = study.claim(spec)
    assert study.status([spec])[0].state == "running" and study.claim(spec) is None
    study.complete(spec, record_of(spec), {"wall_s": 1.5})
    assert study.status([spec])[0].state == "done" and study.status([spec])[0].wall_s == 1.5
    assert study.claim(spec) is None
    lease.release()
    assert study.records() == [record_of(spec)] and study.pending([spec, other]) == [other]


def test_a_changed_setting_makes_another_run_of_it(planned):
    study, (spec, _) = planned
    study.claim(spec)
    study.complete(spec, record_of(spec), {})
    changed = dataclasses.replace(spec, inputs={**spec.inputs, "train": "f" * 64})
    assert study.status([changed])[0].state == "pending"


def test_a_record_of_another_id_in_the_runs_folder_is_not_used(planned, caplog):
    study, (spec, other) = planned
    study.claim(spec)
    study.complete(spec, record_of(spec), {})
    path = study.run_folder(spec) / "record.json"
    path.write_text(json.dumps(record_of(other).to_json()))
    with caplog.at_level(logging.WARNING):
        assert study.status([spec])[0].state == "running" and study.record(spec) is None
    assert "trained again" in caplog.text
    with pytest.raises(StudyError, match="returned the record of run"):
        study.complete(spec, record_of(other), {})


@pytest.mark.parametrize("content", ["", '{"spec": {"na', "[]", "null", '{"spec": {}}'])
def test_a_damaged_record_counts_as_not_done_and_the_run_can_be_claimed_again(planned, content, caplog):
    study, (spec, _) = planned
    lease = study.claim(spec)
    study.complete(spec, record_of(spec), {})
    lease.release()
    (study.run_folder(spec) / "record.json").write_text(content)
    (status,) = study.status([spec])
    assert status.state == "pending" and "cannot be used" in status.reason and "trained again" in caplog.text
    assert study.claim(spec) is not None
    study.complete(spec, record_of(spec), {})
    assert study.records([spec]) == [record_of(spec)]


def test_a_failed_run_says_why_and_returns_to_pending_when_asked(planned):
    study, (spec, other) = planned
    for one, retry in ((spec, False), (other, True)):
        study.claim(one).release()
        study.fail(one, RunFailed("It diverged.", "Lower it."), retry=retry)
    assert [(s.state, s.reason) for s in study.status()] == [("failed", "It diverged. Lower it.")] * 2
    assert study.claim(spec) is None and study.pending([spec, other]) == []
    study.clear_failures([spec, other])
    assert [s.state for s in study.status()] == ["failed", "pending"]
    study.clear_failures([spec, other], everything=True)
    assert [s.state for s in study.status()] == ["pending", "pending"]


def test_an_unforeseen_error_is_recorded_with_its_type(planned):
    study, (spec, _) = planned
    study.claim(spec).release()
    study.fail(spec, ZeroDivisionError("by zero"), retry=True)
    assert study.failure(spec)["message"] == "ZeroDivisionError: by zero."


def test_a_lease_that_its_owner_could_not_finish_writing_is_taken_over(planned):
    study, (spec, _) = planned
    study.run_folder(spec).mkdir(parents=True)
    (study.run_folder(spec) / "lease.json").touch()
    (study.run_folder(spec) / ".record.json.abc.tmp").touch()
    assert study.claim(spec) is not None
    assert sorted(p.name for p in study.run_folder(spec).iterdir()) == ["lease.json", "spec.json"]


def test_leases_of_dead_processes_are_released(planned):
    study, (spec, other) = planned
    alive = study.claim(other)
    study.run_folder(spec).mkdir(parents=True)
    owner = {"machine": machine(), "pid": 2**30, "started": "1", "token": "x"}
    (study.run_folder(spec) / "lease.json").write_text(json.dumps(owner))
    study.release_dead()
    assert not (study.run_folder(spec) / "lease.json").exists() and alive.held


def test_a_running_run_shows_its_last_step(planned):
    study, (spec, _) = planned
    study.claim(spec)
    line = json.dumps({"step": 3, "steps": 12, "loss": 1.25})
    (study.run_folder(spec) / "metrics.jsonl").write_text(line + '\n{"step": 4, "st')
    (status,) = study.status([spec])
    assert (status.state, status.step, status.steps, status.loss) == ("running", 3, 12, 1.25)
    assert status.eta_s is not None


def test_names_that_a_file_system_refuses_get_a_safe_folder_of_their_own(tmp_path):
    study = Study(tmp_path)
    names = ["a/b", "a_b", "..", "x" * 300, "ä ö"]
    folders = [study.run_folder(RunSpec(name, {"d": 1 + i}, 0)) for i, name in enumerate(names)]
    assert len(set(folders)) == len(names)
    assert all(folder.parent == study.runs_folder and len(folder.name) < 200 for folder in folders)


def test_two_runs_with_one_name_are_refused(tmp_path):
    with pytest.raises(StudyError, match="two runs with the name 'a'"):
        Study(tmp_path / "s").save_plan([RunSpec("a", {"d": 1}, 0), RunSpec("a", {"d": 2}, 0)])


def test_a_plan_that_is_missing_or_damaged_is_one_clear_error(tmp_path):
    study = Study(tmp_path / "s").create()
    with pytest.raises(StudyError, match=r"no plan.json"):
        study.load_plan()
    study.plan_path.write_text("{}")
    with pytest.raises(DataError, match="'runs' is missing"):
        study.load_plan()
    study.plan_path.write_text('{"runs": [')
    with pytest.raises(DataError, match="not valid JSON"):
        study.load_plan()


def test_a_folder_that_cannot_be_written_is_a_study_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="cannot be written"):
        Study(tmp_path / "file" / "study").create()


def test_a_full_disk_is_a_study_error_and_leaves_no_record(planned, monkeypatch):
    study, (spec, _) = planned
    study.claim(spec)

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudyError, match="No space left"):
        study.complete(spec, record_of(spec), {})
    assert [p.name for p in study.run_folder(spec).iterdir() if "record" in p.name] == []


def test_the_trainers_configuration_round_trips_and_its_folders_move_with_the_study(planned, tiny_config, tmp_path):
    study, _ = planned
    assert study.load_trainer() == tiny_config
    inside = dataclasses.replace(tiny_config, train_rows={"math": study.folder / "rows" / "math"})
    study.save_trainer(inside)
    assert json.loads(study.trainer_path.read_text())["train_rows"] == {"math": "rows/math"}
    moved = Study(study.folder.rename(tmp_path / "moved"))
    assert moved.load_trainer().train_rows == {"math": tmp_path / "moved" / "rows" / "math"}


def test_other_settings_are_refused_while_another_process_trains(planned, tiny_config):
    study, (spec, _) = planned
    lease = study.claim(spec)
    other = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, learning_rate=1e-4))
    study.save_trainer(tiny_config)
    with pytest.raises(StudyError, match="with other settings"):
        study.save_trainer(other)
    lease.release()
    study.save_trainer(other)


def test_inputs_of_untouched_domains_do_not_bind_a_run_to_a_trainer(tiny_config):
    inputs = {**tiny_config.inputs, "data:math": "other"}
    assert tiny_config.mismatches(inputs, ["code"]) == []
    assert tiny_config.mismatches(inputs, ["code", "math"]) == ["data:math"]
    assert tiny_config.mismatches({}, ["code"]) == sorted(set(tiny_config.inputs) - {"data:math"})


def test_a_damaged_record_is_pending_and_said_with_its_reason(planned, caplog):
    study, (spec, _) = planned
    study.claim(spec).release()
    study.complete(spec, record_of(spec), {})
    path = study.run_folder(spec) / "record.json"
    path.write_text(path.read_text().replace("12.5", "-12.5"))
    [status] = study.status([spec])
    assert status.state == "pending" and "'losses.math.nats' is -12.5" in status.reason
    assert study.all_records() == [] and "is not used" in caplog.text


def test_a_damaged_trainer_file_is_written_again_and_said(planned, tiny_config, caplog):
    study, _ = planned
    study.trainer_path.write_text(study.trainer_path.read_text().replace("a", "b", 1))
    study.save_trainer(tiny_config)
    assert study.load_trainer() == tiny_config and "is written again" in caplog.text
