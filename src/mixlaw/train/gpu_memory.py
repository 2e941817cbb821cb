"""A GPU whose memory has run out: how it is told, and how memory is freed for another attempt."""

from __future__ import annotations

from typing import Any


def is_out_of_gpu_memory(error: Exception) -> bool:
    """Return whether an error says that a GPU's memory ran out; a CPU's is shared, and fewer rows free too little."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def free_gpu_memory(network: Any) -> None:
    """Let go of gradients, and give cached blocks back."""
    import torch

    network.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
