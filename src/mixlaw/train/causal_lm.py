"""A Hugging Face causal language model as the trainer uses it: summed losses of packed batches, and a way back.

Four things are checked on the loaded model rather than believed, on a dozen random tokens:
that packed conversations don't see one another, that logits may be computed on the supervised positions only
(hidden states, then the output layer; some architectures scale or cap logits after it), that attention may be computed
conversation by conversation (`mixlaw.train.conversation_attention`, on a CPU), and that positions fit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.train import head_loss
from mixlaw.train.base_weights import BaseWeights
from mixlaw.train.conversation_attention import NAME, CannotAttend, layout_of, register
from mixlaw.train.fused_layers import fuse, release
from mixlaw.train.lora import adapted
from mixlaw.train.memory import return_freed_memory, rows_at_once
from mixlaw.train.packing import PackedBatch, collate
from mixlaw.train.positions import check_positions
from mixlaw.train.saving import damaged_weights, save_model
from mixlaw.train.settings import ModelSettings, TrainSettings

if TYPE_CHECKING:
    import torch

# On a CPU, rows up to this length are a sixth faster with plain matrix products than with sdpa's masked kernel;
# from 512 on, sdpa is a sixth faster (1M parameters, bfloat16, one thread; tokens/s: 10,800 and 9,400 at 256,
# 6,200 and 7,400 at 512). Only for models whose attention cannot be computed conversation by conversation.
_EAGER_MAX_LENGTH = 256
# Bytes of attention probabilities that are kept for the backward pass; of larger batches they are computed again.
_KEPT_PROBABILITIES = 2**26
# Nats, and share of a loss, by which rounding alone may change it in float32; measured on SmolLM2-135M: 3e-5 of 15.
_ROUNDING = 5e-5


class CausalLM:
    """The base model on its device, with float32 weights.

    Args:
        model: which model, in which precision.
        train: for the row length, packing and bf16.
        device: a torch device; None for the first GPU, or the CPU where there is none.
        peft: keys of PEFT's LoraConfig, to train an adapter; None to train all weights.
        checkpointing: compute activations again in the backward pass instead of keeping them.

    Raises:
        MissingExtra: torch, transformers or PEFT is not installed.
        ConfigError: the model cannot be loaded, is too short for `max_length`, or mixes packed conversations.
    """

    def __init__(
        self,
        model: ModelSettings,
        train: TrainSettings,
        device: str | None = None,
        *,
        peft: Mapping[str, Any] | None = None,
        checkpointing: bool = False,
    ) -> None:
        torch = _import_torch()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.bfloat16 = uses_bfloat16(model, train, self.device)
        self.attention = _attention(model, train, self.device)
        self.network: Any = _load(model, self.attention, self.device)
        self._base = BaseWeights(self.network, model)
        self._peft, self._adapted, self._changed = peft, None, False
        self.vocabulary: int = self.network.get_input_embeddings().weight.shape[0]
        longest = getattr(self.network.config, "max_position_embeddings", None)
        check_positions(longest, train.max_length, model.name_or_path)
        self._origin = model
        self._on_supervised_only = self.by_conversation = self._checkpointing = False
        self._probe(model, train)
        self._checkpointing = checkpointing
        self.rows_at_once = rows_at_once(self.network.config, train.max_length, self.device)
        if checkpointing:
            self.rows_at_once = sys.maxsize
            _enable_checkpointing(self.network)
        if peft is not None:
            self.reset()
        self.parameters = sum(p.numel() for p in self.network.parameters() if p.requires_grad)

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
        lm._on_supervised_only = lm.by_conversation = lm._checkpointing = False
        lm._origin, lm._peft, lm._adapted = model, None, None
        return lm

    def reset(self, seed: int = 0) -> None:
        """Put the base model's weights back, with a new adapter where one is trained.

        Args:
            seed: of the adapter's weights.
        """
        if self._peft is None:
            self._base.restore(self.network)
        else:
            if self._adapted is not None:
                self._adapted.unload()
            if self._changed:
                self._base.restore(self.network)
                self._changed = False
            self._adapted = adapted(self.network, self._peft, seed)
        self.network.zero_grad(set_to_none=True)
        return_freed_memory()

    def trained(self) -> dict[str, torch.Tensor]:
        """Return name -> present value of every weight that full fine-tuning trains."""
        return {name: p.detach() for name, p in self.network.named_parameters() if p.requires_grad}

    def trained_and_base(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Yield name, present value and base value of each of them, one after the other."""
        now = self.trained()
        for name, base in self._base.values(list(now)):
            yield name, now[name], base.to(now[name])

    def save(self, folder: Path) -> None:
        """Save the model and its tokenizer as they are now, whole or not at all, in the base model's precision.

        An adapter is merged into the base, which is put back by the next `reset`; the adapter alone is saved beside the
        folder, as `adapter`, for those who merge it themselves.
        """
        network = self.network
        if self._adapted is not None:
            self._adapted.save_pretrained(folder.parent / "adapter")
            network, self._changed = self._adapted, True
        save_model(network, self._origin.name_or_path, self._origin.revision, folder)
        if self._adapted is not None:
            self._adapted = None  # merged

    def sum_nats(self, batch: PackedBatch) -> torch.Tensor:
        """Return the summed negative log-likelihood of the batch's supervised tokens, nats, float32, with gradient."""
        return self.sums_of_nats(batch, [len(batch.labels_S)])[0]

    def sums_of_nats(self, batch: PackedBatch, counts: Sequence[int]) -> list[torch.Tensor]:
        """Return that sum for each of some parts, of so many supervised tokens one after the other; 0 without any."""
        torch = _import_torch()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            states, head, labels = self._states(batch)
            parts = zip(states.split(list(counts)), labels.split(list(counts)), strict=True)
            return [self._sum_nats(head, h, y) if len(y) else states.new_zeros(()) for h, y in parts]

    def _sum_nats(self, head: Any, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        torch = _import_torch()
        if head_loss.fits(head):
            return head_loss.sum_nats(head, states, labels, torch.bfloat16 if self.bfloat16 else states.dtype)
        block = self._labels_at_once
        if len(labels) <= block:
            return _sum_nats(head, states, labels)
        from torch.utils.checkpoint import checkpoint

        blocks = zip(states.split(block), labels.split(block), strict=True)
        return torch.stack([checkpoint(_sum_nats, head, h, y, use_reentrant=False) for h, y in blocks]).sum()

    def token_nats(self, batch: PackedBatch) -> torch.Tensor:
        """Return each supervised token's negative log-likelihood, nats, shape (S,), float32 logits, no gradient."""
        torch = _import_torch()
        with torch.inference_mode():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                states, head, labels = self._states(batch)
            block = self._labels_at_once
            parts = [
                torch.nn.functional.cross_entropy(head(h.float()).float(), y, reduction="none")
                for h, y in zip(states.split(block), labels.split(block), strict=True)
            ]
            return torch.cat(parts)

    def places(self, part: PackedBatch, batch: PackedBatch) -> int:
        """Return how many places some rows take in the network's pass over a batch that has them."""
        return part.tokens if self.by_conversation else len(part.input_ids_BT) * batch.input_ids_BT.shape[1]

    @property
    def _labels_at_once(self) -> int:
        return max(1, head_loss.LOGITS_AT_ONCE // self.vocabulary)

    def _states(self, batch: PackedBatch) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Return states at the predicting positions, the function from states to logits, and the labels."""
        torch = _import_torch()
        inputs: dict[str, Any] = {"use_cache": False}
        if self.by_conversation:
            batch = batch.in_one_row
            inputs["layout"] = layout_of(batch.lengths_C, self._keeps_probabilities(batch))
        inputs["input_ids"] = torch.from_numpy(batch.input_ids_BT).to(self.device)
        inputs["position_ids"] = torch.from_numpy(batch.position_ids_BT).to(self.device)
        predict = torch.from_numpy(batch.predict_S).to(self.device)
        labels = torch.from_numpy(batch.labels_S).to(self.device)
        if self._on_supervised_only:
            states = self.network.base_model(**inputs).last_hidden_state
            return states.flatten(0, 1).index_select(0, predict), self.network.get_output_embeddings(), labels
        return self.network(**inputs).logits.flatten(0, 1).index_select(0, predict), torch.nn.Identity(), labels

    def _keeps_probabilities(self, batch: PackedBatch) -> bool:
        if self._checkpointing:
            return False  # the layer is computed again anyway
        config = self.network.config
        pairs = float(np.square(batch.lengths_C, dtype=np.float64).sum())
        layers, heads = (getattr(config, name, 1) or 1 for name in ("num_hidden_layers", "num_attention_heads"))
        return pairs * layers * heads * (2 if self.bfloat16 else 4) <= _KEPT_PROBABILITIES

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

        def same(within: float = 0.0) -> bool:
            try:
                found = np.concatenate([self.token_nats(collate([[one]])).cpu().numpy() for one in pair])
                packed = self.token_nats(collate([pair])).cpu().numpy() if train.packing else found
            except (AttributeError, TypeError, RuntimeError, CannotAttend):
                return False
            near = within or tolerance
            return all(np.allclose(losses, alone, atol=near, rtol=near) for losses in (found, packed))

        if _has_body_and_head(self.network):
            self._on_supervised_only = True
            self._on_supervised_only = same()
        if model.attn_implementation == "auto" and self.device.type == "cpu":
            self.by_conversation = self._attend_by_conversation(train, same)
        self.bfloat16 = bfloat16

    def _attend_by_conversation(self, train: TrainSettings, same: Callable[..., bool]) -> bool:
        """Switch attention over, and back where the model's losses say that it computes another one."""
        config = self.network.config
        window = getattr(config, "sliding_window", None)
        if (isinstance(window, int) and window < train.max_length) or getattr(config, "attention_dropout", 0):
            return False
        register()
        before, self.by_conversation = self.attention, True
        self.network.set_attn_implementation(NAME)
        self.attention = "conversations"
        if getattr(config, "_attn_implementation", "") == NAME and same():
            layers = fuse(self.network)
            # The same operations in float32: a factor that the model has besides shows even before it is trained.
            if layers and not same(_ROUNDING):
                release(layers)
            return True
        self.network.set_attn_implementation(before)
        self.attention = before
        return False


def _sum_nats(head: Any, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    torch = _import_torch()
    return torch.nn.functional.cross_entropy(head(states).float(), labels, reduction="sum")


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
    except Exception as error:  # of transformers, of safetensors, of the network
        if isinstance(error, (MemoryError, RuntimeError)) and "memory" in str(error):
            raise
        reason = damaged_weights(model.name_or_path) or " ".join(str(error).split())[:300] or type(error).__name__
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


def _enable_checkpointing(network: Any) -> None:
    enable = getattr(network, "activation_checkpointing_enable", None)  # transformers' newer name
    if enable is not None:
        enable({"use_reentrant": False})
    else:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


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
