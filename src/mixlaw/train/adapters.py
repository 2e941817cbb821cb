"""Adapters of several runs over one frozen base, in one batch: each token meets the adapter of its own run.

    y_n = W x_n + s B_j A_j x_n      for the tokens n of run j

The base's products, norms, attention and everything else of the network are computed once for all tokens of all runs.
Only the low-rank products differ from run to run: runs with as many tokens each are multiplied in one batched product,
others one after the other. No adapter meets another's tokens, so the gradient of the sum of all runs' losses with
respect to an adapter is that of its own run's loss.

Source: the way of S-LoRA (Sheng et al. 2023, arXiv 2311.03285, section 5) and of LoRAX, where adapters are served.
Differs: here they are trained, each with an optimiser of its own.

Shape letters: N tokens of all runs, J runs, W inputs of a layer, R rank, V its outputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Weights = list[Any]
"""Of one run: the parameters A and B of every layer, in the network's order."""


def problem_of(network: Any) -> str:
    """Return why adapters on a network cannot be trained in one batch; empty where they can.

    Args:
        network: with PEFT's layers in place.
    """
    import torch

    layers = _layers(network)
    if not layers:
        return "there is no adapter"
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    if trained != {id(p) for layer in layers for p in _pair(layer)}:
        return "more than the plain pairs of matrices is trained"
    if any(getattr(layer, "lora_variant", None) or getattr(layer, "fan_in_fan_out", False) for layer in layers):
        return "the adapter is of another kind than plain LoRA"
    dropped = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in network.modules())
    if dropped or getattr(network.config, "attention_dropout", 0):
        return "dropout would draw other numbers"
    return ""


class SharedBase:
    """A network with the adapters of several runs.

    Args:
        network: with PEFT's layers in place, of which `problem_of` has nothing to say.
        adapters: the weights of each run, as `weights_of` returned them.
    """

    def __init__(self, network: Any, adapters: Sequence[Weights]) -> None:
        self._layers = _layers(network)
        self._adapters = adapters
        self._batch: list[tuple[int, int]] = []
        for place, layer in enumerate(self._layers):
            layer.forward = self._forward_of(layer, place, layer.forward)

    def install(self, run: int) -> None:
        """Make a run's adapter the network's own: its parameters are then those of the run."""
        for place, layer in enumerate(self._layers):
            (name,) = layer.lora_A
            layer.lora_A[name].weight, layer.lora_B[name].weight = self._pair(run, place)

    @contextlib.contextmanager
    def batch(self, tokens: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Let the network take batches of several runs, until the backward pass is done.

        Args:
            tokens: (run, tokens of it that follow one another) of each run in the batch, padding included.
        """
        self._batch = list(tokens)
        try:
            yield
        finally:
            self._batch = []

    def release(self) -> None:
        """Let the layers compute as PEFT made them."""
        for layer in self._layers:
            del layer.forward

    def _pair(self, run: int, place: int) -> tuple[Any, Any]:
        return self._adapters[run][2 * place], self._adapters[run][2 * place + 1]

    def _forward_of(self, layer: Any, place: int, before: Any) -> Any:
        (name,) = layer.lora_A
        scaling = layer.scaling[name]

        def forward(x: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
            if not self._batch:
                return before(x, *given, **named)
            found = layer.base_layer(x, *given, **named)
            pairs = [self._pair(run, place) for run, _ in self._batch]
            low = products(x.flatten(0, -2), [size for _, size in self._batch], pairs)
            return (found + low.view(found.shape) * scaling).to(found.dtype)

        return forward


def products(x_NW: torch.Tensor, sizes: Sequence[int], pairs: Sequence[tuple[Any, Any]]) -> torch.Tensor:
    """Return B_j A_j x for the tokens of each run, (N, V).

    Args:
        x_NW: the tokens, run after run.
        sizes: tokens of each run.
        pairs: A (R, W) and B (V, R) of each run.
    """
    import torch

    linear = torch.nn.functional.linear
    if len(sizes) > 1 and len(set(sizes)) == 1:
        x_JNW = x_NW.view(len(sizes), sizes[0], -1)
        a_JWR, b_JRV = (torch.stack([pair[i] for pair in pairs]).transpose(1, 2) for i in (0, 1))
        return torch.bmm(torch.bmm(x_JNW, a_JWR), b_JRV).flatten(0, 1)
    parts = x_NW.split(list(sizes))
    return torch.cat([linear(linear(x, a), b) for x, (a, b) in zip(parts, pairs, strict=True)])


def weights_of(network: Any) -> Weights:
    """Return copies of the adapter's weights that the network has now, as parameters of their own."""
    import torch

    return [torch.nn.Parameter(p.detach().clone()) for layer in _layers(network) for p in _pair(layer)]


def _layers(network: Any) -> list[Any]:
    """Return PEFT's linear layers with one adapter."""
    import torch

    def is_one(module: Any) -> bool:
        return isinstance(getattr(module, "base_layer", None), torch.nn.Linear) and len(module.lora_A) == 1

    return [module for module in network.modules() if hasattr(module, "lora_A") and is_one(module)]


def _pair(layer: Any) -> tuple[Any, Any]:
    (name,) = layer.lora_A
    return layer.lora_A[name].weight, layer.lora_B[name].weight
