"""What a trainer needs to know besides the mixture: the base model and the training settings.

The names are Hugging Face's where one exists. Both values are part of a run's identity: change any field
and the run has another id.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixlaw.core.errors import ConfigError
from mixlaw.core.fingerprints import file_fingerprint, fingerprint

DTYPES = ("auto", "float32", "bfloat16")
SCHEDULES = ("cosine", "linear", "constant")
ATTENTION = ("auto", "eager", "sdpa", "flash_attention_2")
# A model's weights, shape and code come from these; a README beside them changes no loss.
_MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json")


@dataclass(frozen=True)
class ModelSettings:
    """The base model that every run starts from.

    Attributes:
        name_or_path: a folder with `config.json` and safetensors, or a Hugging Face model id.
        revision: the commit of a Hugging Face model.
        dtype: the precision of the forward and backward pass: `float32`, `bfloat16`, or `auto` (what
            `TrainSettings.bf16` says). Weights and optimiser state are float32 in every case, because updates
            at fine-tuning learning rates are smaller than bfloat16 resolves.
        attn_implementation: `auto`, `eager`, `sdpa` or `flash_attention_2`.

    Raises:
        ConfigError: an unknown dtype or attention implementation, or an empty name.
    """

    name_or_path: str
    revision: str | None = None
    dtype: str = "auto"
    attn_implementation: str = "auto"

    def __post_init__(self) -> None:
        if not self.name_or_path:
            raise ConfigError("model.name_or_path is empty.", "Give a folder or a Hugging Face model id.")
        _one_of("model.dtype", self.dtype, DTYPES)
        _one_of("model.attn_implementation", self.attn_implementation, ATTENTION)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ModelSettings:
        """Return the settings; raise ConfigError for an unknown field."""
        return _from_json(ModelSettings, value)


@dataclass(frozen=True)
class TrainSettings:
    """How every run trains.

    Attributes:
        learning_rate: peak learning rate of AdamW.
        num_train_epochs: passes E over a run's sample. A run of N tokens trains on N tokens in total: N / E
            distinct tokens, seen E times.
        max_length: tokens of a packed row; longer conversations were cut when they were tokenised.
        packing: put several conversations in one row; they never see one another.
        per_device_train_batch_size: rows in one forward and backward pass.
        gradient_accumulation_steps: passes in one optimiser step.
        lr_scheduler_type: `cosine`, `linear` (both to zero) or `constant`, after the warm-up.
        warmup_ratio: share of the steps in which the learning rate rises linearly.
        weight_decay: AdamW's, on matrices only (not on norms and biases).
        adam_beta1, adam_beta2, adam_epsilon: AdamW's.
        max_grad_norm: gradients are scaled down to this Euclidean norm; 0 turns that off.
        bf16: `auto` (where the processor has instructions for it), True or False.
        per_device_eval_batch_size: conversations in one evaluation pass.
        eval_rows: at most so many validation conversations a target, chosen by the target's name; None for all.

    Raises:
        ConfigError: a value outside its range; the message names the field and the range.
    """

    learning_rate: float = 2e-5
    num_train_epochs: int = 1
    max_length: int = 2048
    packing: bool = True
    per_device_train_batch_size: int = 4
    gradient_accumulation_steps: int = 1
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    bf16: bool | Literal["auto"] = "auto"
    per_device_eval_batch_size: int = 16
    eval_rows: int | None = None

    def __post_init__(self) -> None:
        _one_of("train.lr_scheduler_type", self.lr_scheduler_type, SCHEDULES)
        _one_of("train.bf16", self.bf16, ("auto", True, False))
        for name in _COUNTS:
            value = getattr(self, name)
            if name == "eval_rows" and value is None:
                continue
            least = 2 if name == "max_length" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"train.{name} is {value!r}; it must be a whole number >= {least}.", "Correct it.")
        for name, (low, high, rule) in _RANGES.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ConfigError(f"train.{name} is {value!r}; it must be {rule}.", "Correct it.")
        if not self.learning_rate > 0:
            raise ConfigError(f"train.learning_rate is {self.learning_rate!r}; it must be > 0.", "Try 2e-5.")

    @property
    def fingerprint(self) -> str:
        """Content hash of the settings, 64 hexadecimal digits."""
        return fingerprint(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TrainSettings:
        """Return the settings; raise ConfigError for an unknown field."""
        return _from_json(TrainSettings, value)


_COUNTS = (
    "num_train_epochs",
    "max_length",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "per_device_eval_batch_size",
    "eval_rows",
)
_RANGES = {
    "learning_rate": (0.0, 1e3, "a positive number"),
    "warmup_ratio": (0.0, 1.0, "in [0, 1]"),
    "weight_decay": (0.0, 1e3, "a number >= 0"),
    "adam_beta1": (0.0, 1 - 1e-12, "in [0, 1)"),
    "adam_beta2": (0.0, 1 - 1e-12, "in [0, 1)"),
    "adam_epsilon": (0.0, 1.0, "in [0, 1]"),
    "max_grad_norm": (0.0, 1e9, "a number >= 0"),
}


def model_fingerprint(settings: ModelSettings) -> str:
    """Return the content hash of the base model and of the precision it runs in.

    A local folder counts by the bytes of its `config.json` and safetensors files, wherever it lies; a hub id by
    name and revision.

    Raises:
        ConfigError: the folder has no `config.json` or no safetensors file.
    """
    folder = Path(settings.name_or_path).expanduser()
    if folder.is_dir():
        files = sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern)})
        names = {path.name for path in files}
        if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
            raise ConfigError(
                f"The model folder {folder} has no {'config.json' if 'config.json' not in names else 'safetensors'}.",
                "Save the model with save_pretrained(..., safe_serialization=True).",
            )
        content: Any = {path.name: file_fingerprint(path) for path in files}
    elif folder.exists() or settings.name_or_path.startswith((".", "/", "~")):
        raise ConfigError(
            f"The model {settings.name_or_path} is not a folder.", "Give a model's folder, or a Hugging Face id."
        )
    else:
        content = f"{settings.name_or_path}@{settings.revision or 'main'}"
    return fingerprint(
        {"content": content, "dtype": settings.dtype, "attn_implementation": settings.attn_implementation}
    )


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        choices = ", ".join(str(choice) for choice in allowed)
        raise ConfigError(f"{name} is {value!r}; it must be one of {choices}.", "Correct it.")


def _from_json(kind: Any, value: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := set(value) - known:
        raise ConfigError(f"Unknown field '{min(unknown)}'; known: {', '.join(sorted(known))}.", "Correct the name.")
    return kind(**value)
