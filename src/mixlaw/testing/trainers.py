"""What must hold of every trainer, one function per property; each raises AssertionError with the claim that fails.

A check makes two domains of some hundred random conversations (97 different tokens, the second half of each
conversation supervised) in a temporary folder, and trains runs of a few hundred tokens on them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from mixlaw.core.errors import MixlawError, RunFailed
from mixlaw.core.run import BASE, RunRecord, RunSpec
from mixlaw.data.rows import TokenRows
from mixlaw.testing._comparison import claim_that
from mixlaw.testing._training_case import DOMAINS, TrainingCase, training_case
from mixlaw.train.sample import draw_sample
from mixlaw.train.trainer import MODEL, Trainer

NO_MODEL = "a/model-that-nobody-loads"
_STUDYS_OWN = ("record.json", "error.json", "spec.json", "lease.json", "timing.json")


class TrainerCheck(Protocol):
    """One property of a trainer."""

    __name__: str

    def __call__(
        self, trainer: str | type[Trainer], options: Mapping[str, Any] | None = None, model: str | Path = NO_MODEL
    ) -> None: ...


def check_trainer(
    trainer: str | type[Trainer], options: Mapping[str, Any] | None = None, model: str | Path = NO_MODEL
) -> None:
    """Run every check on a trainer.

    Args:
        trainer: its class, its name, or `package.module:Class`. The class must lie in a module that can be imported.
        options: what it is told under `train:`, key -> value; None for its defaults.
        model: a small base model's folder, with at least 97 tokens, for a trainer that loads one.

    Raises:
        AssertionError: a property does not hold; the message names the trainer and the property.
    """
    for check in TRAINER_CHECKS:
        check(trainer, options, model)


def _on_a_case(check: Callable[[TrainingCase], None]) -> TrainerCheck:
    """Return the check of a case as one of a trainer, for which it makes the case."""

    @functools.wraps(check)
    def checked(
        trainer: str | type[Trainer], options: Mapping[str, Any] | None = None, model: str | Path = NO_MODEL
    ) -> None:
        with training_case(trainer, options, model) as case:
            check(case)

    return cast(TrainerCheck, checked)


@_on_a_case
def says_what_it_needs(case: TrainingCase) -> None:
    """The trainer has a name and options with a JSON form, passes its own check, and can be made."""
    config, kind = case.config, case.config.trainer_class
    _claim(bool(kind.name) and ":" not in kind.name, case, "has a name, without a colon")
    _claim(kind.working_directory in ("unused", "used", "needed"), case, "says how it uses the working directory")
    _claim(kind.base_model in ("measured", "asked", "no"), case, "says whether it evaluates the base model as it is")
    try:
        _claim(json.loads(json.dumps(dict(config.options))) == config.options, case, "has options of JSON's types")
    except TypeError as error:
        raise AssertionError(f"The {case.who} does not conform: options of JSON's types ({error}).") from None
    kind.check(kind.Options(**config.options), config.folder)
    _claim(isinstance(config.build(), Trainer), case, "is made from its configuration")


@_on_a_case
def gives_the_same_record_in_any_order(case: TrainingCase) -> None:
    """What was trained before changes nothing."""
    specs = [case.spec("one"), case.spec("two", chat=200, math=900)]
    ours, theirs = case.config.build(), case.config.build()
    first = {spec.name: case.run(ours, spec).to_json() for spec in specs}
    second = {spec.name: case.run(theirs, spec).to_json() for spec in reversed(specs)}
    _claim(first == second, case, "gives the same records whatever it trained before")


@_on_a_case
def gives_the_same_record_in_another_process(case: TrainingCase) -> None:
    """A worker process that knows only the trainer's configuration finds the same losses."""
    here = case.run(case.config.build(), case.spec()).to_json()
    _claim(case.run_elsewhere(case.spec()) == here, case, "gives the same record in another process")


@_on_a_case
def leaves_the_studys_files_alone(case: TrainingCase) -> None:
    """record.json and the other files by which a study knows a run's state are the study's to write."""
    folder = case.run_folder()
    case.config.build().run(case.spec(), folder=folder)
    written = [name for name in _STUDYS_OWN if (folder / name).exists()]
    _claim(not written, case, f"leaves the study's files alone, wrote {', '.join(written)}")


@_on_a_case
def counts_what_it_trained_on(case: TrainingCase) -> None:
    """The record is of the spec, counts the run's sample, and has the loss of every supervised validation token."""
    built, spec = case.config.build(), case.spec()
    record = case.run(built, spec)
    sample = draw_sample(spec, built.train_rows, built.settings)
    _claim(record.spec == spec, case, "returns the record of the spec that it was given")
    for name in ("tokens", "supervised_tokens", "unique_tokens"):
        found, drawn = dict(getattr(record, name)), dict(getattr(sample, name))
        _claim(found == drawn, case, f"counts `{name}` as `draw_sample` does, has {found} for {drawn}")
    _claim(set(record.losses) == set(DOMAINS), case, f"has a loss for each of {', '.join(DOMAINS)}")
    for name, loss in record.losses.items():
        tokens = TokenRows.open(case.config.validation_rows[name]).supervised_tokens
        _claim(loss.count == tokens, case, f"evaluates {tokens} supervised tokens of '{name}', has {loss.count}")


