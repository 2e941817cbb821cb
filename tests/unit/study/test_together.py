"""Workers that train several runs at once: every run keeps its own folder, record, log and fate."""

import dataclasses
import os
import signal

import pytest

from mixlaw.config.executor import ExecutorNode
from mixlaw.core.documents import read_document
from mixlaw.core.errors import RunFailed
from mixlaw.study.executor_local import run_pending
from mixlaw.study.executors import Sweep, find_executor, states_of
from mixlaw.study.store import Study
from mixlaw.study.together import MOST, Asked, at_once, sentence
from mixlaw.train.trainer_config import TrainerConfig
from tiny_training import make_specs
from waiting_trainer import waiting

pytest.importorskip("peft")
COUNTS = (500, 800, 1100, 1400)


@pytest.fixture(scope="module")
def lora(tiny_config):
    options = {"peft": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}}
    c = tiny_config
    return TrainerConfig.of(c.model, c.train, c.train_rows, c.validation_rows, options=options)


@pytest.fixture(scope="module")
def waiting_config(tiny_config):
    return waiting(tiny_config)


def planned(folder, config, counts=COUNTS):
    """Return a study of the base model and a run for each count."""
    study = Study(folder)
    base = dataclasses.replace(make_specs(config, (0,))[0], name="base", role="base", tokens={})
    study.save_plan([base, *make_specs(config, counts)])
    return study


@pytest.fixture
def study(lora, tmp_path):
    return planned(tmp_path / "study", lora)


def timing(study, spec):
    return read_document(study.run_folder(spec) / "timing.json", "timing")


def test_every_run_has_its_own_record_log_and_part_of_the_time(study, lora):
    events = []
    statuses = run_pending(study, lora, 1, events.append, together=4)
    assert [status.state for status in statuses] == ["done"] * 5
    base, *specs = study.load_plan()
    kinds = [(event.kind, event.run) for event in events if event.kind in ("started", "finished")]
    names = [spec.name for spec in reversed(specs)]
    assert kinds[:4] == [("started", name) for name in names]
    assert kinds[4:8] == [("finished", spec.name) for spec in specs]  # the shortest ends first
    assert max(len(event.running) for event in events) == 4
    trainer = lora.build()
    for spec in specs:
        record, took = study.record(spec), timing(study, spec)
        wanted = trainer.run(spec, folder=study.folder)
        assert record.steps == wanted.steps
        for name, loss in wanted.losses.items():
            assert record.losses[name].loss_nats == pytest.approx(loss.loss_nats, abs=1e-4)
        assert took["together"] == 4
        assert took["wall_s"] >= took["train_s"] + took["evaluate_s"] - 1e-6
        assert (study.run_folder(spec) / "metrics.jsonl").is_file()
    assert "together" not in timing(study, base)
    assert not list(study.runs_folder.glob("*/lease.json"))
    assert not (study.folder / "together.json").exists()  # nothing had to be measured


def test_after_a_crash_runs_train_one_by_one(tmp_path, waiting_config):
    study = planned(tmp_path / "study", waiting_config, (10_000, 11_000, 12_000, 13_000))  # a second each
    events = []

    def kill_once(event):
        events.append(event)
        if event.kind == "progress" and len(event.running) == 4 and not any(e.kind == "retry" for e in events):
            lease = next(study.runs_folder.glob("*/lease.json"))
            os.kill(read_document(lease, "lease")["pid"], signal.SIGKILL)

    statuses = run_pending(study, waiting_config, 1, kill_once, together=4)
    assert [status.state for status in statuses] == ["done"] * 5
    assert sorted(event.run for event in events if event.kind == "retry") == [
        spec.name for spec in sorted(study.load_plan()[1:], key=lambda spec: spec.name)
    ]
    assert not any("together" in timing(study, spec) for spec in study.load_plan())


