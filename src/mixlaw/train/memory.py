"""Memory: how many rows a CPU takes at once, and what is done where a GPU's has run out."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ACTIVATIONS = 2**29
"""Bytes of activations that a CPU keeps for one backward pass, about; larger batches are taken in parts. No data: a
bound on memory."""


def is_out_of_gpu_memory(error: Exception) -> bool:
    """Return whether an error says that a GPU's memory ran out; a CPU's is shared, and fewer rows free too little."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, a GPU's or the machine's."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def free_gpu_memory(network: Any) -> None:
    """Let go of gradients, and give cached blocks back."""
    import torch

    network.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def return_freed_memory() -> None:
    """Give what is free in this process's heap back to the system, where the C library can (glibc).

    Weights are loaded through temporary copies; the holes that these leave do not fit what training allocates.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def rows_at_once(config: Any, max_length: int, device: torch.device) -> int:
    """Return how many rows of a batch a CPU takes at once; the others follow, and the step is the same.

    A token keeps about ten float32 values a unit of width and five bfloat16 a unit of the feed-forward part, a layer.
    """
    width, layers = getattr(config, "hidden_size", None), getattr(config, "num_hidden_layers", None)
    if device.type != "cpu" or not isinstance(width, int) or not isinstance(layers, int):
        return sys.maxsize
    inner = getattr(config, "intermediate_size", None)
    token = layers * (40 * width + 10 * (inner if isinstance(inner, int) else 4 * width))
    return max(1, ACTIVATIONS // (token * max_length))
