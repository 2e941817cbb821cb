"""LoRA for the native trainer, by PEFT: the keys of its LoraConfig, a new adapter for every run.

The base model stays frozen and unchanged, so one loaded model serves all runs. What would change it, or train more of
it than the adapter, is refused: the next run would start from what the last one left.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.core.suggestions import suggest
from mixlaw.train.settings import ModelSettings

_KEEPS_THE_BASE = (True, False, "gaussian", "orthogonal")
"""Values of `init_lora_weights` that leave the base's weights as they are."""

_MEANT = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "target_modules"}
"""Names that other programs have for keys of LoraConfig."""

_TRAINS_THE_BASE = ("modules_to_save", "trainable_token_indices", "layer_replication")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "r": (lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1, "a whole number >= 1"),
    "lora_alpha": (lambda v: _is_number(v) and v > 0, "a number > 0"),
    "lora_dropout": (lambda v: _is_number(v) and 0 <= v < 1, "a number >= 0 and < 1"),
    "target_modules": (
        lambda v: isinstance(v, (str, list)) and bool(v) and all(isinstance(name, str) for name in v),
        "a name or a list of names, such as all-linear or [q_proj, v_proj]",
    ),
}  # fmt: skip


def check_values(peft: Mapping[str, Any]) -> None:
    """Raise ConfigError where a value cannot be one of LoraConfig; without PEFT, so that it is seen at once."""
    for name, (fits, rule) in _VALUES.items():
        if name in peft and not fits(peft[name]):
            raise ConfigError(f"train.peft.{name} is {peft[name]!r}; it must be {rule}.", "Correct it.")


def check_fits(peft: Mapping[str, Any], model: ModelSettings) -> None:
    """Raise ConfigError where PEFT refuses keys, values or modules for a model; loads no weights of it.

    Where PEFT is not installed or the model's configuration cannot be read, nothing is said: others say so.

    Args:
        peft: keys of LoraConfig.
        model: the base model.
    """
    if find_spec("peft") is None:
        return
    from peft import LoraConfig

    known = [name for name in inspect.signature(LoraConfig).parameters if name != "self"]
    for name in peft:
        if name not in known:
            meant = f"did you mean '{_MEANT[name]}'" if name in _MEANT else _near(name, known)
            raise ConfigError(
                f"train.peft.{name} is no key of PEFT's LoraConfig{meant and f'; {meant}'}.", "Correct it."
            )
    if (network := _without_weights(model)) is not None:
        try:
            adapted(network, peft, 0)
        except ConfigError as error:
            raise ConfigError(
                error.message, f"Correct it; modules of {model.name_or_path}: {_modules(network)}."
            ) from None


def _near(name: str, known: list[str]) -> str:
    near = suggest(name, known)
    return near if near.startswith("did") else ""


def _without_weights(model: ModelSettings) -> Any:
    """Return a model's network on the device `meta`, which keeps shapes only; None where it cannot be made."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(model.name_or_path, revision=model.revision or "main")
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except Exception:  # of transformers, of the hub: loading the model says it
        return None


def _modules(network: Any) -> str:
    """Return the names of a network's linear layers."""
    import torch

    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    return ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in linear if name != "lm_head"))


def check_keys(peft: Mapping[str, Any]) -> None:
    """Raise ConfigError where keys of LoraConfig would change the base model."""
    for name in _TRAINS_THE_BASE:
        if peft.get(name):
            raise ConfigError(
                f"train.peft.{name} changes the base model; the trainer 'native' keeps it as it is between runs.",
                "Drop the key, or use trainer: trl.",
            )
    if peft.get("bias", "none") != "none":
        raise ConfigError(
            f"train.peft.bias is {peft['bias']!r}; the trainer 'native' trains the adapter only.",
            "Drop the key, or use trainer: trl.",
        )
    initial = peft.get("init_lora_weights", True)
    if initial not in _KEEPS_THE_BASE:
        raise ConfigError(
            f"train.peft.init_lora_weights is {initial!r}; with the trainer 'native' it must be one of "
            f"{', '.join(map(str, _KEEPS_THE_BASE))}, which leave the base's weights as they are.",
            "Correct it, or use trainer: trl.",
        )


def adapted(network: Any, peft: Mapping[str, Any], seed: int) -> Any:
    """Return a PEFT model around a network, with a new adapter whose weights follow from the seed.

    Args:
        network: a causal language model of transformers; its layers are wrapped in place.
        peft: keys of LoraConfig.
        seed: of the adapter's weights.

    Raises:
        MissingExtra: PEFT is not installed.
        ConfigError: PEFT does not take the keys.
    """
    try:
        import torch
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingExtra("peft", "trl", "train.peft") from None
    vars(network).pop("peft_config", None)  # of an adapter that was taken off
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return get_peft_model(network, LoraConfig(**{"task_type": "CAUSAL_LM", **peft}))
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"PEFT refuses train.peft: {reason.rstrip('.')}.", "Correct it.") from error
