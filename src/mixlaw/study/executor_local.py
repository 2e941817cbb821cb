"""The local executor: worker processes over this machine's cores, until every run is done or failed.

The driver never trains and never imports torch. It starts workers, turns their events into the sweep's, and cleans
up after those that die. Which worker trains which run is settled by leases alone, so several drivers on one study help
one another.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mixlaw.core.cores import usable_cores
from mixlaw.core.errors import RunFailed, StudyError
from mixlaw.core.run import RunSpec
from mixlaw.study.executing import OnEvent, as_error, begin, chosen_runs, training_environment
from mixlaw.study.status import RunStatus, SweepProgress
from mixlaw.study.store import Study
from mixlaw.study.worker import read_events
from mixlaw.train.trainer_config import TrainerConfig

_CRASHES_ALLOWED = 1
_IDLE_ROUNDS_ALLOWED = 3
_STOP_WAIT_S = 1.0
"""Until a worker that was asked to end is killed: its lease then names a dead process, which is as good."""
_POLL_S = 0.2
_OTHERS_POLL_S = 1.0


def run_pending(
    study: Study,
    config: TrainerConfig,
    workers: int | None = None,
    on_event: OnEvent | None = None,
    *,
    threads: int | None = None,
    specs: Iterable[RunSpec] | None = None,
    retry_failed: bool = False,
    together: int | None = 1,
) -> list[RunStatus]:
    """Train the runs that have no record, and return the status of all; failed ones are not an exception.

    A run whose worker dies is tried once more. A run that failed in an earlier sweep is tried again if it had crashed
    or run out of memory; one that diverged would diverge again.

    Args:
        study: the study, with a saved plan.
        config: the trainer; `config.inputs` must be the specs' inputs.
        workers: worker processes; None for one a GPU, or one a usable core.
        on_event: called in the calling thread for everything that happens; see `RunEvent`.
        threads: computing threads of a worker; None for its share of the cores.
        specs: the runs, all of them in the plan; None for the whole plan.
        retry_failed: try every failed run again.
        together: runs that one worker trains at once, where its trainer can; None for as many as is fastest there.

    Raises:
        StudyError: a run is not in the plan or was planned with other inputs, the folder cannot be written, or another
            process trains it with other settings.
        ConfigError, DataError, MissingExtra: no worker could build the trainer.
        KeyboardInterrupt: passed on, after the workers were stopped and their leases released.
    """
    chosen = chosen_runs(study, config, specs)
    begin(study, config, chosen, retry_failed=retry_failed)
    cores = usable_cores()
    gpus = visible_gpus()
    wanted = workers or len(gpus) or cores
    sweep = _Sweep(study, chosen, on_event or (lambda event: None), specs is not None)
    sweep.size, sweep.gpus = wanted, gpus
    sweep.threads = threads or max(1, cores // wanted)
    sweep.together = "auto" if together is None else str(together)
    try:
        sweep.run()
    finally:
        sweep.stop()
    return study.status(chosen)


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    log: Path
    reader: threading.Thread
    runs: set[str] = field(default_factory=set)
    fatal: dict[str, Any] | None = None
    finished_reading: threading.Event = field(default_factory=threading.Event)


class _Sweep:
    """The workers of one `run_pending` call and what they have reported."""

    def __init__(self, study: Study, specs: list[RunSpec], on_event: OnEvent, named: bool) -> None:
        self.study = study
        self.specs = {spec.name: spec for spec in specs}
        self.on_event = on_event
        self.named = named
        self.size = self.threads = 1
        self.together = "1"
        self.gpus: list[str] = []
        self.workers: list[_Worker] = []
        self.crashes: dict[str, int] = {}
        self.started = 0
        self.claimed = False
        self.events: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
        self.progress = SweepProgress({spec.name: spec.trained_tokens for spec in specs}, set())

    def run(self) -> None:
        """Start workers, follow them, and replace the dead ones, until nothing is pending or at work."""
        waiting, idle_rounds = False, 0
        while True:
            statuses = self.study.status(list(self.specs.values()))
            self.progress.found_done({status.name for status in statuses if status.state == "done"})
            pending = [status.name for status in statuses if status.state == "pending"]
            if not pending and not any(status.state == "running" for status in statuses):
                return
            if pending:
                waiting, self.claimed = False, False
                self._start(min(self.size, len(pending)))
                self._follow()
                # Another process may win every claim; but not again and again while the runs stay pending.
                idle_rounds = 0 if self.claimed else idle_rounds + 1
                if idle_rounds > _IDLE_ROUNDS_ALLOWED:
                    raise StudyError(
                        f"The worker processes ended without training '{pending[0]}'.", f"See {self.study.logs_folder}."
                    )
            else:
                if not waiting:
                    self.on_event(self.progress.event("waiting"))
                waiting = True
                time.sleep(_OTHERS_POLL_S)

    def stop(self) -> None:
        """End the workers that are left and release their leases."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.process.terminate()
        deadline = time.monotonic() + _STOP_WAIT_S
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            self._close(worker)
        if self.workers:
            self.study.release_dead()
        self.workers = []

    def _start(self, count: int) -> None:
        self.on_event(self.progress.event("workers"))
        while len(self.workers) < count:
            self._start_one()

    def _start_one(self) -> None:
        index, self.started = self.started, self.started + 1
        command = [sys.executable, "-m", "mixlaw.study.worker", str(self.study.folder), "--driven"]
        command += ["--together", self.together, "--workers", str(self.size)]
        if self.named:
            command += ["--runs", *self.specs]
        log = self.study.logs_folder / f"worker-{os.getpid()}-{index}.log"
        try:
            with open(log, "w", encoding="utf-8") as stderr:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    env=worker_environment(index, self.threads, self.gpus),
                )
        except OSError as error:
            raise StudyError(
                f"No worker process can be started: {error.strerror or error}.",
                "Free some memory, or end other processes.",
            ) from error
        worker = _Worker(process, log, threading.Thread(daemon=True))
        worker.reader = threading.Thread(target=self._read, args=(worker, process.stdout), daemon=True)
        worker.reader.start()
        self.workers.append(worker)

    def _read(self, worker: _Worker, stream: IO[str]) -> None:
        for event in read_events(stream):
            self.events.put((worker, event))
        worker.finished_reading.set()

    def _follow(self) -> None:
        """Handle events until every worker has ended; a worker that died is replaced while runs are pending."""
        while self.workers:
            with contextlib.suppress(queue.Empty):
                self._handle(*self.events.get(timeout=_POLL_S))
                continue
            for worker in list(self.workers):
                # All that it said is read before its end is judged.
                if worker.process.poll() is not None and worker.finished_reading.is_set() and self.events.empty():
                    self._ended(worker)

    def _handle(self, worker: _Worker, event: dict[str, Any]) -> None:
        kind, name = event.pop("event"), event.pop("run", "")
        if kind == "fatal":
            worker.fatal = event
        elif kind == "started":
            worker.runs.add(name)
            self.claimed = True
            self.on_event(self.progress.event(kind, name))
        elif kind in ("progress", "finished", "failed"):
            if kind != "progress":
                worker.runs.discard(name)
            self.on_event(self.progress.event(kind, name, **event))

    def _ended(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        self._close(worker)
        if worker.fatal is not None:
            raise as_error(worker.fatal)
        if worker.process.returncode == 0:
            with contextlib.suppress(OSError):
                if worker.log.stat().st_size == 0:
                    worker.log.unlink()
            return
        self.study.release_dead()
        reason = _death(worker)
        if not worker.runs:
            # It died before its first run or between two: nothing to retry, and a replacement may die the same way.
            self.crashes[""] = self.crashes.get("", 0) + 1
            if self.crashes[""] > self.size + _CRASHES_ALLOWED:
                raise StudyError(f"The worker processes end before they can train: {reason}", f"See {worker.log}.")
        if len(worker.runs) > 1:
            self.together = "1"  # which of them it was, and whether all together were too many, shows one by one
        for name in sorted(worker.runs):
            if self.study.record(self.specs[name]) is None:
                self._crashed(name, reason, worker.log)
        if self.study.pending(self.specs.values()):
            self._start_one()

    def _crashed(self, name: str, reason: str, log: Path) -> None:
        self.crashes[name] = self.crashes.get(name, 0) + 1
        if self.crashes[name] <= _CRASHES_ALLOWED:
            self.on_event(self.progress.event("retry", name, reason=reason))
            return
        hint = (
            f"See {log.name} in the study's logs folder; use fewer workers if memory is short, then run the "
            "command again."
        )
        self.study.fail(self.specs[name], RunFailed(f"Run '{name}' crashed twice: {reason}", hint), retry=True)
        self.on_event(self.progress.event("failed", name, reason=reason))

    def _close(self, worker: _Worker) -> None:
        worker.reader.join(_STOP_WAIT_S)
        for stream in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


def worker_environment(index: int, threads: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment of a worker process.

    Args:
        index: of the worker.
        threads: it computes with.
        gpus: of the machine, which workers take in turn.
    """
    environment = {**os.environ, **training_environment(threads)}
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return environment


def visible_gpus() -> list[str]:
    """Return the names under which CUDA_VISIBLE_DEVICES knows the NVIDIA GPUs of this machine."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _death(worker: _Worker) -> str:
    code = worker.process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        why = " (memory may have run out)" if name == "SIGKILL" else ""
        return f"its worker was killed by {name}{why}."
    with contextlib.suppress(OSError):
        lines = worker.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return f"its worker ended with code {code}: {lines[-1][:300]}"
    return f"its worker ended with code {code}."
