"""One run while it trains: its steps, optimiser, learning rate, points, checkpoints and log.

Whether a run is alone in its process or trains together with others, this is all that it has of its own, and the
network's trained weights are taken to be its own whenever it is asked for something.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlaw.core.errors import RunFailed
from mixlaw.core.run import RunSpec, TargetLoss
from mixlaw.data.rows import TokenRows
from mixlaw.train.points import Points, Row
from mixlaw.train.resuming import Checkpoints, keep_lines
from mixlaw.train.schedule import adamw, rate_factor
from mixlaw.train.settings import TrainSettings
from mixlaw.train.trainer import Progress

METRICS = "metrics.jsonl"


class Attempt:
    """A run from its last checkpoint on.

    Args:
        spec: the run.
        plan: the rows of each step.
        network: with the run's own weights.
        settings: of the training.
        folder: the run's own.
        identity: what must be the same for a checkpoint to be used.
        train_rows: domain -> its rows.

    Attributes:
        step: steps taken.
        points: along the run, where there are any.
    """

    def __init__(
        self,
        spec: RunSpec,
        plan: Sequence[Sequence[Row]],
        network: Any,
        settings: TrainSettings,
        *,
        folder: Path,
        identity: Mapping[str, Any],
        train_rows: Mapping[str, TokenRows],
    ) -> None:
        self.spec, self.plan, self.folder = spec, plan, folder
        self._network, self._settings = network, settings
        self._optimiser = adamw(network, settings)
        self.points = Points(spec, plan, train_rows, network) if spec.points else None
        self._checkpoints = Checkpoints(folder, identity, network, self._optimiser, self.points)
        self.step = self._checkpoints.restore()
        keep_lines(folder / METRICS, self.step)

    @property
    def ended(self) -> bool:
        """Whether no step is left."""
        return self.step == len(self.plan)

    @property
    def rows(self) -> Sequence[Row]:
        """The rows of the next step."""
        return self.plan[self.step]

    def begin(self) -> None:
        """Let go of the gradients of the last step."""
        self._optimiser.zero_grad(set_to_none=True)

    def finish(
        self, nats: float, count: int, evaluate: Callable[[], dict[str, TargetLoss]], progress: Progress | None
    ) -> None:
        """Take the next step with the gradients that are there, and note it; evaluate where a point lies.

        Args:
            nats: of all supervised tokens of the step.
            count: of them; without any, the weights stay as they are.
            evaluate: gives the losses of the network as it stands.
            progress: is told of the step.
        """
        factor = rate_factor(self.step, len(self.plan), self._settings, "constant" if self.points else None)
        rate, loss = self._settings.learning_rate * factor, nats / count if count else 0.0
        if count:
            take_step(self.spec, self._network, self._optimiser, self._settings, rate, loss)
        self.step += 1
        steps = len(self.plan)
        append(self.folder, {"step": self.step, "steps": steps, "loss": loss, "learning_rate": rate})
        if self.points and self.points.after(self.step, evaluate):
            share = self.points.shares[len(self.points.reached) - 1]
            append_losses(self.folder, {"step": self.step, "share": share}, self.points.reached[-1].losses)
        self._checkpoints.save_if_due(self.step)
        if progress:
            progress(self.step, steps, loss)


def take_step(spec: RunSpec, network: Any, optimiser: Any, settings: TrainSettings, rate: float, loss: float) -> None:
    """Take one step with the gradients that are there, scaled down to the settings' norm.

    Raises:
        RunFailed: the loss or the gradient is not finite.
    """
    import torch

    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm or math.inf).item()
    for what, value in (("the training loss", loss), ("the gradient's norm", norm)):
        if not math.isfinite(value):
            raise not_finite(spec, what, value, settings)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Append a line to a run's training log."""
    with open(folder / METRICS, "a", encoding="utf-8") as metrics:
        metrics.write(json.dumps(line) + "\n")


def append_losses(folder: Path, where: Mapping[str, Any], losses: Mapping[str, TargetLoss]) -> None:
    """Append validation losses to a run's training log."""
    append(folder, {**where, "validation": {name: loss.loss_nats for name, loss in losses.items()}})


def not_finite(spec: RunSpec, what: str, value: float, settings: TrainSettings) -> RunFailed:
    """Return the error of a run that has diverged."""
    return RunFailed(
        f"Run '{spec.name}' diverged: {what} is {value} at learning_rate {settings.learning_rate:g}; "
        "only finite losses are recorded.",
        f"Lower train.learning_rate, for example to {settings.learning_rate / 4:.2g}.",
    )