class Joining:
    """A trainer that has measured something, and is asked once."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def can_join(self, spec):
        return spec.role != "base"

    def together(self, specs, most):
        self.asked.append((len(specs), most))
        return self.found


@pytest.mark.parametrize(
    ("found", "best", "said"),
    [({}, 1, ""), ({1: 100.0, 2: 90.0}, 1, ".90 times"), ({1: 100.0, 2: 150.0, 4: 200.0}, 4, "2.00 times")],
)
def test_what_was_measured_is_kept_said_and_used_again(study, found, best, said):
    trainer, specs = Joining(found), study.load_plan()
    assert [at_once(study, trainer, specs, Asked(None)) for _ in range(2)] == [best, best]
    assert trainer.asked == [(4, 4)]
    assert said in sentence(study)
    assert bool(sentence(study)) == bool(said)
    notes = [note for workers in states_of(study) for note in workers.notes]
    assert notes == ([sentence(study)] if said else [])
    (study.folder / "together.json").write_text("{")  # damaged: measured again
    assert at_once(study, trainer, specs, Asked(None)) == best
    assert len(trainer.asked) == 2


def test_workers_share_the_runs_and_a_number_needs_no_measurement(study):
    trainer, specs = Joining({1: 1.0, 2: 2.0, 4: 4.0}), study.load_plan()
    assert at_once(study, trainer, specs, Asked(None, workers=2)) == 2
    assert trainer.asked == [(4, 2)]
    assert at_once(study, trainer, specs, Asked(None, workers=4)) == 1
    assert [at_once(study, trainer, specs, Asked(runs)) for runs in (1, 3, 50)] == [1, 3, 4]
    assert at_once(study, trainer, specs[:1], Asked(None)) == 1
    assert len(trainer.asked) == 1
    assert MOST >= 16


def test_a_worker_measures_where_it_is_asked_to(tmp_path, waiting_config):
    study = planned(tmp_path / "study", waiting_config)
    statuses = run_pending(study, waiting_config, 1)  # one at once, unless something else is said
    assert {status.state for status in statuses} == {"done"}
    assert not (study.folder / "together.json").exists()
    for folder in study.runs_folder.iterdir():
        (folder / "record.json").unlink()
    events = []
    statuses = run_pending(study, waiting_config, 1, events.append, together=None)
    assert {status.state for status in statuses} == {"done"}
    assert (study.folder / "together.json").exists()
    assert max(len(event.running) for event in events) == 2  # which it has measured to be the fastest


def test_an_error_that_is_no_runs_own_fails_the_rest_for_now(study, lora, monkeypatch):
    from mixlaw.study import worker

    def breaks(self, jobs):
        yield jobs[0], RunFailed("It diverged.", "Lower train.learning_rate.")
        raise ValueError("a bug")

    monkeypatch.setattr(lora.trainer_class, "run_together", breaks)
    study.save_trainer(lora)
    events = []
    worker.work(study, study.load_plan()[1:], events.append, Asked(4))
    reasons = [event["reason"] for event in events if event["event"] == "failed"]
    assert len(reasons) == 4
    assert "diverged" in reasons[0]
    assert all("a bug" in reason for reason in reasons[1:])
    assert not list(study.runs_folder.glob("*/lease.json"))


def test_the_key_of_mix_yaml_is_the_local_executors_alone(monkeypatch):
    asked = []
    monkeypatch.setattr("mixlaw.study.executor_local.run_pending", lambda *_, **more: asked.append(more["together"]))
    for given in (None, "auto", 1, 8):
        node = ExecutorNode.model_validate({} if given is None else {"together": given})
        executor = find_executor("local")(node.options("local"))
        executor.train(Sweep(None, None))
    assert asked == [None, None, 1, 8]
    for wrong in ({"together": 0}, {"together": "all"}, {"kind": "slurm", "together": 2}):
        with pytest.raises(ValueError, match="together"):
            ExecutorNode.model_validate(wrong)
