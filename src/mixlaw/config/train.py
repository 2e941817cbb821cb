"""`train:` of mix.yaml: the keys of every trainer, and those of the one that is named.

The keys of a trainer are the fields of its `Options`; a node class is made of both, so that all problems of a
mix.yaml are reported at once, whoever's keys they are in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, SerializeAsAny, ValidationError, ValidationInfo, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from mixlaw.config.base import Node
from mixlaw.core.errors import ConfigError, MixlawError
from mixlaw.core.files import expanded
from mixlaw.train.registry import DEFAULT, address_of, find_trainer, known_trainers, option_names
from mixlaw.train.settings import TrainSettings
from mixlaw.train.trainer import Trainer


class _NamedTrainer(Node):
    trainer: str = DEFAULT


def _fields_of(kind: type) -> dict[str, Any]:
    """Return the fields of a dataclass as Pydantic takes them: name -> (type, default)."""
    types, fields = get_type_hints(kind, include_extras=True), {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            default: Any = FieldInfo(default_factory=field.default_factory)
        else:
            default = ... if field.default is dataclasses.MISSING else field.default
        fields[field.name] = (types[field.name], default)
    return fields


class TrainNode(create_model("_Settings", __base__=_NamedTrainer, **_fields_of(TrainSettings))):
    """How each run trains: the fields and defaults of `TrainSettings`, which also checks their ranges."""

    @property
    def settings(self) -> TrainSettings:
        """What every trainer is told."""
        return TrainSettings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(TrainSettings)})

    @property
    def folder(self) -> Path:
        """The working directory."""
        return Path(getattr(self, "working_directory", None) or ".")

    @property
    def trainer_class(self) -> type[Trainer]:
        """The trainer."""
        return find_trainer(self.trainer, self.folder)

    @property
    def options(self) -> Any:
        """What the trainer alone is told, an instance of its `Options`."""
        kind = self.trainer_class.Options
        return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

    @model_validator(mode="after")
    def _options_are_sound(self) -> TrainNode:
        try:
            _ = self.options
        except MixlawError as error:
            raise ValueError(str(error)) from None
        return self


@lru_cache
def _node_of(trainer: type[Trainer]) -> type[TrainNode]:
    """Return the node class with a trainer's own keys, too."""
    fields = _fields_of(trainer.Options)
    if trainer.working_directory != "unused":
        fields["working_directory"] = (str | None, None)
    return create_model("TrainNode", __base__=TrainNode, __module__=__name__, **fields) if fields else TrainNode


def _of_its_trainer(value: Any, info: ValidationInfo) -> Any:
    """Return the node of the trainer that is named; a key of any trainer that is empty is as if it were not there."""
    trainer = value.get("trainer", DEFAULT) if isinstance(value, Mapping) else None
    if not isinstance(trainer, (str, type)):
        return value  # of a wrong shape: the node says so
    try:
        place = Path((info.context or {}).get("folder", ".")) / expanded(str(value.get("working_directory") or "."))
        found = find_trainer(trainer, place)
        tree = {**value, "trainer": address_of(trainer)}
    except ConfigError as error:
        text = str(error)
        problem = PydanticCustomError("trainer", "{text}", {"text": text[0].lower() + text[1:]})
        details = InitErrorDetails(type=problem, loc=("trainer",), input=trainer)
        raise ValidationError.from_exception_data("TrainNode", [details]) from None
    optional = {key for other in (*known_trainers().values(), found) for key in option_names(other)}
    return _node_of(found).model_validate({k: v for k, v in tree.items() if v is not None or k not in optional})


def default_train() -> TrainNode:
    """Return `train:` where mix.yaml does not have it: the default trainer with its own defaults."""
    return _node_of(find_trainer(DEFAULT))()


Train = Annotated[SerializeAsAny[TrainNode], BeforeValidator(_of_its_trainer)]


def train_keys(tree: Any) -> list[str]:
    """Return the keys that `train:` may have, those of all trainers included."""
    own = {key for other in known_trainers().values() for key in option_names(other)}
    return [*TrainNode.model_fields, *sorted(own | set(option_names(_chosen(tree))))]


def train_problem(kind: str, key: str, tree: Any) -> str:
    """Return what is wrong with a key of `train:` that is another trainer's, or missing; empty for other problems.

    Args:
        kind: Pydantic's kind of error.
        key: the key.
        tree: what was written under `train:`.
    """
    if kind == "missing":
        trainer = _chosen(tree)
        described = _node_of(trainer).model_fields[key].description or f"the key {key}"
        return f"train: trainer: {tree.get('trainer')} needs {described}"
    users = [name for name, other in known_trainers().items() if key in option_names(other)]
    if kind == "extra_forbidden" and users:
        return f"train: {key} is an option of trainer: {' and '.join(users)}; remove it, or change trainer"
    return ""


def _chosen(tree: Any) -> type[Trainer]:
    return find_trainer(tree.get("trainer", DEFAULT))
