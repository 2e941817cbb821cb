import dataclasses
import os
import signal
import threading

import pytest

from mixlaw.core.cores import usable_cores
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.study import executor_local
from mixlaw.study.executor_local import run_pending, visible_gpus
from mixlaw.study.store import Study
from tiny_training import make_specs
from waiting_trainer import waiting


@pytest.fixture(scope="module")
def waiting_config(tiny_config):
    return waiting(tiny_config)


@pytest.fixture
def waits(tmp_path, waiting_config):
    """A study whose trainer waits instead of training, for what does not depend on how runs are trained."""
    specs = make_specs(waiting_config)
    study = Study(tmp_path / "waits")
    study.save_plan(specs)
    return study, specs


def test_two_workers_train_what_is_missing_and_report_it(planned, tiny_config):
    study, specs = planned
    events = []
    statuses = run_pending(study, tiny_config, workers=2, on_event=events.append)
    assert [status.state for status in statuses] == ["done", "done"]
    records = study.records()
    assert [record.spec for record in records] == specs
    kinds = [event.kind for event in events]
    assert kinds.count("started") == kinds.count("finished") == 2 and "progress" in kinds
    last = events[-1]
    assert (last.runs_done, last.runs_total, last.tokens_done) == (2, 2, last.tokens_total)
    by_run = {event.run: event.losses for event in events if event.kind == "finished"}
    assert by_run == {r.spec.name: {t: loss.loss_nats for t, loss in r.losses.items()} for r in records}
    assert not list(study.runs_folder.glob("*/lease.json"))
    # Again: nothing is missing, so nothing starts; and a record is what the trainer returns in this process.
    assert run_pending(study, tiny_config, on_event=lambda event: pytest.fail(event.kind)) == statuses
    here = tiny_config.build().run(specs[0], folder=study.run_folder(specs[0]))
    assert here == records[0]


def test_a_run_that_diverges_fails_with_its_reason_and_the_others_go_on(tmp_path, tiny_config):
    hot = dataclasses.replace(tiny_config.train, learning_rate=1000.0)
    config = waiting(dataclasses.replace(tiny_config, train=hot))
    study = Study(tmp_path / "study")
    study.save_plan(make_specs(config, (40, 1500)))
    events = []
    statuses = run_pending(study, config, workers=1, on_event=events.append)
    assert statuses[1].state == "failed" and "Lower train.learning_rate" in statuses[1].reason
    assert [event.kind for event in events].count("started") == 2
    # It would diverge again, so the next sweep leaves it alone.
    assert run_pending(study, config, on_event=lambda event: pytest.fail(event.kind)) == statuses


def test_a_worker_that_is_killed_twice_fails_its_run_and_the_others_are_trained(waits, waiting_config):
    study, specs = waits
    events = []

    def kill_the_longest(event):
        events.append(event)
        if event.kind == "started" and event.run == specs[1].name:
            os.kill(study.owner(specs[1]), signal.SIGKILL)

    # Long enough to be killed in the middle.
    long = make_specs(waiting_config, (400, 200_000))
    study.save_plan(long)
    specs = long
    statuses = run_pending(study, waiting_config, workers=1, on_event=kill_the_longest)
    assert [status.state for status in statuses] == ["done", "failed"]
    assert "SIGKILL" in statuses[1].reason and "crashed twice" in statuses[1].reason
    assert [event.kind for event in events].count("retry") == 1
    study.save_plan(long[:1])
    # It had crashed, so the next sweep would try it again.
    study.clear_failures(long)
    assert study.status(long)[1].state == "pending"


def test_a_model_that_cannot_be_loaded_is_one_error_and_no_failed_runs(waits, waiting_config, tmp_path):
    study, specs = waits
    (tmp_path / "empty").mkdir()
    broken = dataclasses.replace(
        waiting_config, model=dataclasses.replace(waiting_config.model, name_or_path=str(tmp_path / "empty"))
    )
    with pytest.raises(ConfigError, match="cannot be loaded"):
        run_pending(study, broken, workers=2)
    assert [status.state for status in study.status(specs)] == ["pending", "pending"]


def test_specs_planned_with_other_settings_are_refused(planned, tiny_config):
    study, _ = planned
    inputs = {**tiny_config.inputs, "train": "other"}
    with pytest.raises(StudyError, match="other inputs than the trainer has: train"):
        run_pending(study, dataclasses.replace(tiny_config, inputs=inputs), workers=1)


def test_an_interrupt_stops_the_workers_and_frees_their_runs(waits, waiting_config):
    study, _ = waits
    specs = make_specs(waiting_config, (400_000, 500_000))
    study.save_plan(specs)
    pids = []

    def interrupt(event):
        if event.kind == "progress":
            pids.extend(filter(None, (study.owner(spec) for spec in specs)))
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_pending(study, waiting_config, workers=2, on_event=interrupt)
    assert pids and [status.state for status in study.status(specs)] == ["pending", "pending"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert threading.active_count() == before


def test_a_run_outside_the_plan_is_refused(planned, tiny_config):
    study, _ = planned
    with pytest.raises(StudyError, match="'run-123' is not in"):
        run_pending(study, tiny_config, specs=make_specs(tiny_config, (123,)))


def test_only_the_named_runs_are_trained(waits, waiting_config):
    study, specs = waits
    assert [s.state for s in run_pending(study, waiting_config, workers=1, specs=specs[:1])] == ["done"]
    assert [s.state for s in study.status()] == ["done", "pending"]


def test_cores_and_gpus_follow_what_the_process_may_use(monkeypatch):
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert usable_cores() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_workers_get_one_thread_each_before_they_start(planned, monkeypatch):
    study, specs = planned
    monkeypatch.setattr(executor_local, "visible_gpus", list)
    sweep = executor_local._Sweep(study, specs, lambda event: None, False)
    environment = executor_local.worker_environment(0, sweep.threads, sweep.gpus)
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
