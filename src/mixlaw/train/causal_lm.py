"""A Hugging Face causal language model as the trainer uses it: summed losses of packed batches, and a way back.

Three things are checked on the loaded model rather than believed, on a dozen random tokens:
that packed conversations don't see one another, that logits may be computed on the supervised positions only
(hidden states, then the output layer; some architectures scale or cap logits after it), and that positions fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.train.packing import PackedBatch, collate
from mixlaw.train.saving import save_model
from mixlaw.train.settings import ModelSettings, TrainSettings

if TYPE_CHECKING:
    import torch

# Elements of one block of logits (rows x vocabulary); larger losses are computed in blocks, with the logits
# computed again in the backward pass. 2**27 float32 are 512 MiB.
_LOGITS_BLOCK = 2**27
# On a CPU, rows up to this length are a sixth faster with plain matrix products than with sdpa's masked kernel;
# from 512 on, sdpa is a sixth faster (1M parameters, bfloat16, one thread; tokens/s: 10,800 and 9,400 at 256,
# 6,200 and 7,400 at 512).
_EAGER_MAX_LENGTH = 256


class CausalLM:
    """The base model on its device, with float32 weights.

    Args:
        model: which model, in which precision.
        train: for the row length, packing and bf16.
        device: a torch device; None for the first GPU, or the CPU where there is none.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ConfigError: the model cannot be loaded, is too short for `max_length`, or mixes packed conversations.
    """

    def __init__(self, model: ModelSettings, train: TrainSettings, device: str | None = None) -> None:
        torch = _import_torch()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.bfloat16 = uses_bfloat16(model, train, self.device)
        self.attention = _attention(model, train, self.device)
        self.network: Any = _load(model, self.attention, self.device)
        self._base = {name: tensor.detach().clone() for name, tensor in _tensors(self.network)}
        self.parameters = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        self.vocabulary: int = self.network.get_input_embeddings().weight.shape[0]
        _check_length(self.network.config, train.max_length, model.name_or_path)
        self._origin = model
        self._on_supervised_only = False
        self._probe(model, train)

    @staticmethod
    def around(
        network: Any, model: ModelSettings, train: TrainSettings, device: torch.device, bfloat16: bool
    ) -> CausalLM:
        """Return a loaded, trained network with the same way to its losses; it cannot be reset.

        Args:
            network: a causal language model, in evaluation mode.
            model: where it comes from, for messages.
            train: for packing.
            device: where it is.
            bfloat16: whether it computes in bfloat16.
        """
        lm = CausalLM.__new__(CausalLM)
        lm.network, lm.device, lm.bfloat16 = network, device, bfloat16
        lm.attention = str(getattr(network.config, "_attn_implementation", "sdpa"))
        lm.vocabulary = network.get_input_embeddings().weight.shape[0]
        lm.parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        lm._base, lm._on_supervised_only, lm._origin = {}, False, model
        return lm

    def reset(self) -> None:
        """Put the base model's weights back."""
        torch = _import_torch()
        with torch.no_grad():
            for name, tensor in _tensors(self.network):
                tensor.copy_(self._base[name])
        self.network.zero_grad(set_to_none=True)

    def trained_and_base(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Yield name, present value and base value of every weight that is trained."""
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                yield name, parameter.detach(), self._base[name]

    def save(self, folder: Path) -> None:
        """Save the model and its tokenizer as they are now, whole or not at all, in the base model's precision."""
        save_model(self.network, self._origin.name_or_path, self._origin.revision, folder)

    def sum_nats(self, batch: PackedBatch) -> torch.Tensor:
        """Return the summed negative log-likelihood of the batch's supervised tokens, nats, float32, with gradient."""
        torch = _import_torch()
        predict, labels = self._indices(batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            states, head = self._states(batch, predict)
            block = max(1, _LOGITS_BLOCK // self.vocabulary)
            if len(labels) <= block:
                return _sum_nats(head, states, labels)
            from torch.utils.checkpoint import checkpoint

            blocks = zip(states.split(block), labels.split(block), strict=True)
            parts = [checkpoint(_sum_nats, head, h, y, use_reentrant=False) for h, y in blocks]
            return torch.stack(parts).sum()

    def token_nats(self, batch: PackedBatch) -> torch.Tensor:
        """Return each supervised token's negative log-likelihood, nats, shape (S,), float32 logits, no gradient."""
        torch = _import_torch()
        predict, labels = self._indices(batch)
        with torch.no_grad():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                states, head = self._states(batch, predict)
            block = max(1, _LOGITS_BLOCK // self.vocabulary)
            parts = [
                torch.nn.functional.cross_entropy(head(h.float()).float(), y, reduction="none")
                for h, y in zip(states.split(block), labels.split(block), strict=True)
            ]
            return torch.cat(parts)

    def _indices(self, batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        torch = _import_torch()
        return (
            torch.from_numpy(batch.predict_S).to(self.device),
            torch.from_numpy(batch.labels_S).to(self.device),
        )

    def _states(self, batch: PackedBatch, predict: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return states at the predicting positions and the function from states to logits."""
        torch = _import_torch()
        inputs = {
            "input_ids": torch.from_numpy(batch.input_ids_BT).to(self.device),
            "position_ids": torch.from_numpy(batch.position_ids_BT).to(self.device),
            "use_cache": False,
        }
        if self._on_supervised_only:
            states = self.network.base_model(**inputs).last_hidden_state
            return states.flatten(0, 1).index_select(0, predict), self.network.get_output_embeddings()
        return self.network(**inputs).logits.flatten(0, 1).index_select(0, predict), torch.nn.Identity()

    def _probe(self, model: ModelSettings, train: TrainSettings) -> None:
        """Find out what the model's architecture allows."""
        rng = np.random.default_rng(0)
        pair = [(rng.integers(0, self.vocabulary, n), np.ones(n, np.uint8)) for n in (7, 5)]
        bfloat16, self.bfloat16 = self.bfloat16, self.attention == "flash_attention_2"
        # Wrong in kind is wrong by about a nat; rounding is 1e-5 in float32 and a few hundredths in bfloat16.
        tolerance = 0.2 if self.bfloat16 else 5e-3
        self.network.eval()
        alone = np.concatenate([self.token_nats(collate([[one]])).cpu().numpy() for one in pair])
        if train.packing:
            packed = self.token_nats(collate([pair])).cpu().numpy()
            if not np.allclose(packed, alone, atol=tolerance, rtol=tolerance):
                raise ConfigError(
                    f"The model {model.name_or_path} ({type(self.network).__name__}) lets packed conversations "
                    f"attend to one another: a token's loss changes by {np.abs(packed - alone).max():.2g} nats.",
                    "Set train.packing to false, or choose another model.attn_implementation.",
                )
        if _has_body_and_head(self.network):
            self._on_supervised_only = True
            try:
                split = np.concatenate([self.token_nats(collate([[one]])).cpu().numpy() for one in pair])
                self._on_supervised_only = bool(np.allclose(split, alone, atol=tolerance, rtol=tolerance))
            except (AttributeError, TypeError, RuntimeError):
                self._on_supervised_only = False
        self.bfloat16 = bfloat16


def _sum_nats(head: Any, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    torch = _import_torch()
    return torch.nn.functional.cross_entropy(head(states).float(), labels, reduction="sum")


def _tensors(network: Any) -> list[tuple[str, torch.Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]


def _has_body_and_head(network: Any) -> bool:
    return network.base_model is not network and network.get_output_embeddings() is not None


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "train", "Training") from None
    return torch


def _load(model: ModelSettings, attention: str, device: torch.device) -> Any:
    torch = _import_torch()
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise MissingExtra("transformers", "train", "Training") from None
    try:
        network = AutoModelForCausalLM.from_pretrained(
            model.name_or_path,
            revision=model.revision or "main",
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
        )
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"The model {model.name_or_path} (revision {model.revision or 'main'}) cannot be loaded: {reason}",
            "Check model.name_or_path and model.revision; weights must be safetensors.",
        ) from error
    # The loaded tensors may be views into the file's memory map, at any alignment; own, aligned storage makes a
    # run's arithmetic independent of whether it is the first one in the process.
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    network.to(device)  # type: ignore[arg-type]
    return network


def _check_length(config: Any, max_length: int, name: str) -> None:
    longest = getattr(config, "max_position_embeddings", None)
    if isinstance(longest, int) and 0 < longest < max_length:
        raise ConfigError(
            f"train.max_length is {max_length}, but the model {name} has {longest} positions.",
            f"Set train.max_length to at most {longest}.",
        )


def _attention(model: ModelSettings, train: TrainSettings, device: torch.device) -> str:
    if model.attn_implementation != "auto":
        return model.attn_implementation
    return "eager" if device.type == "cpu" and train.max_length <= _EAGER_MAX_LENGTH else "sdpa"


def uses_bfloat16(model: ModelSettings, train: TrainSettings, device: torch.device) -> bool:
    """Whether forward and backward pass are in bfloat16 on a device."""
    if model.dtype != "auto":
        return model.dtype == "bfloat16"
    if train.bf16 != "auto":
        return bool(train.bf16)
    torch = _import_torch()
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without these instructions bfloat16 is emulated and slower than float32.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)
