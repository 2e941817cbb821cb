"""Which studies evaluate the base model, and what they say where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixlaw.api.base_model import NAME, base_run
from mixlaw.config import Config, parse_config
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.study.store import Study
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer_config import TrainerConfig

INPUTS = {"model": "m", "train": "t", "data:math": "d", "validation:math": "v"}


def config(trainer: str = "native", plan: str | bool = "auto", **solve) -> Config:
    train = {"trainer": trainer} | ({"command": "train {spec}"} if trainer == "command" else {})
    tree = {"study": "s", "model": {"name_or_path": "m"}, "domains": {"math": {"path": "m.jsonl"}}, "solve": solve}
    return parse_config({**tree, "budget_tokens": "1M", "train": train, "plan": {"base_model": plan}})


def asked(study: Path, trainer: str = "native", plan: str | bool = "auto", **solve):
    options = {"command": "train {spec}"} if trainer == "command" else {}
    made = TrainerConfig(ModelSettings("m"), TrainSettings(), {}, {}, INPUTS, trainer, options)
    return base_run(config(trainer, plan, **solve), made, Study(study))


def finish(study: Study, spec: RunSpec, **timing) -> None:
    study.save_plan([spec])
    lease = study.claim(spec)
    assert lease is not None
    study.complete(spec, RunRecord(spec, spec.tokens, {}, {}, {}, 0, 0), timing)
    lease.release()


def test_trainers_that_can_evaluate_it_unasked_and_programs_when_asked(tmp_path: Path) -> None:
    for trainer, plan, planned in (
        ("native", "auto", True),
        ("trl", "auto", True),
        ("command", "auto", False),
        ("command", True, True),
        ("native", False, False),
    ):
        specs, notes = asked(tmp_path, trainer, plan)
        assert [spec.name for spec in specs] == [NAME] * planned
        assert bool(notes) == (trainer == "command" and plan == "auto")
    assert "say plan: {base_model: true}" in asked(tmp_path, "command")[1][0]


def test_its_identity_depends_on_no_training_data(tmp_path: Path) -> None:
    ((spec,), _) = asked(tmp_path)
    assert spec.untrained and spec.tokens == {"math": 0}
    other = RunSpec(NAME, {}, 0, {key: value for key, value in INPUTS.items() if key != "data:math"})
    assert spec.id == other.id


def test_losses_of_another_program_are_not_compared_with_those_of_the_trainer(tmp_path: Path) -> None:
    study = Study(tmp_path)
    finish(study, RunSpec("fill-1", {"math": 9}, 0, INPUTS), adopted_from="results.csv")
    specs, (note,) = asked(tmp_path)
    assert not specs and f"Adopt its losses as run '{NAME}'" in note
    assert asked(tmp_path, plan=True)[0]
    ((spec,), _) = asked(tmp_path / "other")
    finish(study, spec, adopted_from="results.csv")
    assert asked(tmp_path)[0] == asked(tmp_path, "command")[0] == [spec]


def test_what_needs_it_and_does_not_get_it_is_an_error_before_the_training(tmp_path: Path) -> None:
    wish = {"reference": "base", "no_worse": {"math": "1 %"}}
    with pytest.raises(ConfigError, match=r"solve\.reference: base needs the losses of the base model"):
        asked(tmp_path, "command", **wish)
    assert asked(tmp_path, "command", True, **wish)[0]
    with pytest.raises(ConfigError, match=r"drop plan\.base_model: false"):
        config(plan=False, **wish)
