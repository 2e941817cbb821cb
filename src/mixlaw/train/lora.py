"""LoRA for the native trainer, by PEFT: the keys of its LoraConfig, a new adapter for every run.

The base model stays frozen and unchanged, so one loaded model serves all runs. What would change it, or train more of
it than the adapter, is refused: the next run would start from what the last one left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixlaw.core.errors import ConfigError, MissingExtra

_KEEPS_THE_BASE = (True, False, "gaussian", "orthogonal")
"""Values of `init_lora_weights` that leave the base's weights as they are."""

_TRAINS_THE_BASE = ("modules_to_save", "trainable_token_indices", "layer_replication")


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
        raise ConfigError(f"PEFT does not take the keys of train.peft: {reason}", "Correct them.") from error
