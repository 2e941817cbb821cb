"""Why a run has no record, in the words that the sweep and the study's files use."""

import errno
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import FileError, file_error
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.study import worker
from mixlaw.study.executing import as_error, error_json
from mixlaw.study.one_run import Done, Failed, train_once
from mixlaw.train.program import keep_metrics
from mixlaw.train.trainer import Trainer
from mixlaw.train.trainer_config import TrainerConfig

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Full:
    """A trainer that finds no space."""

    def run(self, spec, *, folder, progress=None):
        raise FULL


def test_a_full_disk_is_a_failure_with_a_remedy_that_is_tried_again(tmp_path):
    outcome = train_once(Full(), RunSpec("base", {"code": 1000}, 0), tmp_path, lambda *step: None)
    assert isinstance(outcome, Failed) and outcome.retry
    assert outcome.reason == (
        "A file cannot be written: No space left on device. Free some space where the study and the outputs lie, then "
        "run the command again."
    )


@pytest.mark.parametrize("error", [FULL, OSError(errno.EDQUOT, "Disk quota exceeded", "/study/x")])
def test_a_full_disk_of_a_worker_is_the_same_error_for_the_driver(error):
    told = as_error(error_json(error))
    assert isinstance(told, FileError) and str(told) == str(file_error(error))


class Told(Trainer):
    """A trainer that returns what it is told to, after a change of the right record."""

    def __init__(self, change, timing=None):
        self.change, self.timing, self.validation_rows = change, timing or {}, {"code": None, "chat": None}

    def run(self, spec, *, folder, progress=None):
        losses = {name: TargetLoss(200.0, 100) for name in self.validation_rows}
        return self.change(RunRecord(spec, {"code": 1000}, {"code": 900}, {"code": 1000}, losses, 3, 9))


def losses(**found):
    return lambda record: replace(record, losses={**record.losses, **found})


def trained(trainer, folder):
    return train_once(trainer, RunSpec("base", {"code": 1000}, 0), folder, lambda *step: None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: None, "It is of the type NoneType, and no RunRecord."),
        (lambda record: {"loss": 3.0}, "It is of the type dict, and no RunRecord."),
        (losses(chat=TargetLoss(math.nan, 100)), "'losses.chat.nats' is NaN; it must be a number from 0"),
        (losses(chat=TargetLoss(-1.0, 100)), "'losses.chat.nats' is -1.0; it must be a number from 0"),
        (losses(chat=TargetLoss(2e7, 100)), "'losses.chat' has 2e+07 nats over 100 tokens"),
        (losses(chat=TargetLoss(1.0, 0)), "'losses.chat.count' is 0; it must be a whole number from 1"),
        (losses(chat=TargetLoss("low", 100)), "'losses.chat.nats' is \"low\"; it must be a number"),
        (losses(chat=3.0), "AttributeError"),
        (lambda r: replace(r, losses={"code": r.losses["code"]}), "It has no loss of the target 'chat'"),
        (lambda r: replace(r, losses={}), "It has no loss of the target 'code'"),
        (lambda r: replace(r, tokens={"code": 1_000_000_000}), "1000 were planned"),
        (lambda r: replace(r, spec=RunSpec("other", {"code": 7}, 0)), "It is of another run, 'other'."),
    ],
)
def test_what_could_not_be_read_again_is_a_failed_run_and_not_trained_for_ever(change, said, tmp_path):
    outcome = trained(Told(change), tmp_path)
    assert isinstance(outcome, Failed) and not outcome.retry
    assert outcome.reason.startswith("Run 'base' has no record that can be used. ") and said in outcome.reason
    assert "Correct the trainer" in outcome.reason


def test_times_that_are_no_numbers_fail_the_run_too(tmp_path):
    outcome = trained(Told(lambda record: record, {"wall_s": math.nan}), tmp_path)
    assert isinstance(outcome, Failed) and "'wall_s' is NaN" in outcome.reason


def test_numbers_of_numpy_are_taken(tmp_path):
    outcome = trained(Told(losses(chat=TargetLoss(np.float32(50.0), np.int64(100)))), tmp_path)
    assert isinstance(outcome, Done) and outcome.record.losses["chat"] == TargetLoss(50.0, 100)
    assert type(outcome.record.losses["chat"].count) is int


def test_metrics_stand_in_for_losses(tmp_path):
    keep_metrics({"win_rate": {"value": 0.6}}, tmp_path)
    assert isinstance(trained(Told(lambda record: replace(record, losses={})), tmp_path), Done)


class Broken:
    """A trainer with a mistake of its author's."""

    def run(self, spec, *, folder, progress=None):
        raise ValueError("no such layer\n  in two lines")


def test_a_mistake_in_a_trainer_is_told_in_one_sentence(planned, tmp_path):
    study, specs = planned
    outcome = train_once(Broken(), specs[0], tmp_path, lambda *step: None)
    assert outcome.reason == "ValueError: no such layer in two lines."
    study.fail(specs[0], outcome.error, retry=False)
    assert study.status(specs)[0].reason == (
        "ValueError: no such layer in two lines. See the log in the study's logs folder."
    )


def test_a_trainer_that_cannot_be_made_is_one_error_with_the_place_of_its_traceback(planned, monkeypatch):
    def build(config):
        raise ValueError("broken\nin two lines")

    study, _ = planned
    events = []
    monkeypatch.setattr(worker, "_events_on_stdout", lambda: events.append)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(TrainerConfig, "build", build)
    assert worker.main([str(study.folder), "--driven"]) == 1
    assert str(as_error(events[-1])) == (
        f"A worker process cannot train: ValueError: broken in two lines. Its log in {study.logs_folder} has the "
        "traceback."
    )
