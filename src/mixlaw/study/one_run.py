"""Training one run once: its record with the time it took, or why it has none."""

from __future__ import annotations

import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.core.documents import as_read
from mixlaw.core.errors import DISK_FULL, ConfigError, DataError, MixlawError, RunFailed, file_error, in_a_sentence
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.train.program import METRICS
from mixlaw.train.trainer import Job, Progress, Trainer

_REPAIR = "Correct the trainer or its program: every target has a finite loss of at least 0, with a count of tokens."
Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Done:
    """A run with a record.

    Attributes:
        record: what the spec determines.
        timing: seconds, the machine, versions: what `timing.json` holds.
    """

    record: RunRecord
    timing: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """A run without a record.

    Attributes:
        error: why.
        retry: whether it may succeed next time (memory ran out, a bug met it), or would fail again (it diverged).
    """

    error: Exception
    retry: bool

    @property
    def reason(self) -> str:
        """The error in a sentence."""
        return str(self.error) if isinstance(self.error, MixlawError) else in_a_sentence(self.error)


def train_once(trainer: Trainer, spec: RunSpec, folder: Path, progress: Progress) -> Done | Failed:
    """Train a run once.

    Args:
        trainer: the trainer.
        spec: the run.
        folder: the run's own folder.
        progress: called after each optimiser step.

    Raises:
        MixlawError: the trainer can train no run at all, such as a program that cannot be started.
    """
    require_able(trainer, spec)
    began = time.time()
    try:
        record = trainer.run(spec, folder=folder, progress=progress)
    except Exception as error:
        return failed(error)
    return done(trainer, record, Job(spec, folder, progress), began)


def require_able(trainer: Trainer, spec: RunSpec) -> None:
    """Raise ConfigError where a trainer cannot train such a run."""
    if spec.merge is not None and not trainer.merges:
        raise ConfigError(f"The trainer '{trainer.name}' merges no models.", "Leave out plan.merges, or use native.")
    if spec.points and not trainer.points:
        raise ConfigError(f"The trainer '{trainer.name}' trains no points along a run.", "Leave out plan.points.")


def failed(error: Exception) -> Failed:
    """Return why a run has no record; raise the error where no run can be trained."""
    if isinstance(error, (RunFailed, DataError)):
        # Out of memory depends on what else ran; a divergence or a domain without rows will come again.
        return Failed(error, retry="out of memory" in error.message)
    if isinstance(error, MixlawError):
        raise error
    traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        error = file_error(error)
    return Failed(error, retry=True)


def done(trainer: Trainer, record: Any, job: Job, began: float) -> Done | Failed:
    """Return a record with what is known beside it, or why it is none: what could not be read again is not written.

    Args:
        trainer: that made it just now.
        record: what it returned for the run.
        job: the run and its folder.
        began: when the run began, seconds since the epoch.
    """
    timing = {
        "wall_s": time.time() - began,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "host": socket.gethostname(),
        "python": sys.version.split()[0],
        **getattr(trainer, "timing", {}),
    }
    try:
        if not isinstance(record, RunRecord):
            raise DataError(f"It is of the type {type(record).__name__}, and no RunRecord.")
        if record.spec.id != job.spec.id:
            raise DataError(f"It is of another run, '{record.spec.name}'.")
        if lacking := _without_loss(trainer, record, job.folder):
            raise DataError(f"It has no loss of the target '{lacking[0]}'; every target needs one.")
        return Done(as_read("record", record.to_json(), RunRecord.from_json), as_read("timing", timing))
    except (DataError, AttributeError, TypeError) as error:
        fact = error.message if isinstance(error, DataError) else in_a_sentence(error)
        return Failed(RunFailed(f"Run '{job.spec.name}' has no record that can be used. {fact}", _REPAIR), retry=False)


def _without_loss(trainer: Trainer, record: RunRecord, folder: Path) -> list[str]:
    """Return the targets without a loss; none where a program has reported metrics instead of losses."""
    if not record.losses and (folder / METRICS).exists():
        return []
    return [name for name in getattr(trainer, "validation_rows", {}) if name not in record.losses]


def throttled(report: Report, every_s: float) -> Progress:
    """Return a progress function that passes on a step at most every `every_s` seconds, and the last one."""
    last = 0.0

    def progress(step: int, steps: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_s or step == steps:
            last = now
            report(step, steps, loss)

    return progress
