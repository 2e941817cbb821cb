"""The script of an array of workers, and the options from which it is made."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mixlaw.core.errors import ConfigError

MOST_TASKS = 1000
"""Jobs of one array. Slurm allows 1,001 numbers unless a cluster's MaxArraySize says otherwise."""

WARN_BEFORE_S = 120
"""How long before its time limit a worker is told to leave its run, s. No data: ending a program takes up to 20 s,
and Slurm looks at time limits every 30 s."""

OWN = {
    **dict.fromkeys(("array", "a"), "executor.max_parallel"),
    **dict.fromkeys(("partition", "p"), "executor.partition"),
    **dict.fromkeys(("time", "t"), "executor.time"),
    **dict.fromkeys(("cpus-per-task", "c"), "executor.cpus_per_run"),
    **dict.fromkeys(("nodes", "N"), "executor.nodes_per_run"),
    **dict.fromkeys(("gpus", "gpus-per-node", "G"), "executor.gpus_per_run"),
    **dict.fromkeys(("job-name", "J", "output", "o", "error", "e", "open-mode", "requeue", "no-requeue"), ""),
    **dict.fromkeys(("signal", "ntasks", "n", "ntasks-per-node", "parsable", "wrap", "wait", "W", "chdir", "D"), ""),
    **dict.fromkeys(("clusters", "M", "export", "test-only"), ""),
}
"""Options of sbatch that cannot be given under `sbatch:` -> the key to use; empty where mixlaw sets it, or needs it
otherwise."""

_TIME = re.compile(r"\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+|\d+-\d+:\d\d|\d+-\d+:\d\d:\d\d")


@dataclass(frozen=True)
class SlurmOptions:
    """What an array of workers asks of Slurm.

    Attributes:
        partition: None for the cluster's default.
        time: most time of a worker, as Slurm writes it (04:00:00, 1-12:00:00, or minutes); None for the partition's.
        cpus_per_run: cores, and computing threads, of a run, on each of its nodes.
        gpus_per_run: GPUs of a run, over all of its nodes.
        nodes_per_run: nodes of a run.
        max_parallel: most runs at once; None for as many as the cluster starts.
        setup: shell lines before the worker, such as `module load cuda`.
        python: the interpreter on the nodes; empty for this one.
        sbatch: further long options of sbatch; True for one without a value.

    Raises:
        ConfigError: an option that mixlaw sets itself, a time that is none, or GPUs that cannot be shared out to nodes.
    """

    partition: str | None = None
    time: str | None = None
    cpus_per_run: int = 1
    gpus_per_run: int = 0
    nodes_per_run: int = 1
    max_parallel: int | None = None
    setup: str = ""
    python: str = ""
    sbatch: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in self.sbatch.items():
            option = key.replace("_", "-")
            if option in OWN:
                use = f"Set {OWN[option]} instead." if OWN[option] else "Leave it out."
                raise ConfigError(f"executor.sbatch sets {key}, which mixlaw sets itself.", use)
            if not re.fullmatch(r"[a-z][a-z0-9-]+", option):
                raise ConfigError(f"executor.sbatch has the key {key!r}.", "Use long options of sbatch: account, qos.")
            if option == "gres" and self.gpus_per_run and "gpu" in str(value):
                raise ConfigError(
                    "executor.sbatch.gres and executor.gpus_per_run both ask for GPUs.", "Set one of them."
                )
            if "\n" in str(value):
                raise ConfigError(f"executor.sbatch.{key} has more than one line.", "Write it in one.")
        if self.partition is not None and not re.fullmatch(r"[^\s,]+(,[^\s,]+)*", self.partition):
            raise ConfigError(f"executor.partition is {self.partition!r}.", "Name one, or several with commas.")
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise ConfigError(
                f"executor.time is {self.time!r}.",
                "Write hours:minutes:seconds, days-hours:minutes:seconds or minutes.",
            )
        if self.gpus_per_run % self.nodes_per_run:
            raise ConfigError(
                f"{self.gpus_per_run} GPUs cannot be shared out evenly to {self.nodes_per_run} nodes.",
                "Make executor.gpus_per_run a multiple of executor.nodes_per_run.",
            )

    @property
    def limit_s(self) -> float | None:
        """The time limit in seconds; None where the partition's counts."""
        return None if self.time is None else seconds(self.time)


def seconds(time: str) -> float:
    """Return the seconds of a time as Slurm writes it: a number alone is minutes; after days come hours."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, secs = [*parts, 0, 0][:3]
    elif len(parts) < 3:
        hours, minutes, secs = [0, *parts, 0][:3]
    else:
        hours, minutes, secs = parts
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60.0 + secs


def array_size(pending: int, most: int | None) -> int:
    """Return how many jobs an array has: a job a run, but no more than twice those that run at once.

    Those beyond the first wait behind them: one that starts when nothing is left ends at once, and one that starts
    after another was killed takes its place.

    Args:
        pending: runs to train.
        most: runs at once; None without a limit.
    """
    return max(1, min(pending, MOST_TASKS, 2 * most if most else MOST_TASKS))


def script(options: SlurmOptions, *, name: str, study: Path, logs: Path, tasks: int, most: int | None) -> str:
    """Return the text of the script.

    Args:
        options: what to ask for.
        name: the array's job name.
        study: the study's folder.
        logs: where each job writes what it says.
        tasks: jobs of the array.
        most: how many of them at once; None without a limit.
    """
    warn_s = WARN_BEFORE_S if options.limit_s is None else max(1, int(min(WARN_BEFORE_S, options.limit_s / 4)))
    asked: dict[str, str | int | bool | None] = {
        "job-name": name,
        "array": f"0-{tasks - 1}" + (f"%{most}" if most else ""),
        "output": f"{_escaped(logs)}/slurm-%A_%a.log",
        "open-mode": "append",
        "requeue": True,
        "signal": f"B:USR1@{warn_s}",
        "partition": options.partition,
        "time": options.time,
        "nodes": options.nodes_per_run,
        "ntasks-per-node": 1,
        "cpus-per-task": options.cpus_per_run,
        "gres": f"gpu:{options.gpus_per_run // options.nodes_per_run}" if options.gpus_per_run else None,
    }
    asked |= {key.replace("_", "-"): value for key, value in options.sbatch.items()}
    lines = ["#!/bin/bash"]
    for option, value in asked.items():
        if value is True:
            lines.append(f"#SBATCH --{option}")
        elif value is not None and value is not False:
            lines.append(f"#SBATCH --{option}={_quoted(str(value))}")
    lines += ["", "# mixlaw wrote this script: `mixlaw train` submits it, and `mixlaw cancel` ends its jobs."]
    if options.setup.strip():
        lines += [options.setup.rstrip()]
    if not options.python:
        root = Path(__file__).resolve().parents[2]
        lines += [f'export PYTHONPATH={shlex.quote(str(root))}"${{PYTHONPATH:+:$PYTHONPATH}}"']
    python = options.python or sys.executable
    lines += [f"exec {shlex.quote(python)} -m mixlaw.study.slurm_task {shlex.quote(str(study))} {name}"]
    return "\n".join(lines) + "\n"


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _quoted(text: str) -> str:
    """Return a value as sbatch reads it in a script: in double quotes where it has a space or a sign of its own."""
    return text if re.fullmatch(r"[\w@%:,./=+-]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
