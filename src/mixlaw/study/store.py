"""The study folder: plan, runs, records. The folder is the state; there is nothing else.

    config.resolved.json domains.json plan.json trainer.json lock logs/
    runs/<name>-<hash8>/ spec.json lease.json metrics.jsonl timing.json record.json | error.json  model/ where kept

`record.json` is written last and atomically, so that its presence means "done"; its spec must have the id that
is asked for, so that a record of other settings, data or models is never taken for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlaw.core.checksums import FILES
from mixlaw.core.commands import command
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError, MixlawError, StudyError, in_a_sentence
from mixlaw.core.run import RunRecord, RunSpec, longest_first
from mixlaw.study.attempts import note_attempt
from mixlaw.study.leases import Lease, create_lease, is_live, read_lease
from mixlaw.study.run_files import is_damaged, run_checksums
from mixlaw.study.status import METRICS, RunStatus, last_metrics, losses_along, training_log
from mixlaw.train.trainer import MODEL
from mixlaw.train.trainer_config import TrainerConfig

_log = logging.getLogger(__name__)


class Study:
    """A study folder. Making the object touches nothing; `create` makes the folder.

    Args:
        folder, file: the study folder, and its mix.yaml for hints; None where it is not known.
    """

    def __init__(self, folder: str | Path, file: Path | None = None) -> None:
        self.folder, self.file = Path(folder), file
        self.plan_path = self.folder / "plan.json"
        self.config_path = self.folder / "config.resolved.json"
        self.domains_path = self.folder / "domains.json"
        self.trainer_path = self.folder / "trainer.json"
        self.lock_path = self.folder / "lock"
        self.runs_folder = self.folder / "runs"
        self.logs_folder = self.folder / "logs"

    @property
    def name(self) -> str:
        """What people call the study: its folder's name, or that of the folder around one named `study`."""
        return self.folder.parent.name if self.folder.name == "study" else self.folder.name

    def create(self) -> Study:
        """Make the folder where it is missing, and return the study.

        Raises:
            StudyError: the folder cannot be made or written.
        """
        with self._writing():
            self.runs_folder.mkdir(parents=True, exist_ok=True)
            self.logs_folder.mkdir(exist_ok=True)
            self.lock_path.touch()
        return self

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study's lock: short changes of plan and leases, one process at a time, on all machines."""
        import fcntl

        with self._writing():
            file = open(self.lock_path, "a")  # noqa: SIM115 - closed below, errors of the block pass unchanged
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def save_plan(self, specs: Iterable[RunSpec]) -> None:
        """Write plan.json. Runs that are no longer planned keep their folders.

        Raises:
            StudyError: two runs have one name or one folder, or the folder cannot be written.
        """
        specs = list(specs)
        for what in ("name", "folder"):
            names = [getattr(spec, what) for spec in specs]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise StudyError(f"The plan has two runs with the {what} '{twice}'.", "Give each run its own name.")
        self.create()
        with self.locked(), self._writing():
            write_document(self.plan_path, "plan", {"runs": [spec.to_json() for spec in specs]})

    def add_to_plan(self, specs: Iterable[RunSpec]) -> None:
        """Plan further runs, or others of the same names; those that lack the model that is wanted start over."""
        specs = list(specs)
        names = {spec.name for spec in specs}
        earlier = self.load_plan() if self.plan_path.exists() else []
        self.save_plan([*(spec for spec in earlier if spec.name not in names), *specs])
        for spec in specs:
            if spec.keep_model:
                self.discard_without_model(spec)

    def load_plan(self) -> list[RunSpec]:
        """Return the planned runs.

        Raises:
            StudyError: there is no plan.
            DataError: the plan was changed by hand.
        """
        if not self.plan_path.exists():
            raise StudyError(f"{self.folder} has no plan.json.", f"Plan the runs first: {command('plan', self.file)}.")
        return read_document(self.plan_path, "plan", lambda plan: [RunSpec.from_json(spec) for spec in plan["runs"]])

    def save_trainer(self, config: TrainerConfig) -> None:
        """Write trainer.json, from which worker processes build the trainer.

        Raises:
            StudyError: another process is training this study with other settings, or the folder is not writable.
        """
        value = config.to_json(self.folder)
        self.create()
        with self.locked(), self._writing():
            if self.trainer_path.exists():
                if self._has_trainer(value):
                    return
                if busy := [path.parent.name for path in self._leases() if is_live(path, self.now())]:
                    raise StudyError(
                        f"Another process is training '{busy[0]}' in {self.folder} with other settings or data.",
                        "Wait for it, stop it, or use another study folder.",
                    )
            write_document(self.trainer_path, "trainer", value)

    def _has_trainer(self, value: dict[str, Any]) -> bool:
        try:
            return read_document(self.trainer_path, "trainer") == value
        except DataError as error:
            _log.warning("%s It is written again.", error.message)
            return False

    def load_trainer(self) -> TrainerConfig:
        """Return the trainer's configuration; raise DataError where trainer.json is missing or malformed."""
        return read_document(self.trainer_path, "trainer", lambda value: TrainerConfig.from_json(value, self.folder))

    def run_folder(self, spec: RunSpec) -> Path:
        """Return the run's folder; characters that a file system may refuse become `_`."""
        name, hash8 = re.sub(r"[^\w.+=-]+", "_", spec.folder).rsplit("-", 1)
        return self.runs_folder / f"{name[:150]}-{hash8}"

    def record(self, spec: RunSpec) -> RunRecord | None:
        """Return the run's record, or None where it is not done.

        A record that is unreadable, or that belongs to another id, counts as not done (with a logged warning).
        """
        return self._read_record(spec)[0]

    def _read_record(self, spec: RunSpec) -> tuple[RunRecord | None, str]:
        """Return the record, or None and what is wrong with it; nothing is wrong where there is none."""
        path = self.run_folder(spec) / "record.json"
        if not path.exists():
            return None, ""
        try:
            record = read_document(path, "record", RunRecord.from_json)
            if record.spec.id == spec.id:
                return record, ""
            problem = f"it is of run {record.spec.id[:8]}."
        except DataError as error:
            problem = error.message.removeprefix(f"{path}: ")
        _log.warning("%s is not used, so the run is trained again: %s", path, problem)
        return None, problem

    def adopted(self, spec: RunSpec) -> bool:
        """Return whether a run is done, and another program has trained it (`mixlaw adopt`)."""
        try:
            timing = read_document(self.run_folder(spec) / "timing.json", "timing")
        except DataError:
            return False
        return "adopted_from" in timing and self.record(spec) is not None

    def model_folder(self, spec: RunSpec) -> Path | None:
        """Return where a finished run has kept its model; None where it has not, or where the model is damaged."""
        folder = self.run_folder(spec) / MODEL
        if self.record(spec) is None or not (folder / "config.json").is_file():
            return None
        return None if is_damaged(folder.parent, MODEL) else folder

    def discard_without_model(self, spec: RunSpec) -> None:
        """Return a finished run that has kept no model to pending, so that it is trained again with one."""
        with self.locked(), self._writing():
            if self.record(spec) is not None and self.model_folder(spec) is None:
                (self.run_folder(spec) / "record.json").unlink(missing_ok=True)

    def records(self, specs: Iterable[RunSpec] | None = None) -> list[RunRecord]:
        """Return the records of the runs that are done, in the plan's order.

        Args:
            specs: the runs; None for the plan's.
        """
        found = (self.record(spec) for spec in (self.load_plan() if specs is None else specs))
        return [record for record in found if record is not None]

    def all_records(self) -> list[RunRecord]:
        """Return the records of all finished runs, planned or not, by name; unreadable ones are left out, and said."""
        found = []
        for path in sorted(self.runs_folder.glob("*/record.json")):
            try:
                found.append(read_document(path, "record", RunRecord.from_json))
            except DataError as error:
                _log.warning("%s is not used: %s", path, error.message)
        return sorted(found, key=lambda record: (record.spec.name, record.spec.id))

    def training_logs(self) -> dict[str, list[tuple[int, float]]]:
        """Return the training log of every finished run that has one, by the run's name; see `training_log`."""
        folders = {r.spec.name: self.run_folder(r.spec) for r in self.records()}
        logs = {name: training_log(folder) for name, folder in folders.items() if not is_damaged(folder, METRICS)}
        return {name: log for name, log in logs.items() if log}

    def failure(self, spec: RunSpec) -> dict[str, Any] | None:
        """Return error.json of a failed run (`code`, `message`, `hint`, `retry`), or None."""
        path = self.run_folder(spec) / "error.json"
        if not path.exists():
            return None
        try:
            return read_document(path, "error")
        except DataError:
            return None

    def pending(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """Return the runs that are neither done nor failed nor at work, longest first."""
        return longest_first([s for s in specs if self.status([s])[0].state == "pending"])

    def status(self, specs: Sequence[RunSpec] | None = None) -> list[RunStatus]:
        """Return the state of each run, in the order given; see `RunStatus`.

        Args:
            specs: the runs; None for the plan's.
        """
        return [self._status(spec) for spec in (self.load_plan() if specs is None else specs)]

    def _status(self, spec: RunSpec) -> RunStatus:
        folder, tokens = self.run_folder(spec), spec.trained_tokens
        base = {"name": spec.name, "folder": folder.name, "tokens": tokens, "evaluations": spec.evaluations}
        record, problem = self._read_record(spec)
        if record is not None:
            return RunStatus(**base, state="done", wall_s=self._wall_s(folder))
        if (error := self.failure(spec)) is not None:
            return RunStatus(**base, state="failed", reason=f"{error['message']} {error.get('hint', '')}".strip())
        if is_live(folder / "lease.json"):
            return RunStatus(**base, state="running", **last_metrics(folder), along=losses_along(folder))
        reason = f"record.json cannot be used, so the run is trained again: {problem}" if problem else ""
        return RunStatus(**base, state="pending", reason=reason)

    def claim(self, spec: RunSpec) -> Lease | None:
        """Take the run for this process, or return None: it is done, failed, or another live process has it.

        Raises:
            StudyError: the folder cannot be written.
        """
        with self.locked(), self._writing():
            if self.record(spec) is not None or self.failure(spec) is not None:
                return None
            folder = self.run_folder(spec)
            folder.mkdir(parents=True, exist_ok=True)
            lease = folder / "lease.json"
            # {}: claims are made under this lock, so an unfinished lease has an owner that died.
            if read_lease(lease) != {} and is_live(lease, self.now()):
                return None
            note_attempt(folder)
            for leftover in (lease, *folder.glob(".*.tmp")):
                leftover.unlink(missing_ok=True)
            write_document(folder / "spec.json", "spec", spec.to_json())
            return create_lease(lease)

    def complete(self, spec: RunSpec, record: RunRecord, timing: Mapping[str, Any]) -> None:
        """Write timing.json, with the checksums of the run's files, then record.json: from here on the run is done.

        Raises:
            StudyError: the record is of another run, or the folder cannot be written.
        """
        if record.spec.id != spec.id:
            raise StudyError(f"The trainer returned the record of run {record.spec.id[:8]} for '{spec.name}'.")
        folder = self.run_folder(spec)
        with self._writing():
            write_document(folder / "timing.json", "timing", {**timing, FILES: run_checksums(folder)})
            write_document(folder / "record.json", "record", record.to_json())
            (folder / "error.json").unlink(missing_ok=True)

    def fail(self, spec: RunSpec, error: Exception, *, retry: bool) -> None:
        """Write error.json.

        Args:
            spec: the run.
            error: why it has no record.
            retry: whether the next sweep should try it again by itself (it crashed), or not (it would fail again).
        """
        known = isinstance(error, MixlawError)
        value = {
            "code": error.code if known else type(error).__name__,
            "message": error.message if known else in_a_sentence(error),
            "hint": error.hint if known else "See the log in the study's logs folder.",
            "retry": retry,
        }
        with self._writing():
            write_document(self.run_folder(spec) / "error.json", "error", value)

    def clear_failures(self, specs: Iterable[RunSpec], *, everything: bool = False) -> None:
        """Return failed runs to pending: those that may succeed now, or all of them."""
        with self.locked(), self._writing():
            for spec in specs:
                error = self.failure(spec)
                if error is not None and (everything or error.get("retry")):
                    note_attempt(self.run_folder(spec))
                    (self.run_folder(spec) / "error.json").unlink(missing_ok=True)

    def release_dead(self) -> None:
        """Remove the leases whose owners are gone, so that `status` shows their runs as pending at once."""
        with contextlib.suppress(StudyError), self.locked(), self._writing():
            for path in self._leases():
                if not is_live(path, self.now()):
                    path.unlink(missing_ok=True)

    def owner(self, spec: RunSpec) -> int | None:
        """Return the process id in the run's lease, or None without one."""
        return (read_lease(self.run_folder(spec) / "lease.json") or {}).get("pid")

    def _leases(self) -> list[Path]:
        return sorted(self.runs_folder.glob("*/lease.json"))

    def now(self) -> float:
        """Return the file system's time: on shared storage, machines' clocks differ from its and from each other."""
        os.utime(self.lock_path)
        return self.lock_path.stat().st_mtime

    def _wall_s(self, folder: Path) -> float | None:
        try:
            return read_document(folder / "timing.json", "timing").get("wall_s")
        except DataError:  # the run is done, however long it took
            return None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StudyError(
                f"The study folder {self.folder} cannot be written: {error.strerror or error}.",
                "Free some space, change its permissions, or name another folder as `study`.",
            ) from error
