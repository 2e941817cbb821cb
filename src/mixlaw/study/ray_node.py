"""What a node of a Ray cluster does for one run: place the inputs, train, and hand back everything that came of it.

It needs no study folder. The driver gets a stream of (what, value): `needs` (inputs that the driver has yet to pack;
the stream ends), `started`, `files` (batches of the run's files), and last `done`, `failed` or `fatal`.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixlaw.core.errors import ConfigError, MissingExtra, MixlawError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.run import RunSpec
from mixlaw.study.executing import error_json
from mixlaw.study.one_run import Failed, Report, throttled, train_once
from mixlaw.study.ray_inputs import Folder, Packed, batches, files_below, moved, node_cache, place
from mixlaw.train.trainer import Trainer
from mixlaw.train.trainer_config import TrainerConfig

PROGRESS_EVERY_S = 1.0
RUN_FOLDER = "<run folder>"
"""Stands in messages for the run's folder, which only the driver knows."""

_built: dict[str, Trainer] = {}  # the last trainer: a process keeps the base model between runs


def job_of(spec: RunSpec, config: TrainerConfig, folders: list[Folder], packed: Mapping[str, Packed]) -> dict[str, Any]:
    """Return what a node is told about a run, in values that need no mixlaw to be read."""
    return {
        "spec": spec.to_json(),
        "config": config.to_json(Path("/")),
        "inputs": [
            {
                "base": folder.base,
                "files": dict(folder.files),
                "packed": packed[folder.base].__dict__ if folder.base in packed else None,
            }
            for folder in folders
        ],
    }


def train_on_node(job: Mapping[str, Any], get: Callable[[Any], Any], tell: Callable[..., Any]) -> Iterator[Any]:
    """Train one run.

    Args:
        job: see `job_of`.
        get: returns the value of an object.
        tell: called now and then as `tell(run, step, steps, loss)`.
    """
    node = socket.gethostname()
    spec, config = RunSpec.from_json(job["spec"]), TrainerConfig.from_json(job["config"], Path("/"))
    places, lacking = {}, []
    for given in job["inputs"]:
        packed = Packed(**given["packed"]) if given["packed"] else None
        found = place(Folder(given["base"], given["files"]), packed, get, node_cache())
        if found is None:
            lacking.append(given["base"])
        else:
            places[given["base"]] = found
    if lacking:
        yield "needs", lacking
        return
    yield "started", node
    try:
        trainer = _trainer(moved(config, places))
    except Exception as error:
        yield "fatal", _named(error, node)
        return
    try:
        with run_folder(node_cache().parent / "runs") as folder:
            outcome = train_once(trainer, spec, folder, throttled(_best_effort(tell, spec.name), PROGRESS_EVERY_S))
            # What the trainer was given is made from the spec, and as large as the data.
            for batch in batches(folder, [name for name in files_below(folder) if not name.startswith("input/")]):
                yield "files", batch
            if isinstance(outcome, Failed):
                yield "failed", {**_without_folder(outcome.error, folder, node), "retry": outcome.retry}
            else:
                yield "done", {"record": outcome.record.to_json(), "timing": outcome.timing}
    except MixlawError as error:
        yield "fatal", _named(error, node)


@contextlib.contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for one run and remove it at the end, and before that those of runs that were killed.

    A run holds the lock of its folder; the kernel releases it however the process ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / "lock", "a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for other in parent.glob("*/.lock"):
            with contextlib.suppress(OSError), open(other, "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other.parent, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        held = open(folder / ".lock", "a")  # noqa: SIM115 - for as long as the run takes
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


def _trainer(config: TrainerConfig) -> Trainer:
    """Return the trainer of a configuration, the last one where it is the same."""
    if not config.folder.is_dir():
        if config.trainer_class.working_directory == "needed":
            raise ConfigError(
                f"train.working_directory {config.folder} does not exist there.",
                "Put the programs on storage that every node can read, or in the nodes' image, under the same path.",
            )
        config = replace(config, folder=Path(tempfile.gettempdir()))
    key = fingerprint(config.to_json(Path("/")))
    if key not in _built:
        _built.clear()
        _built[key] = config.build()
    return _built[key]


def _best_effort(tell: Callable[..., Any], run: str) -> Report:
    """Return a report that no run fails for: what carries it may be gone with its node."""

    def report(step: int, steps: int, loss: float) -> None:
        with contextlib.suppress(Exception):
            tell(run, step, steps, loss)

    return report


def _without_folder(error: Exception, folder: Path, node: str) -> dict[str, str]:
    """Return why a run failed, in terms of the folder that it will have at the driver's."""
    value = {key: text.replace(str(folder), RUN_FOLDER) for key, text in error_json(error).items()}
    if not isinstance(error, MixlawError):
        value["hint"] = f"The traceback is in Ray's worker logs on node {node}."
    return value


def _named(error: Exception, node: str) -> dict[str, str]:
    """Return an error with the node that met it; on a cluster only that says where to look."""
    value = error_json(error)
    if isinstance(error, MissingExtra):
        return {**value, "message": value["message"].replace(" needs ", f" on node {node} needs ", 1)}
    return {**value, "message": f"Node {node}: {value['message']}"}
