"""The trainer `trl`: TRL's SFTTrainer, one child process a run, on one GPU or several through `accelerate launch`.

The rows are those that every trainer of mixlaw gets, tokenised and masked once, so that the supervised tokens are the
same; TRL packs them. `mixlaw.train.trl_run` is the child.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mixlaw.core.documents import write_document
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.rows import replace_folder
from mixlaw.train.lora import check_fits, check_values
from mixlaw.train.program import call, empty_folders, read_result
from mixlaw.train.sample import draw_sample, training_order
from mixlaw.train.settings import ModelSettings
from mixlaw.train.trainer import MODEL, Progress, Trainer

_CHILD = "mixlaw.train.trl_run"

OWN = (
    *("output_dir", "max_length", "packing", "seed", "data_seed", "num_train_epochs", "max_steps", "learning_rate"),
    *("dataset_kwargs", "shuffle_dataset", "save_strategy", "bf16", "lr_scheduler_type", "weight_decay"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "warmup_ratio", "warmup_steps", "max_grad_norm"),
)
"""SFTConfig's keys that mixlaw sets from `train:`; they cannot be given under `train.sft`."""


@dataclass(frozen=True)
class TrlOptions:
    """What TRL is told beyond `TrainSettings`; part of a run's identity.

    Attributes:
        peft: keys of PEFT's LoraConfig, such as `{"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}`; None
            for full fine-tuning.
        sft: further keys of TRL's SFTConfig, such as `{"gradient_checkpointing": True}`.
        launch: what starts several processes, such as `accelerate launch --num_processes 4`; empty for one.

    Raises:
        ConfigError: a key of `sft` that mixlaw sets itself, a value of `peft` out of its range, or a launcher whose
            quotes do not match.
    """

    peft: Annotated[dict[str, Any] | None, Field(description="keys of PEFT's LoraConfig")] = None
    sft: Annotated[dict[str, Any], Field(description="further keys of TRL's SFTConfig")] = field(default_factory=dict)
    launch: Annotated[str, Field(description="a launcher, such as: accelerate launch --num_processes 4")] = ""

    def __post_init__(self) -> None:
        if taken := sorted(set(self.sft) & set(OWN)):
            raise ConfigError(
                f"train.sft sets {taken[0]}, which mixlaw sets itself.", "Set it under train:, or remove it."
            )
        check_values(self.peft or {})
        try:
            shlex.split(self.launch)
        except ValueError as error:
            raise ConfigError(f"train.launch cannot be read: {error}.", "Close the quotes.") from None


class TrlTrainer(Trainer):
    """Trains by starting `mixlaw.train.trl_run`, once a run; launchers run in the working directory."""

    name = "trl"
    Options = TrlOptions
    packages = ("trl",)
    extra = "trl"
    base_model = "measured"

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.check(self.options, self.folder)

    @classmethod
    def check_model(cls, options: TrlOptions, model: ModelSettings) -> None:
        """Raise ConfigError where PEFT does not take the keys of `peft` for the model."""
        if options.peft is not None:
            check_fits(options.peft, model)

    @classmethod
    def needs(cls, options: TrlOptions) -> tuple[str, ...]:
        """Return `trl`, and `peft` where LoRA is asked for."""
        return cls.packages if options.peft is None else (*cls.packages, "peft")

    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Write the run's order, start the child, and read its result.

        Raises:
            DataError: the spec asks for tokens of a domain that has no rows.
            ConfigError: the launcher cannot be started.
            RunFailed: the child ended with an error, or without a usable result.
        """
        began = time.perf_counter()
        sample = draw_sample(spec, self.train_rows, self.settings)
        given, output = empty_folders(folder)
        names = sorted(sample.rows)
        order = training_order(spec, sample, 0)
        places = [(names.index(name), row) for name, row in order]
        np.save(given / "order.npy", np.array(places, np.int64).reshape(-1, 2))
        epochs = self.settings.num_train_epochs
        write_document(
            given / "spec.json",
            "trl_spec",
            {
                "run": spec.name,
                "seed": spec.seed,
                "model": self.model.to_json(),
                "train": self.settings.to_json(),
                "trl": asdict(self.options),
                "train_rows": [str(self.train_rows[name].folder.resolve()) for name in names],
                "validation_rows": {name: str(rows.folder.resolve()) for name, rows in self.validation_rows.items()},
                "train_model": not spec.untrained,
                "supervised_tokens": sum(sample.supervised_tokens.values()) // epochs,
                "order": str((given / "order.npy").resolve()),
                "output_dir": str(output.resolve()),
                "result": str((output / "result.json").resolve()),
                "model_folder": str((output / MODEL).resolve()) if spec.keep_model else None,
            },
        )
        launcher = shlex.split(self.options.launch) or [sys.executable]
        words = [*launcher, "-m", _CHILD, str((given / "spec.json").resolve())]
        call(words, self.folder, folder / "trl.log", spec.name, "train.launch")
        losses, steps, parameters = read_result(output / "result.json", spec.name, list(self.validation_rows))
        if spec.keep_model:
            replace_folder(output / MODEL, folder / MODEL)
        shutil.rmtree(output, ignore_errors=True)  # checkpoints of proxy runs are of no use
        self.timing = {"train_s": time.perf_counter() - began}
        return sample.record(spec, losses, steps, parameters)
