"""Programs that train a run as child processes: calling them, ending them, and reading what they write."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import ConfigError, DataError, NewerFormat, RunFailed
from mixlaw.core.run import TargetLoss
from mixlaw.core.shapes import MOST_LOSS_NATS

METRICS = "evaluation/metrics.json"
"""Where, in a run's folder, metrics are: those of `mixlaw eval`, and those that a program reports."""

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 5
_END_WAIT_S = 10.0


def empty_folders(folder: Path) -> tuple[Path, Path]:
    """Return `input` and `output` of a run's folder, made anew."""
    found = folder / "input", folder / "output"
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    return found


def call(words: list[str], folder: Path, log: Path, run: str, key: str) -> None:
    """Run a program to its end; whatever ends this process ends it too.

    Args:
        words: the command.
        folder: where it runs.
        log: the file that gets what it prints.
        run: the run's name, for messages.
        key: the configuration's key that holds the command, for messages.

    Raises:
        ConfigError: it cannot be started.
        RunFailed: it ended with an error.
    """
    with open(log, "wb") as file:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )
        except OSError as error:
            raise _not_started(words[0], folder, key, error.strerror or str(error)) from None
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            _end(process)
    if code != 0:
        ended = f"with exit status {code}" if code > 0 else f"by signal {-code}"
        raise RunFailed(
            f"Run '{run}': the command ended {ended}{_last_words(log)}.",
            f"See {log}; then run again with --retry-failed.",
        )


def require_startable(words: list[str], folder: Path, key: str) -> None:
    """Raise ConfigError where a program is not there, or not to be executed; arguments as in `call`."""
    program = words[0]
    if os.path.dirname(program):
        program = str(folder / program)  # as a child that starts there will look for it
    if shutil.which(program) is None:
        raise _not_started(words[0], folder, key, "no such program")


def _not_started(program: str, folder: Path, key: str, why: str) -> ConfigError:
    return ConfigError(
        f"{key}: '{program}' cannot be started in {folder}: {why}.",
        "Give a program on the PATH, or a path relative to mix.yaml.",
    )


def read_metrics(path: Path, run: str) -> dict[str, dict[str, float]]:
    """Return name -> {value, stderr} of the metrics in a program's result.json, such as rewards and win rates.

    Args:
        path: its result.json, which `read_result` can read.
        run: the run's name, for messages.

    Raises:
        RunFailed: a metric is no finite number.
    """
    given = read_document(path, "result").get("metrics", {})
    found = {}
    for name, value in given.items():
        parts = value if isinstance(value, dict) else {"value": value}
        numbers = {key: parts[key] for key in ("value", "stderr") if parts.get(key) is not None}
        if "value" not in numbers or not all(_finite(number) for number in numbers.values()):
            raise RunFailed(
                f"Run '{run}': the metric '{name}' is {json.dumps(value)[:80]} in {path}; it must be a finite number.",
                'Write {"metrics": {"<name>": 0.61}} or {"<name>": {"value": 0.61, "stderr": 0.01}}.',
            )
        found[name] = {key: float(number) for key, number in numbers.items()}
    return found


def keep_metrics(metrics: dict[str, dict[str, float]], folder: Path) -> None:
    """Write metrics where those of `mixlaw eval` are, from which the run table takes its columns `metric:<name>`."""
    if metrics:
        told = {name: {"id": "", **values} for name, values in metrics.items()}
        write_document(folder / METRICS, "evaluation", {"tasks": told})


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_result(path: Path, run: str, targets: list[str]) -> tuple[dict[str, TargetLoss], int, int]:
    """Return the losses, steps and parameters that a program has written; no losses where it has metrics instead.

    Args:
        path: its result.json.
        run: the run's name, for messages.
        targets: those that must have a loss; others are left out.

    Raises:
        RunFailed: no such file, no JSON, or a loss is missing, malformed, negative or not finite.
    """
    remedy = 'Write {"losses": {"<target>": {"nats": <sum>, "count": <tokens>}}} to the path in the spec\'s `result`.'
    if not path.exists():
        raise RunFailed(f"Run '{run}': the command wrote no {path}.", remedy)
    try:
        value = read_document(path, "result")
        found = _object(value.get("losses", {}), "losses")
        metrics = _object(value.get("metrics", {}), "metrics")
        losses = {target: _loss(target, found[target]) for target in targets if found or not metrics}
        steps, parameters = (_whole(value.get(key, 0), key) for key in ("steps", "parameters"))
    except (DataError, NewerFormat) as error:
        raise RunFailed(f"Run '{run}': its result is malformed: {error.message}", remedy) from None
    except KeyError as error:
        raise RunFailed(f"Run '{run}': {path} lacks {error}; every target needs a loss.", remedy) from None
    except (ValueError, TypeError) as error:
        raise RunFailed(f"Run '{run}': {path} is malformed: {error}.", remedy) from None
    return losses, steps, parameters


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {json.dumps(value)[:80]}; it must be an object")
    return value


def _loss(target: str, value: Any) -> TargetLoss:
    value = _object(value, f"the loss of '{target}'")
    key = "nats" if "nats" in value else "loss"
    if missing := [name for name in (key, "count") if name not in value]:
        raise ValueError(f"the loss of '{target}' has no '{missing[0]}'")
    count = _whole(value["count"], "count")
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1")
    if isinstance(value[key], bool) or not isinstance(value[key], (int, float)):
        raise ValueError(f"the {key} of '{target}' is {value[key]!r}; it must be a number")
    nats = float(value[key]) * (1 if key == "nats" else count)
    if not 0 <= nats / count <= MOST_LOSS_NATS:
        rule = f"from 0 to {MOST_LOSS_NATS:,.0f} nats for each supervised token"
        raise ValueError(f"the loss of '{target}' is {nats / count:g}; it must be a number {rule}")
    return TargetLoss(nats, count, _whole(value.get("bytes", 0), "bytes"))


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 0:
        raise ValueError(f"{name} is {value!r}; it must be a whole number >= 0")
    return int(value)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"; its last words: {' | '.join(lines[-_LAST_LINES:])[-600:]}" if lines else ""


def _end_with_parent() -> Any:
    """Return what makes a child end when this process is killed (Linux), or None."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_WAIT_S)
            return
