"""One job of an array: `python -m mixlaw.study.slurm_task STUDY ARRAY`, which Slurm starts on a node.

It keeps one worker process at work until no run can be claimed, and never trains itself. Shortly before the job's time
limit (SIGUSR1) it ends the worker, whose run is then pending, and asks Slurm to queue the job again. Slurm itself does
so when it takes the node for another job, or loses it. A worker that dies without having been asked to is replaced; a
run that has lost several workers counts as failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from mixlaw.core.documents import write_document
from mixlaw.core.errors import MixlawError, RunFailed
from mixlaw.core.run import RunSpec
from mixlaw.study import slurm_commands
from mixlaw.study.executing import error_json, training_environment
from mixlaw.study.slurm_arrays import DEATHS_ALLOWED, Arrays, deaths, note_start, starts
from mixlaw.study.store import Study
from mixlaw.study.take import LOOK_EVERY_S, some_unattended
from mixlaw.study.worker import read_events

IDLE_ROUNDS_ALLOWED = 3
"""How often a worker may end without having claimed a run while some are pending. No data: another worker may win
every claim, but not again and again."""

WHOLE_SHARE = 0.75
"""Part of the time limit from which on a run that began with its job has had the job's time, and fits into none. No
data: Slurm warns up to a minute early, which counts only where the limit is a few minutes."""

LIMITS_ALLOWED = 2
"""How often a run that began with its job may meet the time limit before that, or where the limit is not known."""

_SIGNALS_WITHIN_S = 10.0
"""Slurm ends the processes of a job one after another; on a busy node seconds lie between them. No data."""


def main(arguments: list[str] | None = None) -> int:
    """Do the job; return 0 when nothing is left to claim, 1 where no run can be trained, 143 when it was ended."""
    parser = argparse.ArgumentParser(prog="python -m mixlaw.study.slurm_task", description="One job of an array.")
    parser.add_argument("study", help="the study folder")
    parser.add_argument("array", help="the array's name")
    options = parser.parse_args(arguments)
    job = SlurmTask(Study(options.study), options.array)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, job.end)
    try:
        return job.run()
    except MixlawError as error:
        job.give_up(error_json(error))
        return 1


class SlurmTask:
    """A job of an array, on its node.

    Args:
        study: the study.
        array: the array's name.
    """

    def __init__(self, study: Study, array: str) -> None:
        self.study, self.arrays, self.name = study, Arrays(study), array
        variables = os.environ
        first, index = variables.get("SLURM_ARRAY_JOB_ID", "0"), variables.get("SLURM_ARRAY_TASK_ID", "0")
        self.id = f"{first}_{index}"
        self.restart = int(variables.get("SLURM_RESTART_COUNT", "0"))
        self.node = variables.get("SLURMD_NODENAME", "") or socket.gethostname()
        self.asked = 0
        self.worker: subprocess.Popen[str] | None = None
        self.runs_begun = 0
        self.limit_s: float | None = None
        self.began = time.monotonic()
        self._wake = threading.Event()

    def end(self, number: int, _: object) -> None:
        """Take a signal: leave the run, and come back where it is the time limit's."""
        # A job that is ended for good after its warning must not come back.
        self.asked = number if number == signal.SIGTERM else self.asked or number
        self._wake.set()
        if self.worker is not None:
            with contextlib.suppress(OSError):
                self.worker.terminate()

    def run(self) -> int:
        """Keep a worker at work until no run is pending, and none may become so."""
        self._say({})
        array = self.arrays.named(self.name)
        self.limit_s = array.limit_s
        specs = [s for s in self.study.load_plan() if array.runs is None or s.name in array.runs]
        self.specs = {spec.name: spec for spec in specs}
        idle = crashes = 0
        while not self.asked:
            self._give_up_deadly(specs)
            if self.study.pending(specs):
                begun = self.runs_begun
                code = self._work(array.threads, array.runs is not None)
                if self.asked:
                    break
                if code < 0:
                    return 1
                crashes += code > 0 and self.runs_begun == begun
                idle = idle + 1 if self.runs_begun == begun else 0
                if idle > IDLE_ROUNDS_ALLOWED or crashes > DEATHS_ALLOWED:
                    self._say({"fatal": _startless(self.id)})
                    return 1
            elif some_unattended(self.study, specs):
                self._wake.wait(LOOK_EVERY_S)
            else:
                return 0
        return self._leave(specs)

    def give_up(self, error: dict[str, str]) -> None:
        """Say why no run can be trained here, for the command that follows the study."""
        sys.stderr.write(f"{error['message']} {error['hint']}\n")
        self._say({"fatal": error})

    def _work(self, threads: int, named: bool) -> int:
        """Run one worker to its end; return 0 for a good end, 1 where it died, -1 where no run can be trained here."""
        command = [sys.executable, "-m", "mixlaw.study.worker", str(self.study.folder), "--driven"]
        if named:
            command += ["--runs", *self.specs]
        environment = {**os.environ, **training_environment(threads)}
        worker = self.worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if self.asked:  # between two workers
            worker.terminate()
        run, fatal = "", None
        for event in read_events(cast("IO[str]", worker.stdout)):
            kind = event["event"]
            if kind == "started":
                run = event["run"]
                self.runs_begun += 1
                first = self.runs_begun == 1
                self._note(run, "started", restart=self.restart, node=self.node, first=first)
            elif kind in ("finished", "failed"):
                self._note(run, kind)
                run = ""
            elif kind == "fatal":
                fatal = {key: event.get(key, "") for key in ("code", "message", "hint")}
        code = worker.wait()
        self.worker = None
        for stream in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                cast("IO[str]", stream).close()
        self.study.release_dead()
        if code in (-signal.SIGTERM, 128 + signal.SIGTERM) and not self.asked:
            self._wake.wait(_SIGNALS_WITHIN_S)
        if self.asked:
            self._left(run)
            return 0
        if fatal is not None:
            self.give_up(fatal)
            return -1
        if code and run:
            sys.stderr.write(f"The worker died with code {code} in run '{run}'.\n")
        return int(code != 0)

    def _left(self, run: str) -> None:
        """Say that a run was left on purpose; one that had a whole job's time and did not end fits into none."""
        if not run or self.study.record(self.specs[run]) is not None:
            return
        limited = self.asked == signal.SIGUSR1 and self.runs_begun == 1
        why = "time limit" if self.asked == signal.SIGUSR1 else "ended"
        self._note(run, "left", why=why, limited=limited)
        times = sum(bool(line.get("limited")) for line in starts(self.study.run_folder(self.specs[run])))
        whole = self.limit_s is not None and time.monotonic() - self.began >= WHOLE_SHARE * self.limit_s
        if limited and (whole or times > LIMITS_ALLOWED):
            hint = "Raise executor.time (or name a partition with a longer limit), then run the command again."
            error = RunFailed(f"Run '{run}' takes longer than the time limit of a job.", hint)
            self.study.fail(self.specs[run], error, retry=True)

    def _leave(self, specs: Sequence[RunSpec]) -> int:
        if self.asked != signal.SIGUSR1:
            return 128 + self.asked
        if not self.study.pending(specs):
            return 0
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm ends this process now, which has nothing more to do
        if refused := slurm_commands.requeue(self.id):
            sys.stderr.write(f"Slurm does not queue {self.id} again: {refused}\n")
            return 1
        return 0

    def _give_up_deadly(self, specs: Sequence[RunSpec]) -> None:
        """Count as failed what has lost more workers than accidents explain."""
        for spec in self.study.pending(specs):
            count = deaths(self.study.run_folder(spec))
            if count <= DEATHS_ALLOWED or (lease := self.study.claim(spec)) is None:
                continue
            hint = "See the study's logs; ask for more memory (executor.sbatch.mem), then run the command again."
            error = RunFailed(f"Run '{spec.name}' was lost {count} times: its worker ended without a word.", hint)
            self.study.fail(spec, error, retry=True)
            lease.release()

    def _note(self, run: str, event: str, **facts: Any) -> None:
        note_start(self.study.run_folder(self.specs[run]), task=self.id, event=event, **facts)

    def _say(self, more: dict[str, Any]) -> None:
        path: Path = self.arrays.task_path(self.name, self.id)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            facts = {"task": self.id, "node": self.node, "restart": self.restart, "clock": time.time()}
            write_document(path, "slurm_task", {**facts, **more})


def _startless(task: str) -> dict[str, str]:
    said = f"The workers of Slurm job {task} end before they can train."
    return {"code": "study", "message": said, "hint": f"See logs/slurm-{task}.log in the study."}


if __name__ == "__main__":
    sys.exit(main())
