"""How long a study's runs will take: by the pace of those that are done, or of a probe before the first.

What a probe found is kept in pace.json and used again for the same trainer, data, machine and number of workers.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.core.cores import usable_cores
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError, MixlawError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.run import RunSpec
from mixlaw.study.executor_local import visible_gpus, worker_environment
from mixlaw.study.executors import find_executor
from mixlaw.study.probe import probe
from mixlaw.study.status import RunStatus
from mixlaw.study.store import Study
from mixlaw.train.pace import Pace

if TYPE_CHECKING:
    from mixlaw.api.project import Project

WORTH_FLOP = 3e13
"""Operations of all runs from which `run` and `train` take a probe, too: five minutes of a core that does 1e11 a
second. No data."""

_MEASURED = ("train_s", "evaluate_s", "wall_s")


def seconds_left(project: Project, specs: Sequence[RunSpec], statuses: Sequence[RunStatus], ask: bool) -> float | None:
    """Return the seconds until all runs are done; None where nothing tells.

    Args:
        project: whose study.
        specs: the planned runs.
        statuses: of them, in the same order.
        ask: whether a probe may be taken, where nothing else tells.
    """
    node, study = project.config.executor, project.study
    at_once = find_executor(node.kind)(node.options(node.kind)).at_once(node.workers)
    left = [
        (status.tokens, spec.evaluations)
        for spec, status in zip(specs, statuses, strict=True)
        if status.state in ("pending", "running")
    ]
    if at_once is None or not left:
        return None if at_once is None else 0.0
    probed = probed_pace(project, at_once, ask and not any(s.state == "done" for s in statuses))
    pace = pace_of_runs(study, specs, 0.0 if probed is None else probed.start_s) or probed
    return None if pace is None else round(pace.runs_s(left, at_once), 1)


def worth_a_probe(project: Project, specs: Sequence[RunSpec]) -> bool:
    """Return whether the runs will take so long that a probe before them is nothing beside them."""
    flop = project.prices.runs(specs).flop
    return flop is None or flop >= WORTH_FLOP


def pace_of_runs(study: Study, specs: Sequence[RunSpec], start_s: float) -> Pace | None:
    """Return the pace of a study's finished runs, on this machine where there are any; None before the first.

    Args:
        study: the study.
        specs: the planned runs.
        start_s: what the start of a worker takes.
    """
    timed = [(spec, timing) for spec in specs if (timing := _timing(study, spec)) and timing.get("wall_s")]
    here = [pair for pair in timed if pair[1].get("host") == socket.gethostname()]
    timed = [pair for pair in here or timed if pair[0].trained_tokens]
    if not timed:
        return None
    tokens = np.array([spec.trained_tokens for spec, _ in timed], float)
    wall = np.array([timing["wall_s"] for _, timing in timed], float)
    if not all(isinstance(timing.get(key), (int, float)) for _, timing in timed for key in _MEASURED):
        # Nothing tells evaluations from training.
        return Pace(start_s, 0.0, max(float(tokens.sum() / max(wall.sum(), 1e-9)), 1e-9), 0.0)
    train, evaluate = (np.array([t[key] for _, t in timed], float) for key in _MEASURED[:2])
    evaluations = sum(spec.evaluations for spec, _ in timed)
    fixed = max(float((wall - train - evaluate).mean()), 0.0)
    return Pace(start_s, fixed, float(tokens.sum() / max(train.sum(), 1e-9)), float(evaluate.sum() / evaluations))


def probed_pace(project: Project, workers: int, ask: bool) -> Pace | None:
    """Return what a probe of this trainer on this machine has found, or finds now.

    Args:
        project: with a saved plan.
        workers: that train at once.
        ask: whether one may be taken now.
    """
    study, node = project.study, project.config.executor
    if node.kind != "local" or not project.config.plan.probe:
        return None
    gpus, threads = visible_gpus(), max(1, usable_cores() // workers)
    identity = _identity(project, workers, threads, gpus)
    path = study.folder / "pace.json"
    if path.is_file():
        try:
            kept = read_document(path, "pace")
            if kept["identity"] == identity:
                return Pace(**kept["wall"])
        except DataError as error:
            project.warn(f"{error.message} It is measured again.")
    if not ask:
        return None
    project.note("timing a few steps and evaluations, to say how long the runs will take")
    try:
        study.save_trainer(project.trainer_config)
        found = probe(study, [worker_environment(i, threads, gpus) for i in range(workers)])
    except MixlawError:  # the sweep will say it
        return None
    if found is None:
        project.note("how long the runs take is known once the first ones are done: no probe ended within 30 s")
        return None
    write_document(path, "pace", {"identity": identity, **{clock: pace.to_json() for clock, pace in found.items()}})
    return found["wall"]


def _identity(project: Project, workers: int, threads: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return what a pace is of."""
    found = {}
    for package in ("torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {
        "trainer": fingerprint(dict(project.trainer_config.inputs)),
        "machine": f"{socket.gethostname()}, {_processor()}, {usable_cores()} cores, GPUs {','.join(gpus) or 'none'}",
        "workers": f"{workers} of {threads} threads",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or os.uname().machine


def _timing(study: Study, spec: RunSpec) -> dict[str, Any] | None:
    """Return a finished run's timing; None where it has none, or another program has trained it."""
    folder = study.run_folder(spec)
    if not (folder / "record.json").exists():
        return None
    try:
        timing = read_document(folder / "timing.json", "timing")
    except DataError:
        return None
    return None if "adopted_from" in timing else timing
