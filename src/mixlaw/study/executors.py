"""The executors: where the runs of a study are trained.

To add one, write a subclass of `Executor` and name it in `EXECUTORS`; its keys of mix.yaml are a line in
`mixlaw.config.executor.KEYS`. What an executor needs is imported when it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mixlaw.core.cores import usable_cores
from mixlaw.core.errors import ConfigError, MissingExtra, StudyError
from mixlaw.core.run import RunSpec
from mixlaw.study.executing import OnEvent
from mixlaw.study.status import RunStatus
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig


@dataclass(frozen=True)
class Sweep:
    """What is to be trained.

    Attributes:
        study: the study, with a saved plan.
        config: the trainer.
        workers: most runs at once; None for as many as there is room.
        on_event: called for everything that happens.
        specs: the runs, all of them in the plan; None for the whole plan.
        retry_failed: try every failed run again.
    """

    study: Study
    config: TrainerConfig
    workers: int | None = None
    on_event: OnEvent | None = None
    specs: Iterable[RunSpec] | None = None
    retry_failed: bool = False


@dataclass(frozen=True)
class Workers:
    """What is known of a study's workers beside their runs: by a cluster, or measured on this machine.

    Attributes:
        notes: sentences about all of them.
        of_run: run -> where it is, in a few words.
        facts: the same for programs.
    """

    notes: tuple[str, ...] = ()
    of_run: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Executor(ABC):
    """Trains the runs of a study somewhere.

    Args:
        options: its keys of mix.yaml, without `kind` and `workers`.
    """

    here = False
    """Whether runs are trained on this machine, which then needs what the trainer needs."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.given = dict(options)

    def require(self, trainer: str) -> None:
        """Raise a MixlawError where this machine cannot use it; called before anything is written.

        Args:
            trainer: the trainer's name.
        """
        return None

    def reach(self) -> None:
        """Raise a MixlawError where its cluster does not answer; called before domains are tokenised for it."""
        return None

    @abstractmethod
    def train(self, sweep: Sweep) -> list[RunStatus]:
        """Train the runs that have no record, and return the status of all; errors are those of its `run_pending`."""

    def at_once(self, workers: int | None) -> int | None:
        """Return how many runs are trained at once, for an estimate; None where only the cluster knows.

        Args:
            workers: as asked for; None for as many as there is room.
        """
        return workers

    @staticmethod
    def state(study: Study) -> Workers | None:
        """Return what its cluster knows of a study's workers; None where it has none."""
        return None

    @staticmethod
    def cancel(study: Study) -> int | None:
        """End the workers that go on without a command; return how many there were, None where there never were any."""
        return None


class LocalExecutor(Executor):
    """Worker processes on this machine; see `mixlaw.study.executor_local`."""

    here = True

    def train(self, sweep: Sweep) -> list[RunStatus]:
        """See `mixlaw.study.executor_local.run_pending`."""
        from mixlaw.study.executor_local import run_pending

        together = self.given.get("together", "auto")
        more = {"specs": sweep.specs, "retry_failed": sweep.retry_failed}
        more |= {"together": None if together == "auto" else together}
        return run_pending(sweep.study, sweep.config, sweep.workers, sweep.on_event, **more)

    def at_once(self, workers: int | None) -> int:
        """Return the workers, by default one a core."""
        return workers or usable_cores()

    @staticmethod
    def state(study: Study) -> Workers | None:
        """Return how many runs a worker trains at once, where that was measured."""
        from mixlaw.study.together import measured, sentence

        said = sentence(study)
        return Workers((said,), {}, {"together": measured(study)["tokens_per_s"]}) if said else None


class RayExecutor(Executor):
    """Tasks of a Ray cluster; see `mixlaw.study.executor_ray`."""

    def require(self, trainer: str) -> None:
        """Raise MissingExtra without Ray."""
        if find_spec("ray") is None:
            raise MissingExtra("ray", "ray", "The executor 'ray'")

    def reach(self) -> None:
        """Raise where no cluster answers; see `mixlaw.study.ray_cluster.connected`."""
        from mixlaw.study.ray_cluster import connected

        with connected(self._options.address):
            pass

    def train(self, sweep: Sweep) -> list[RunStatus]:
        """See `mixlaw.study.executor_ray.run_pending`."""
        from mixlaw.study.executor_ray import run_pending

        more = {"options": self._options, "specs": sweep.specs, "retry_failed": sweep.retry_failed}
        return run_pending(sweep.study, sweep.config, sweep.workers, sweep.on_event, **more)

    @property
    def _options(self) -> Any:
        from mixlaw.study.executor_ray import RayOptions

        return RayOptions(**self.given)


