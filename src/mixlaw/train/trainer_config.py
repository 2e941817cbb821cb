"""What a worker process needs to build the trainer: settings and the folders of tokenised rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixlaw.core.collecting import no_collecting
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.train.registry import DEFAULT, address_of, find_trainer
from mixlaw.train.settings import ModelSettings, TrainSettings, model_fingerprint
from mixlaw.train.trainer import Trainer


@dataclass(frozen=True)
class TrainerConfig:
    """A trainer on disk: everything but the mixture.

    Attributes:
        model: the base model.
        train: the training settings.
        train_rows: domain -> folder of its TokenRows.
        validation_rows: target -> folder of its TokenRows.
        inputs: what RunSpec.inputs of a run with this trainer must be: `model`, `train`, `data:<domain>`,
            `validation:<target>`, `trainer:<what it reads besides>` -> content hash. `of` computes it.
        trainer: which trainer, as any process finds it: its name or `package.module:Class`.
        options: what that trainer alone is told: the fields of its `Options`.
        folder: its working directory; no part of a run's identity.
    """

    model: ModelSettings
    train: TrainSettings
    train_rows: Mapping[str, Path]
    validation_rows: Mapping[str, Path]
    inputs: Mapping[str, str] = field(default_factory=dict)
    trainer: str = DEFAULT
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path(".")

    @staticmethod
    def of(
        model: ModelSettings,
        train: TrainSettings,
        train_rows: Mapping[str, str | Path],
        validation_rows: Mapping[str, str | Path],
        *,
        trainer: str | type[Trainer] = DEFAULT,
        options: Mapping[str, Any] | None = None,
        folder: Path = Path("."),
    ) -> TrainerConfig:
        """Return the configuration with the content hashes of model, settings and rows.

        Raises:
            ConfigError: the model's folder is incomplete, or the trainer unknown or not told what it needs.
            DataError: a folder holds no tokenised rows.
        """
        from mixlaw.data.rows import TokenRows

        kind, address = find_trainer(trainer, folder), address_of(trainer)
        chosen = _options(kind, options or {})
        how = train.fingerprint
        # The default trainer without options of its own counts as it always did: finished runs keep their identity.
        if address != DEFAULT or chosen != kind.Options():
            how = fingerprint({"settings": train.to_json(), "trainer": address, "options": asdict(chosen)})
        inputs = {"model": model_fingerprint(model), "train": how}
        inputs |= {f"trainer:{name}": value for name, value in kind.inputs(chosen, folder).items()}
        inputs |= {f"data:{name}": TokenRows.open(folder).fingerprint for name, folder in train_rows.items()}
        inputs |= {f"validation:{name}": TokenRows.open(f).fingerprint for name, f in validation_rows.items()}
        return TrainerConfig(
            model,
            train,
            {name: Path(folder) for name, folder in train_rows.items()},
            {name: Path(folder) for name, folder in validation_rows.items()},
            inputs,
            address,
            asdict(chosen),
            folder,
        )

    @property
    def trainer_class(self) -> type[Trainer]:
        """The trainer's class; raises ConfigError where it cannot be imported."""
        return find_trainer(self.trainer, self.folder)

    def build(self) -> Trainer:
        """Return the trainer; `native` loads the model and imports torch.

        Raises:
            ConfigError: the trainer is unknown, or the model or the command cannot be used.
            DataError: rows are missing or don't fit the model.
        """
        from mixlaw.data.rows import TokenRows

        train_rows = {name: TokenRows.open(folder) for name, folder in self.train_rows.items()}
        validation_rows = {name: TokenRows.open(folder) for name, folder in self.validation_rows.items()}
        kind = self.trainer_class
        options = _options(kind, self.options)
        parts = (self.model, self.train, train_rows, validation_rows)
        with no_collecting():
            return kind(*parts, options=options, folder=self.folder)

    def to_json(self, relative_to: Path) -> dict[str, Any]:
        """Return the JSON form; folders inside `relative_to` become relative, so that the study can be moved."""
        model = self.model.to_json()
        if Path(self.model.name_or_path).expanduser().is_dir():
            model["name_or_path"] = _relative(Path(self.model.name_or_path).expanduser(), relative_to)
            model["local"] = True
        return {
            "trainer": self.trainer,
            "options": dict(self.options),
            "folder": str(self.folder),
            "model": model,
            "train": self.train.to_json(),
            "train_rows": {name: _relative(folder, relative_to) for name, folder in self.train_rows.items()},
            "validation_rows": {name: _relative(f, relative_to) for name, f in self.validation_rows.items()},
            "inputs": dict(self.inputs),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], relative_to: Path) -> TrainerConfig:
        """Return the configuration; raise DataError where a key is missing."""
        try:
            model = dict(value["model"])
            if model.pop("local", False):
                model["name_or_path"] = str(relative_to / model["name_or_path"])
            return TrainerConfig(
                ModelSettings.from_json(model),
                TrainSettings.from_json(value["train"]),
                {name: relative_to / folder for name, folder in value["train_rows"].items()},
                {name: relative_to / folder for name, folder in value["validation_rows"].items()},
                value["inputs"],
                value["trainer"],
                value.get("options", {}),
                Path(value.get("folder", ".")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"trainer.json lacks {error}.", "Plan the runs again.") from None

    def mismatches(self, inputs: Mapping[str, str], domains: Iterable[str]) -> list[str]:
        """Return the names of the inputs of a spec that this trainer would not reproduce.

        Args:
            inputs: RunSpec.inputs.
            domains: the domains whose tokens the spec asks for; the data of others does not matter.
        """
        ignored = {f"data:{name}" for name in self.train_rows} - {f"data:{name}" for name in domains}
        relevant = (set(inputs) | set(self.inputs)) - ignored
        return sorted(name for name in relevant if inputs.get(name) != self.inputs.get(name))


def _options(kind: type[Trainer], options: Mapping[str, Any]) -> Any:
    try:
        return kind.Options(**options)
    except TypeError as error:
        raise ConfigError(
            f"The options in trainer.json are not those of the trainer '{kind.name}': {error}.", "Plan the runs again."
        ) from None


def _relative(path: Path, base: Path) -> str:
    path, base = path.resolve(), base.resolve()
    return os.path.relpath(path, base) if path.is_relative_to(base) else str(path)
