"""What a trainer is: anything that turns a run's spec into its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from mixlaw.core.run import RunRecord, RunSpec

Progress = Callable[[int, int, float], None]
"""Called as `progress(step, steps, loss)` after each optimiser step; loss in nats per supervised token."""


MODEL = "model"
"""The folder, in a run's own, of the model that a run with `keep_model` leaves."""


@runtime_checkable
class Trainer(Protocol):
    """Trains one run at a time and may keep the base model loaded between runs.

    Contract: `run` returns the same record for the same spec in any process, whatever ran before. It may write
    logs and curves into `folder`, never `record.json`. With `spec.keep_model` it leaves the trained model in
    `folder/model`, as transformers saves one, or raises RunFailed where it cannot. It raises RunFailed instead of
    returning a loss that is not finite.
    """

    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Train and evaluate the run.

        Args:
            spec: the run.
            folder: the run's own folder, for what the trainer wants to keep.
            progress: called after each optimiser step.

        Raises:
            RunFailed: the run ended without a usable result.
        """
        ...
