"""What surrounds every training: deterministic kernels and random numbers of the run, and memory that runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mixlaw.core.errors import RunFailed
from mixlaw.core.run import RunSpec
from mixlaw.core.seeds import seed_from
from mixlaw.train.memory import is_out_of_memory
from mixlaw.train.settings import TrainSettings


@contextlib.contextmanager
def deterministic(spec: RunSpec) -> Iterator[None]:
    """Seed torch (dropout) from the run, choose deterministic kernels; put everything back at the end."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng():
        torch.manual_seed(seed_from("torch", spec.seed, spec.id))
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@contextlib.contextmanager
def out_of_memory_as_run_failed(spec: RunSpec, settings: TrainSettings) -> Iterator[None]:
    """Raise RunFailed, with its remedy, where memory runs out in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunFailed(
            f"Run '{spec.name}' ran out of memory with rows of {settings.max_length} tokens, "
            f"{settings.per_device_train_batch_size} rows a batch.",
            "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps, "
            "or use fewer workers.",
        ) from error
