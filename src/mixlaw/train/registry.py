"""Trainers by name: the built-in ones, those that are registered, those of installed packages, and any class.

| in mix.yaml | what it is |
|---|---|
| `native`, `trl`, `command` | mixlaw's own |
| a name | registered with `mixlaw.train.register`, or by a package's entry point in the group `mixlaw.trainers` |
| `package.module:Class` | any class, of an installed package or of a file in the working directory |
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

from mixlaw.core.errors import ConfigError
from mixlaw.core.plugins import imported, offered
from mixlaw.train.settings import TrainSettings
from mixlaw.train.trainer import Trainer

TrainerClass = TypeVar("TrainerClass", bound=type[Trainer])

DEFAULT = "native"
"""The trainer of a configuration that names none; its name is no part of a run's identity."""

GROUP = "mixlaw.trainers"
"""The group of entry points by which an installed package offers trainers: `name = "package.module:Class"`."""

_BUILT_IN = {
    "native": "mixlaw.train.native:NativeTrainer",
    "trl": "mixlaw.train.trl:TrlTrainer",
    "command": "mixlaw.train.command:CommandTrainer",
}
_registered: dict[str, type[Trainer]] = {}


def register(trainer: TrainerClass) -> TrainerClass:
    """Register a trainer under its `name`, and return it: usable as a decorator.

    Raises:
        ConfigError: it is not a usable trainer, workers could not import it, or another one has its name.
    """
    _require_usable(trainer)
    _importable(trainer)
    earlier = _registered.get(trainer.name)
    if trainer.name in _BUILT_IN or (earlier is not None and _place(earlier) != _place(trainer)):
        other = _BUILT_IN[trainer.name] if earlier is None else _place(earlier)
        raise ConfigError(
            f"The name '{trainer.name}' already belongs to another trainer, {other}.", "Give your trainer another name."
        )
    _registered[trainer.name] = trainer
    return trainer


def find_trainer(trainer: str | type[Trainer], folder: Path | None = None) -> type[Trainer]:
    """Return the class of a trainer.

    Args:
        trainer: a name, `package.module:Class`, or a class.
        folder: where to look for a module that is not installed: the working directory.

    Raises:
        ConfigError: there is no trainer of that name, it cannot be imported, or it is not a usable trainer.
    """
    if not isinstance(trainer, str):
        return _require_usable(trainer)
    if trainer in _registered:
        return _registered[trainer]
    place = _BUILT_IN.get(trainer, trainer)
    if ":" in place:
        return _imported(place, folder)
    points = offered(GROUP)
    if trainer in points:
        return _imported(points[trainer], None)
    names = ", ".join(dict.fromkeys([*_BUILT_IN, *_registered, *points]))
    raise ConfigError(
        f"There is no trainer '{trainer}'; known: {names}.", "Write your own class as package.module:Class."
    )


def address_of(trainer: str | type[Trainer]) -> str:
    """Return the text by which any process finds a trainer: what was written, unless only this process knows that.

    Raises:
        ConfigError: it is a class that other processes cannot import.
    """
    if isinstance(trainer, str) and trainer not in _registered:
        return trainer
    found = find_trainer(trainer)
    names = [name for name, place in _BUILT_IN.items() if place == _place(found)]
    return names[0] if names else _importable(found)


def known_trainers() -> dict[str, type[Trainer]]:
    """Return name -> class of the built-in and the registered trainers."""
    return {**{name: find_trainer(name) for name in _BUILT_IN}, **_registered}


def option_names(trainer: type[Trainer]) -> list[str]:
    """Return the keys under `train:` that not all trainers have and this one has."""
    own = [field.name for field in dataclasses.fields(trainer.Options)]
    return own if trainer.working_directory == "unused" else [*own, "working_directory"]


def _place(trainer: type[Trainer]) -> str:
    return f"{trainer.__module__}:{trainer.__qualname__}"


def _importable(trainer: type[Trainer]) -> str:
    place = _place(trainer)
    if trainer.__module__ == "__main__" or "<locals>" in place:
        raise ConfigError(
            f"The trainer {place} is in a script, a notebook or a function; processes that train cannot import it.",
            "Put the class in its own module, beside mix.yaml or installed.",
        )
    return place


def _imported(place: str, folder: Path | None) -> type[Trainer]:
    return _require_usable(imported(place, "trainer", folder))


def _require_usable(trainer: object) -> type[Trainer]:
    if not (isinstance(trainer, type) and issubclass(trainer, Trainer)):
        raise ConfigError(
            f"{trainer!r} is not a subclass of mixlaw.train.trainer.Trainer.", "Derive your class from it."
        )
    if not dataclasses.is_dataclass(trainer.Options):
        raise ConfigError(f"{_place(trainer)}.Options is not a dataclass.", "Decorate it: @dataclass(frozen=True).")
    shared = {"trainer", "working_directory", *(field.name for field in dataclasses.fields(TrainSettings))}
    if taken := sorted(shared & {field.name for field in dataclasses.fields(trainer.Options)}):
        raise ConfigError(
            f"{_place(trainer)}.Options has '{taken[0]}', a key of every trainer.", "Give the option another name."
        )
    return trainer
