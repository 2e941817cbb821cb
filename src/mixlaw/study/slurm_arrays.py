"""The arrays of workers that a study has submitted to Slurm, and where its runs are on the cluster.

    slurm/arrays.json <name>.sh <name>/<array>_<index>.json    logs/slurm-<array>_<index>.log
    runs/*/slurm.jsonl: who began the run and who left it, a line each

An array is written down before it is submitted, under a name that no other has.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError, StudyError
from mixlaw.core.files import write_text
from mixlaw.core.run import RunSpec
from mixlaw.study import slurm_commands
from mixlaw.study.slurm_commands import Task
from mixlaw.study.slurm_script import SlurmOptions, array_size, script
from mixlaw.study.store import Study

STARTS = "slurm.jsonl"

DEATHS_ALLOWED = 2
"""How often a run may lose its worker without a word before it counts as failed. No data: a lost node is an accident,
three are the run's own doing, most often its memory."""


@dataclass(frozen=True)
class Array:
    """One array of workers.

    Attributes:
        name: its job's name, which no other array has.
        number: Slurm's number of it; empty where it was lost.
        runs: names of the runs that it may train; None for all that are planned.
        threads: computing threads of a worker.
        limit_s: most time of a worker, s; None for the partition's.
        submitted: when, s since 1970.
    """

    name: str
    number: str
    runs: tuple[str, ...] | None
    threads: int
    limit_s: float | None
    submitted: float

    def covers(self, specs: Iterable[RunSpec]) -> bool:
        """Return whether it may train all of the runs."""
        return self.runs is None or {spec.name for spec in specs} <= set(self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**self.__dict__, "runs": None if self.runs is None else list(self.runs)}


class Arrays:
    """A study's arrays.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.folder = study.folder / "slurm"
        self.path = self.folder / "arrays.json"

    def all(self) -> list[Array]:
        """Return the arrays that were submitted, the oldest first.

        Raises:
            DataError: the file is damaged.
        """
        if not self.path.exists():
            return []
        arrays = read_document(self.path, "slurm_arrays")["arrays"]
        return [Array(**{**a, "runs": None if a["runs"] is None else tuple(a["runs"])}) for a in arrays]

    def named(self, name: str) -> Array:
        """Return the array of a name; raise DataError where the file does not have it."""
        found = [array for array in self.all() if array.name == name]
        if not found:
            raise DataError(f"{self.path} has no array '{name}'.", "Submit the workers again: mixlaw train.")
        return found[0]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time look for arrays and submit one, so that two commands do not both do so."""
        import fcntl

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / "lock", "a")  # noqa: SIM115 - closed below, errors of the block pass unchanged
        except OSError as error:
            raise StudyError(
                f"{self.folder} cannot be written: {error.strerror or error}.", "Free some space, or its permissions."
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def submit(
        self, options: SlurmOptions, pending: Sequence[RunSpec], most: int | None, runs: Sequence[str] | None
    ) -> Array:
        """Submit an array of workers; the caller holds `locked`.

        Args:
            options: what to ask for.
            pending: runs that are to be trained.
            most: how many at once; None for the options'.
            runs: names of the runs that the workers may train; None for all.

        Raises:
            StudyError: Slurm refuses it; nothing is left behind.
        """
        slurm_commands.require_commands()
        self.study.create()
        most = most or options.max_parallel
        name = f"mixlaw-{re.sub(r'[^A-Za-z0-9.-]+', '-', self.study.name)[:40]}-{uuid.uuid4().hex[:8]}"
        names = None if runs is None else tuple(runs)
        array = Array(name, "", names, options.cpus_per_run, options.limit_s, time.time())
        path, known = self.folder / f"{name}.sh", self.all()
        text = script(
            options,
            name=name,
            study=self.study.folder.resolve(),
            logs=self.study.logs_folder.resolve(),
            tasks=array_size(len(pending), most),
            most=most,
        )
        write_text(path, text)
        self._write([*known, array])
        try:
            number = slurm_commands.submit(path)
        except slurm_commands.NoAnswer as error:  # it may have arrived: its name is known
            raise StudyError(
                f"Slurm does not take the workers: {error}", slurm_commands.remedy_for(str(error))
            ) from None
        except StudyError:
            self._write(known)
            path.unlink(missing_ok=True)
            raise
        array = replace(array, number=number)
        self._write([*known, array])
        return array

    def tasks(self, arrays: Sequence[Array] | None = None) -> list[Task]:
        """Return the jobs of the arrays, as Slurm tells of them now.

        Raises:
            NoAnswer: Slurm does not answer.
            StudyError: this machine has no Slurm commands.
        """
        return slurm_commands.tasks_of([array.name for array in (self.all() if arrays is None else arrays)])

    def cancel(self) -> int:
        """End all workers; return how many waited or were at work.

        Raises:
            StudyError: Slurm refuses it, does not answer, or has no commands here.
        """
        arrays = self.all()
        try:
            living = [task for task in self.tasks(arrays) if task.lives and task.state != "COMPLETING"]
        except slurm_commands.NoAnswer as error:
            raise StudyError(f"Slurm does not answer: {error}", slurm_commands.remedy_for(str(error))) from None
        if living:
            slurm_commands.cancel([array.name for array in arrays])
        return len(living)

    def task_path(self, array: str, task: str) -> Path:
        """Return the file in which a worker says where it is."""
        return self.folder / array / f"{task}.json"

    def said(self, array: Array) -> dict[str, dict[str, Any]]:
        """Return what the workers of an array have said of themselves, by their id; those that are unreadable are not
        there."""
        found = {}
        for path in sorted((self.folder / array.name).glob("*.json")):
            with contextlib.suppress(DataError):
                found[path.stem] = read_document(path, "slurm_task")
        return found

    def _write(self, arrays: Sequence[Array]) -> None:
        write_document(self.path, "slurm_arrays", {"arrays": [array.to_json() for array in arrays]})


def note_start(folder: Path, **facts: Any) -> None:
    """Add a line to a run's list of those who began it and left it."""
    with contextlib.suppress(OSError), open(folder / STARTS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"at": round(time.time(), 1), **facts}) + "\n")


def starts(folder: Path) -> list[Mapping[str, Any]]:
    """Return the lines of a run's list; those that are cut off are left out."""
    try:
        lines = (folder / STARTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict) and "task" in value:
                found.append(value)
    return found


def deaths(folder: Path) -> int:
    """Return how many workers that had begun a run left it without a word; the run is in no worker's hands now."""
    lines = starts(folder)
    return sum(1 if line.get("event") == "started" else -1 for line in lines) if lines else 0


def forget_deaths(study: Study, specs: Iterable[RunSpec]) -> None:
    """Let runs begin with a clean slate: somebody asks for them again."""
    for spec in specs:
        with contextlib.suppress(OSError):
            (study.run_folder(spec) / STARTS).unlink(missing_ok=True)


def task_of(study: Study, spec: RunSpec) -> Mapping[str, Any] | None:
    """Return the last line about a run that a worker has begun and not left, or None."""
    lines = starts(study.run_folder(spec))
    return lines[-1] if lines and lines[-1].get("event") == "started" else None
