"""How long commands take that have nothing to do: `run` of a finished demo, `status`, `check`, `--help`.

    python -m bench.start.run FOLDER [--rounds 5]

FOLDER gets the bundled demo, trained, unless it is there. Commands run in turn, each in a process of its own, from its
start until it is gone, so that what Python does after the last line counts. Kept: medians, least and most of seconds by
the clock and of CPU seconds (of all threads and children), and the load. `after the last line` is by the clock, from
the last thing that a command writes to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.record import ROOT, stamp
from bench.sweep.run import machine

HERE = Path(__file__).parent
COMMANDS = {
    "help": ["--help"],
    "status": ["status", "mixlaw-demo/mix.yaml"],
    "check": ["check", "mixlaw-demo/mix.yaml"],
    "run, nothing to do": ["run", "mixlaw-demo/mix.yaml"],
}
GOALS = {"help": 0.5, "status": 1.5, "run, nothing to do": 5.0}
"""Seconds on an idle core."""


def taken(command: list[str], folder: Path) -> dict[str, float]:
    """Return what one command took."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mixlaw", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        last = began
        while process.stdout and os.read(process.stdout.fileno(), 1 << 16):
            last = time.perf_counter()
        process.wait()
        ended = time.perf_counter()
    if process.returncode:
        raise SystemExit(f"mixlaw {' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": ended - began, "cpu_s": cpu, "after_last_line_s": ended - last}


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return median, least and most of everything, and whether a goal is met in CPU seconds."""
    rows: dict[str, Any] = {}
    for name, rounds in found.items():
        rows[name] = {}
        for key in rounds[0]:
            values = sorted(one[key] for one in rounds)
            rows[name][key] = [round(x, 2) for x in (statistics.median(values), values[0], values[-1])]
        if name in GOALS:
            rows[name] |= {"goal_s": GOALS[name], "met_in_cpu_s": rows[name]["cpu_s"][0] < GOALS[name]}
    return rows


def main() -> None:
    """Measure and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / "mixlaw-demo" / "study" / "solution.json").exists():
        taken(["demo"], options.folder)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    load = os.getloadavg()[0]
    for _ in range(options.rounds + 1):  # the first fills caches of the file system and of Python
        for name, command in COMMANDS.items():
            found[name].append(taken(command, options.folder))
    found = {name: rounds[1:] for name, rounds in found.items()}
    kept = stamp("reporting", "0", {}) | {"machine": machine(), "load": [round(load, 1), round(os.getloadavg()[0], 1)]}
    kept |= {"medians_least_most": summary(found)}
    options.out.write_text(json.dumps(kept, indent=1) + "\n")
    sys.stdout.write(json.dumps(kept["medians_least_most"], indent=1) + "\n")


if __name__ == "__main__":
    main()