class SlurmExecutor(Executor):
    """An array of workers on Slurm; see `mixlaw.study.executor_slurm`."""

    def require(self, trainer: str) -> None:
        """Raise StudyError without Slurm's commands, and ConfigError for GPUs or nodes that a run would not use."""
        from mixlaw.study.slurm_commands import require_commands

        options = self._options
        if trainer == "native" and (options.gpus_per_run > 1 or options.nodes_per_run > 1):
            raise ConfigError(
                f"executor asks for {options.gpus_per_run} GPUs and {options.nodes_per_run} nodes for each run; the "
                "trainer native uses one GPU.",
                "Set gpus_per_run: 1, or use trainer: trl with launch: accelerate launch --num_processes 4.",
            )
        require_commands()

    def reach(self) -> None:
        """Raise StudyError where Slurm would not take the workers: no such partition, no such GPUs, no answer."""
        from mixlaw.study.slurm_commands import require_acceptance
        from mixlaw.study.slurm_script import script

        here = Path.cwd()
        require_acceptance(script(self._options, name="mixlaw", study=here, logs=here, tasks=1, most=None))

    def train(self, sweep: Sweep) -> list[RunStatus]:
        """See `mixlaw.study.executor_slurm.run_pending`."""
        from mixlaw.study.executor_slurm import run_pending

        more = {"options": self._options, "specs": sweep.specs, "retry_failed": sweep.retry_failed}
        return run_pending(sweep.study, sweep.config, sweep.workers, sweep.on_event, **more)

    def at_once(self, workers: int | None) -> int | None:
        """Return the workers, by default `max_parallel`."""
        return workers or self._options.max_parallel

    @staticmethod
    def state(study: Study) -> Workers | None:
        """Return where the study's workers are, by squeue and sacct; None where none was ever submitted."""
        from mixlaw.study.slurm_arrays import Arrays
        from mixlaw.study.slurm_state import slurm_state

        arrays = Arrays(study)
        if not arrays.path.exists():
            return None
        notes, of_run, facts = slurm_state(arrays)
        return Workers(tuple(notes), of_run, {"slurm": facts})

    @staticmethod
    def cancel(study: Study) -> int | None:
        """End all arrays; return how many workers waited or were at work."""
        from mixlaw.study.slurm_arrays import Arrays

        arrays = Arrays(study)
        return arrays.cancel() if arrays.path.exists() else None

    @property
    def _options(self) -> Any:
        from mixlaw.study.slurm_script import SlurmOptions

        return SlurmOptions(**self.given)


EXECUTORS: dict[str, type[Executor]] = {"local": LocalExecutor, "ray": RayExecutor, "slurm": SlurmExecutor}
"""Name -> class."""


def find_executor(kind: str) -> type[Executor]:
    """Return an executor's class; raise ConfigError where there is none of this name."""
    if kind not in EXECUTORS:
        raise ConfigError(f"The executor is {kind!r}; it must be one of {', '.join(EXECUTORS)}.", "Correct it.")
    return EXECUTORS[kind]


def states_of(study: Study) -> list[Workers]:
    """Return what clusters know of a study's workers, whichever executor they are of; for `mixlaw status`."""
    found = (executor.state(study) for executor in EXECUTORS.values())
    return [workers for workers in found if workers is not None]


def cancel_workers(studies: Sequence[Study]) -> int:
    """End the workers of studies that go on without a command, and return how many there were.

    Args:
        studies: a study and its parts.

    Raises:
        StudyError: none ever had any, or the cluster does not answer.
    """
    found = (executor.cancel(study) for study in studies for executor in EXECUTORS.values())
    counts = [count for count in found if count is not None]
    if not counts:
        raise StudyError(
            f"{studies[0].folder} has no workers that go on by themselves.",
            "Training on this machine or on Ray ends with its own command: press Ctrl-C there.",
        )
    return sum(counts)
