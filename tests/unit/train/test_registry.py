"""Trainers are found by name, class and place, and only where they can be used."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

import mixlaw
from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.core.run import RunSpec
from mixlaw.train import registry
from mixlaw.train.registry import address_of, find_trainer, known_trainers
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer import Trainer
from mixlaw.train.trainer_config import TrainerConfig
from tiny_training import write_rows

MODULE = """
from mixlaw.train.trainer import Trainer

class Mine(Trainer):
    name = "mine"

    def run(self, spec, *, folder, progress=None): ...
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module that holds the trainer `mine`."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    name = f"trainers_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def rows(tmp_path):
    return {"code": write_rows(tmp_path / "train", 20, 0)}, {"code": write_rows(tmp_path / "validation", 5, 1)}


def test_a_registered_trainer_is_found_by_its_name_and_travels_as_its_place(module):
    mine = find_trainer(f"{module}:Mine")
    with pytest.raises(ConfigError, match=r"There is no trainer 'mine'; known: native, trl, command\."):
        find_trainer("mine")
    assert mixlaw.train.register(mine) is mine
    assert find_trainer("mine") is mine and known_trainers()["mine"] is mine
    assert address_of("mine") == address_of(mine) == f"{module}:Mine"
    assert address_of(find_trainer("trl")) == "trl"


def test_registering_again_is_allowed_and_taking_a_name_is_not(module):
    mine = find_trainer(f"{module}:Mine")
    registry.register(mine)
    registry.register(mine)
    for name in ("mine", "native"):
        other = type("Other", (mine,), {"name": name, "__module__": module, "__qualname__": "Other"})
        with pytest.raises(ConfigError, match=f"The name '{name}' already belongs to another trainer"):
            registry.register(other)


def test_a_class_that_workers_cannot_import_is_refused(module):
    class Inside(Trainer):
        def run(self, spec, *, folder, progress=None): ...

    in_script = type("Script", (Inside,), {"__module__": "__main__", "__qualname__": "Script"})
    for trainer in (Inside, in_script):
        with pytest.raises(ConfigError, match="cannot import it"):
            registry.register(trainer)


def test_an_entry_point_is_read_when_the_name_is_not_built_in(module, monkeypatch):
    asked = []

    def entry_points(group):
        asked.append(group)
        return [importlib.metadata.EntryPoint("theirs", f"{module}:Mine", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert find_trainer("native").name == "native" and asked == []
    assert find_trainer("theirs").name == "mine" and asked == ["mixlaw.trainers"]
    assert address_of("theirs") == "theirs"


def test_what_is_no_usable_trainer_is_one_error(module):
    mine = find_trainer(f"{module}:Mine")

    @dataclass(frozen=True)
    class Taken:
        learning_rate: float = 1.0

    wrong = [
        (int, "not a subclass"),
        (type("A", (mine,), {"Options": dict}), "Options is not a dataclass"),
        (type("B", (mine,), {"Options": Taken}), "has 'learning_rate', a key of every trainer"),
    ]
    for trainer, said in wrong:
        with pytest.raises(ConfigError, match=said):
            find_trainer(trainer)


def test_a_missing_package_is_said_with_what_installs_it(module, tmp_path):
    mine = find_trainer(f"{module}:Mine")
    needy = type("Needy", (mine,), {"packages": ("no_such_package",)})
    with pytest.raises(ConfigError, match=r"'Needy' needs the package 'no_such_package'.* pip install no_such_package"):
        needy.check(needy.Options(), tmp_path)
    needy.extra = "train"
    with pytest.raises(MissingExtra, match=r'pip install "mixlaw\[train\]"'):
        needy.check(needy.Options(), tmp_path)


def test_register_is_there_after_a_bare_import_that_stays_light():
    code = (
        "import sys, mixlaw; mixlaw.train.register; assert callable(mixlaw.train);"
        "print([m for m in ('torch', 'numpy', 'scipy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("trainer", "options", "expected"),
    [
        ("native", {}, "b539af052f0e5371"),
        ("command", {"command": "python train.py {spec}"}, "14bb802892de8813"),
        ("trl", {"peft": {"r": 8}, "sft": {"logging_steps": 1}, "launch": "accelerate launch"}, "e153b739b36b161d"),
        ("trl", {}, "87f6b798bff1e045"),
    ],
)
def test_the_identity_of_the_built_in_trainers_never_changes(rows, trainer, options, expected):
    # Golden: finished runs of every study are found again by these.
    config = TrainerConfig.of(ModelSettings("m"), TrainSettings(), *rows, trainer=trainer, options=options)
    assert config.inputs["train"][:16] == expected


def test_what_a_trainer_reads_besides_is_part_of_a_runs_identity(module, rows):
    mine = find_trainer(f"{module}:Mine")

    def config(content):
        mine.inputs = classmethod(lambda cls, options, folder: {"tokens.txt": content})
        return TrainerConfig.of(ModelSettings("m"), TrainSettings(), *rows, trainer=mine)

    one, two = config("aa"), config("bb")
    ids = {RunSpec("run", {"code": 100}, 0, found.inputs).id for found in (one, two)}
    assert one.inputs["trainer:tokens.txt"] == "aa" and len(ids) == 2
    assert one.mismatches(two.inputs, ["code"]) == ["trainer:tokens.txt"]