@_on_a_case
def answers_to_the_mixture(case: TrainingCase) -> None:
    """Other tokens have other losses; a trainer that ignores the spec teaches the law nothing."""
    built = case.config.build()
    losses = [_nats(case.run(built, case.spec(chat=chat, math=1000 - chat))) for chat in (100, 900)]
    _claim(losses[0] != losses[1], case, "has other losses where the mixture is another")


@_on_a_case
def evaluates_the_base_model_as_it_is(case: TrainingCase) -> None:
    """A trainer that measures the base model has its losses without training, whatever it trained before."""
    if case.config.trainer_class.base_model != "measured":
        return
    spec, built = case.spec("base-model", chat=0, math=0, role=BASE), case.config.build()
    first = case.run(built, spec)
    trained = case.run(built, case.spec())
    again = case.run(built, spec)
    _claim(not any(first.tokens.values()) and first.steps == 0, case, "trains nothing where the run is of no tokens")
    _claim(set(first.losses) == set(DOMAINS), case, f"has a loss of the base model for each of {', '.join(DOMAINS)}")
    _claim(first.to_json() == again.to_json(), case, "has the same losses of the base model after a run")
    _claim(_nats(first) != _nats(trained), case, "has other losses of the base model than of a trained one")


@_on_a_case
def reports_its_progress_as_agreed(case: TrainingCase) -> None:
    """Where `progress` is called, steps count up to the last one and losses are finite; it may not be called."""
    calls: list[tuple[int, int, float]] = []
    spec, built = case.spec(), case.config.build()
    record = case.run(built, spec, lambda step, steps, loss: calls.append((step, steps, loss)))
    silent = case.run(built, spec)
    _claim(record.to_json() == silent.to_json(), case, "gives the same record with and without `progress`")
    numbers = [step for step, _, _ in calls]
    _claim(numbers == sorted(set(numbers)), case, f"counts its steps upwards, has {numbers[:9]}")
    _claim({steps for _, steps, _ in calls} <= {record.steps}, case, f"says that there are {record.steps} steps")
    _claim(not calls or numbers[-1] == record.steps, case, "reports the last step")
    _claim(all(math.isfinite(loss) for _, _, loss in calls), case, "reports finite losses")


@_on_a_case
def keeps_the_model_or_refuses(case: TrainingCase) -> None:
    """With `keep_model` there is a model afterwards, or RunFailed; the losses are those of a run that keeps none."""
    folder, built, spec = case.run_folder(), case.config.build(), case.spec()
    try:
        record = built.run(dataclasses.replace(spec, keep_model=True), folder=folder)
    except RunFailed:
        return
    kept = (folder / MODEL).is_dir() and any((folder / MODEL).iterdir())
    _claim(kept, case, f"leaves the model in the run's folder `{MODEL}`, or raises RunFailed")
    _claim(_nats(record) == _nats(case.run(built, spec)), case, "has the same losses whether the model is kept")


@_on_a_case
def records_finite_losses_only(case: TrainingCase) -> None:
    """A run whose loss is not a finite number of at least 0 has no record; tried with an absurd learning rate too."""
    for tried in (case, case.with_settings(learning_rate=1e3, max_grad_norm=0.0)):
        try:
            record = tried.run(tried.config.build(), tried.spec())
        except RunFailed:
            continue
        for name, nats in _nats(record).items():
            sound = math.isfinite(nats) and nats >= 0
            _claim(sound, case, f"raises RunFailed instead of recording a loss of {nats} for '{name}'")


@_on_a_case
def refuses_tokens_that_are_not_there(case: TrainingCase) -> None:
    """A run with tokens of a domain that has no rows is one of mixlaw's errors, with a sentence."""
    spec = RunSpec("run", {"chat": 300, "nosuch": 300}, 0, case.config.inputs)
    try:
        case.run(case.config.build(), spec)
    except MixlawError:
        return
    except Exception as error:
        raise AssertionError(
            f"The {case.who} does not conform: a domain without rows is a DataError, was {type(error).__name__}."
        ) from error
    _claim(False, case, "refuses a domain without rows, trained nevertheless")


TRAINER_CHECKS: tuple[TrainerCheck, ...] = (
    says_what_it_needs,
    gives_the_same_record_in_any_order,
    gives_the_same_record_in_another_process,
    leaves_the_studys_files_alone,
    counts_what_it_trained_on,
    answers_to_the_mixture,
    evaluates_the_base_model_as_it_is,
    reports_its_progress_as_agreed,
    keeps_the_model_or_refuses,
    records_finite_losses_only,
    refuses_tokens_that_are_not_there,
)
"""Every check of a trainer, in the order in which they are best read."""


def _nats(record: RunRecord) -> dict[str, float]:
    return {name: loss.nats for name, loss in record.losses.items()}


def _claim(holds: bool, case: TrainingCase, claim: str) -> None:
    claim_that(holds, case.who, claim)
