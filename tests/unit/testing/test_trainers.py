"""The suite for trainers finds each broken promise, and names it."""

from __future__ import annotations

import importlib
import sys

import pytest

from mixlaw.testing import TRAINER_CHECKS, check_trainer
from page_trainer import write_own_trainer

CHECKS = {check.__name__: check for check in TRAINER_CHECKS}

MODULE = """
import itertools, math, os
from dataclasses import replace
from mixlaw.core.run import TargetLoss
from own_trainer import Bigram

calls = itertools.count()

def changed(record, change):
    return replace(record, losses={n: TargetLoss(change(l.nats), l.count) for n, l in record.losses.items()})

class Remembers(Bigram):
    def run(self, spec, *, folder, progress=None):
        return changed(super().run(spec, folder=folder, progress=progress), lambda nats: nats + next(calls))

class DependsOnTheProcess(Bigram):
    def run(self, spec, *, folder, progress=None):
        return changed(super().run(spec, folder=folder, progress=progress), lambda nats: nats + os.getpid())

class WritesTheRecord(Bigram):
    def run(self, spec, *, folder, progress=None):
        (folder / "record.json").write_text("{}")
        return super().run(spec, folder=folder, progress=progress)

class CountsTheRequest(Bigram):
    def run(self, spec, *, folder, progress=None):
        return replace(super().run(spec, folder=folder, progress=progress), tokens=dict(spec.tokens))

class IgnoresTheMixture(Bigram):
    def run(self, spec, *, folder, progress=None):
        return changed(super().run(spec, folder=folder, progress=progress), lambda nats: 100.0)

class StopsReporting(Bigram):
    def run(self, spec, *, folder, progress=None):
        record = replace(super().run(spec, folder=folder), steps=3)
        for step in (1, 2) if progress else ():
            progress(step, 3, 1.0)
        return record

class KeepsNothing(Bigram):
    def run(self, spec, *, folder, progress=None):
        record = super().run(replace(spec, keep_model=False), folder=folder, progress=progress)
        return replace(record, spec=spec)

class Diverges(Bigram):
    def run(self, spec, *, folder, progress=None):
        return changed(super().run(spec, folder=folder, progress=progress), lambda nats: math.nan)

class TrainsOnWhatThereIs(Bigram):
    def run(self, spec, *, folder, progress=None):
        there = {name: n for name, n in spec.tokens.items() if name in self.train_rows}
        return replace(super().run(replace(spec, tokens=there), folder=folder, progress=progress), spec=spec)

class StumblesOverIt(Bigram):
    def run(self, spec, *, folder, progress=None):
        [self.train_rows[name] for name in spec.tokens]
        return super().run(spec, folder=folder, progress=progress)

class TrainsTheBaseModel(Bigram):
    base_model = "measured"

    def run(self, spec, *, folder, progress=None):
        if not spec.untrained:
            return super().run(spec, folder=folder, progress=progress)
        record = super().run(replace(spec, tokens={name: 400 for name in spec.tokens}), folder=folder)
        return replace(record, spec=spec)

class HasAColon(Bigram):
    name = "my:trainer"
"""

BROKEN = [
    ("Remembers", "gives_the_same_record_in_any_order", "the same records whatever it trained before"),
    ("DependsOnTheProcess", "gives_the_same_record_in_another_process", "the same record in another process"),
    ("WritesTheRecord", "leaves_the_studys_files_alone", "wrote record.json"),
    ("CountsTheRequest", "counts_what_it_trained_on", "counts `tokens` as `draw_sample` does"),
    ("IgnoresTheMixture", "answers_to_the_mixture", "other losses where the mixture is another"),
    ("StopsReporting", "reports_its_progress_as_agreed", "reports the last step"),
    ("KeepsNothing", "keeps_the_model_or_refuses", "or raises RunFailed"),
    ("Diverges", "records_finite_losses_only", "recording a loss of nan"),
    ("TrainsOnWhatThereIs", "refuses_tokens_that_are_not_there", "trained nevertheless"),
    ("StumblesOverIt", "refuses_tokens_that_are_not_there", "a DataError, was KeyError"),
    ("TrainsTheBaseModel", "evaluates_the_base_model_as_it_is", "trains nothing where the run is of no tokens"),
    ("HasAColon", "says_what_it_needs", "without a colon"),
]


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Return the module of broken trainers, which this process and its children can import."""
    folder = tmp_path_factory.mktemp("broken")
    write_own_trainer(folder)
    (folder / "broken_trainers.py").write_text(MODULE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("broken_trainers")
    sys.path.remove(str(folder))
    for name in ("own_trainer", "broken_trainers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "check", "said"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_promise_is_found_and_named(broken, name, check, said):
    with pytest.raises(AssertionError, match=f"The trainer '.*{said}"):
        CHECKS[check](getattr(broken, name))


def test_the_first_broken_promise_ends_the_whole_suite(broken):
    with pytest.raises(AssertionError, match="the same records whatever it trained before"):
        check_trainer(broken.Remembers)


def test_every_check_has_a_trainer_that_breaks_it():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)
