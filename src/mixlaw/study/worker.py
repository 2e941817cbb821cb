"""A worker process: `python -m mixlaw.study.worker STUDY`. Claims pending runs and trains them until none is left.

It needs nothing but the study folder, so any number may run, on any machine that sees the folder. With `--driven`
it belongs to a driver: it prints events as JSON lines on stdout, and ends when its stdin closes, that is, when the
driver ends in whatever way.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from mixlaw.core.errors import MixlawError
from mixlaw.core.run import RunSpec, longest_first
from mixlaw.study.executing import check_inputs, error_json
from mixlaw.study.leases import Heartbeat, Lease
from mixlaw.study.merged import in_order
from mixlaw.study.one_run import Done, Failed, done, failed, throttled, train_once
from mixlaw.study.store import Study
from mixlaw.study.together import Asked, at_once
from mixlaw.train.trainer import Job, Progress, Trainer

Emit = Callable[[dict[str, Any]], None]
_PROGRESS_EVERY_S = 0.2
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; return the exit code: 0 nothing is left to claim, 1 no run can be trained."""
    parser = argparse.ArgumentParser(prog="python -m mixlaw.study.worker", description="Train a study's runs.")
    parser.add_argument("study", help="the study folder")
    parser.add_argument("--runs", nargs="*", help="only the runs of these names")
    parser.add_argument("--driven", action="store_true", help="report to a driver and end with it")
    parser.add_argument("--together", default="1", help="runs at once: a number, or auto for the fastest")
    parser.add_argument("--workers", type=int, default=1, help="workers that share the runs")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    emit: Emit = lambda event: None  # noqa: E731
    if options.driven:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver too, which ends its workers
        end_with_parent()
        emit = _events_on_stdout()
    try:
        study = Study(options.study)
        specs = [s for s in study.load_plan() if options.runs is None or s.name in set(options.runs)]
        asked = Asked(None if options.together == "auto" else int(options.together), options.workers)
        work(study, specs, emit, asked)
        return 0
    except MixlawError as error:
        emit({"event": "fatal", **error_json(error)})
        sys.stderr.write(f"{error}\n")
    except Exception as error:
        traceback.print_exc()
        told = error_json(error)
        if told["code"] == MixlawError.code:
            told["message"] = f"A worker process cannot train: {told['message']}"
            told["hint"] = f"Its log in {Path(options.study) / 'logs'} has the traceback."
        emit({"event": "fatal", **told})
    return 1


def work(study: Study, specs: list[RunSpec], emit: Emit, asked: Asked | None = None) -> None:
    """Claim and train runs, longest first and merged ones last, until none can be claimed.

    Args:
        study: the study.
        specs: the runs.
        emit: takes the events.
        asked: how many runs to train at once; None for one.

    Raises:
        MixlawError: the trainer cannot be built, a spec is not of this trainer, or the folder cannot be written.
    """
    if not study.pending(specs):
        return
    config = study.load_trainer()
    check_inputs(study, specs, config)
    trainer = config.build()
    emit({"event": "ready"})
    most = at_once(study, trainer, longest_first(study.pending(specs)), asked or Asked())
    group: list[tuple[RunSpec, Lease]] = []
    for spec in in_order(study, specs):
        joins = most > 1 and trainer.can_join(spec)
        if group and not joins:
            train_some(study, trainer, group, emit)
        lease = study.claim(spec)
        if lease is not None:
            group.append((spec, lease))
        if len(group) == (most if joins else 1):
            train_some(study, trainer, group, emit)
    if group:
        train_some(study, trainer, group, emit)


def train_some(study: Study, trainer: Trainer, claimed: list[tuple[RunSpec, Lease]], emit: Emit) -> None:
    """Train claimed runs, several at once, and write the record or the error of each; release the leases in any case.

    Args:
        study: the study.
        trainer: the trainer.
        claimed: the runs; empty afterwards.
        emit: takes the events.
    """
    with contextlib.ExitStack() as all_of_them:
        beats = {spec.name: all_of_them.enter_context(contextlib.ExitStack()) for spec, _ in claimed}
        for spec, lease in claimed:
            beats[spec.name].enter_context(Heartbeat(lease))
            emit({"event": "started", "run": spec.name})
        left = {spec.name: spec for spec, _ in claimed}
        claimed.clear()
        for spec, outcome in _outcomes(study, trainer, list(left.values()), emit):
            _settle(study, spec, outcome, emit)
            beats[spec.name].close()
            del left[spec.name]


def _outcomes(
    study: Study, trainer: Trainer, specs: list[RunSpec], emit: Emit
) -> Iterator[tuple[RunSpec, Done | Failed]]:
    """Yield each run with what came of it, as soon as it ends."""

    def told(spec: RunSpec) -> Progress:
        def report(step: int, steps: int, loss: float) -> None:
            emit({"event": "progress", "run": spec.name, "step": step, "steps": steps, "loss": loss})

        return throttled(report, _PROGRESS_EVERY_S)

    if len(specs) == 1:
        yield specs[0], train_once(trainer, specs[0], study.run_folder(specs[0]), told(specs[0]))
        return
    began, left = time.time(), list(specs)
    try:
        jobs = [Job(spec, study.run_folder(spec), told(spec)) for spec in specs]
        for job, found in trainer.run_together(jobs):
            left.remove(job.spec)
            yield job.spec, failed(found) if isinstance(found, MixlawError) else done(trainer, found, job, began)
    except Exception as error:
        for spec in left:
            yield spec, failed(error)


def _settle(study: Study, spec: RunSpec, outcome: Done | Failed, emit: Emit) -> None:
    if isinstance(outcome, Failed):
        study.fail(spec, outcome.error, retry=outcome.retry)
        emit({"event": "failed", "run": spec.name, "reason": outcome.reason})
        return
    study.complete(spec, outcome.record, outcome.timing)
    losses = {name: loss.loss_nats for name, loss in outcome.record.losses.items()}
    emit({"event": "finished", "run": spec.name, "losses": losses})


def end_with_parent() -> None:
    """End this process when its parent ends: the kernel's signal on Linux, and the end of stdin anywhere."""
    parent = os.getppid()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the request
            os._exit(1)

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(1)  # the lease names a dead process, so the run is pending at once

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def _events_on_stdout() -> Emit:
    """Return a function that writes events to the real stdout, and point stdout at stderr for all others."""
    stream: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        try:
            stream.write(json.dumps(event) + "\n")
            stream.flush()
        except OSError:
            os._exit(1)  # nobody reads: the driver is gone

    return emit


def read_events(stream: IO[str]) -> Iterator[dict[str, Any]]:
    """Return the events of a worker's stdout; a line cut off by its death is skipped."""
    for line in stream:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


if __name__ == "__main__":
    try:
        code = main()
    except SystemExit as end:  # a SIGTERM; the lease was released on the way
        code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written: taking torch down in order would cost another second
