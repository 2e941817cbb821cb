"""The way back to the base model's weights: read from its files again, which all workers of a machine share.

A second copy in memory would cost each worker four bytes a parameter. Weights are read through a memory map, tensor by
tensor, so the files' pages lie in the machine's memory once. What the files do not hold in so many words (buffers that
are computed, weights that transformers renames or merges as it loads) is found out by comparison and kept as a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlaw.train.settings import ModelSettings

if TYPE_CHECKING:
    import torch


class BaseWeights:
    """The weights that a network has now, as they can be put back.

    Args:
        network: a network that was just loaded, with float32 weights.
        model: where it was loaded from.

    Attributes:
        copies: name -> tensor, for what the files do not hold as the network has it.
        places: name -> file.
    """

    def __init__(self, network: Any, model: ModelSettings) -> None:
        import torch
        from safetensors import safe_open

        self.copies: dict[str, torch.Tensor] = {}
        self.places: dict[str, Path] = {}
        tensors = dict(_tensors(network))
        for file in weight_files(model):
            with safe_open(file, "pt") as opened:
                for name in set(opened.keys()) & set(tensors):
                    stored = opened.get_slice(name)
                    if list(stored.get_shape()) != list(tensors[name].shape):
                        continue
                    if torch.equal(opened.get_tensor(name).to(tensors[name]), tensors[name]):
                        self.places[name] = file
        for name, tensor in tensors.items():
            if name not in self.places:
                self.copies[name] = tensor.detach().clone()

    def restore(self, network: Any) -> None:
        """Put every weight back, bit by bit."""
        import torch

        tensors = dict(_tensors(network))
        with torch.no_grad():
            for name, value in self.values(list(tensors)):
                tensors[name].copy_(value)

    def values(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield some of the weights by name, in the precision in which they are kept, one at a time."""
        from safetensors import safe_open

        wanted = set(names)
        for name in sorted(wanted & set(self.copies)):
            yield name, self.copies[name]
        for file in sorted(set(self.places.values())):
            with safe_open(file, "pt") as opened:
                for name in sorted(name for name, place in self.places.items() if place == file and name in wanted):
                    yield name, opened.get_tensor(name)


def weight_files(model: ModelSettings) -> list[Path]:
    """Return the safetensors files of a model that was loaded; none where they cannot be found."""
    folder = Path(model.name_or_path).expanduser()
    if folder.is_dir():
        return sorted(folder.glob("*.safetensors"))
    from transformers.utils import cached_file  # pyright: ignore[reportPrivateImportUsage]

    config = cached_file(
        model.name_or_path,
        "config.json",
        revision=model.revision or "main",
        local_files_only=True,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    # All files of one revision lie in one folder of the cache.
    return sorted(Path(config).parent.glob("*.safetensors")) if config else []


def _tensors(network: Any) -> list[tuple[str, torch.Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]
