"""Starts two or three `mixlaw run` on one study at once, and looks whether all of them end well.

    python -m bench.faults.races [--races 60] [--out bench/faults/races.json]

All must end with exit code 0. Records and mixture must be those of a study that one process made, every run must have
been trained once (the trainer keeps a list of its trainings), and no lease or temporary file may be left.

Results are written after each race; a second start goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.faults.studies import write_config
from bench.record import stamp

import mixlaw
from mixlaw.core.files import write_json

PATHS = os.pathsep.join(sys.path)
"""As it is before this process imports a trainer: the others import their own."""

LONGEST_S = 900
LONGEST_DELAY_S = 6.0
COUNTED = """
    def run(self, spec, *, folder, progress=None):
        import pathlib

        with open(pathlib.Path(__file__).with_name("trained.txt"), "a") as file:
            file.write(spec.name + "\\n")
"""


def counting(config: Path) -> Path:
    """Let the study's trainer keep a list of the runs that it has trained."""
    code = config.parent / "own_trainer.py"
    text = code.read_text(encoding="utf-8")
    head = "\n    def run(self, spec, *, folder, progress=None):\n"
    assert text.count(head) == 1
    code.write_text(text.replace(head, COUNTED), encoding="utf-8")
    return config


def results(study: Path) -> dict[str, str]:
    """Return the records and the mixture of a study."""
    files = [*study.glob("runs/*/record.json"), *study.glob("mixtures/*/train*")]
    return {str(path.relative_to(study)): path.read_text(encoding="utf-8") for path in files}


def race(folder: Path, expected: dict[str, str], rng: random.Random) -> dict[str, Any]:
    """Let some processes run one study, and return what went wrong."""
    config = counting(write_config(folder))
    environment = os.environ | {"PYTHONPATH": PATHS}
    words = [sys.executable, "-m", "mixlaw", "run", str(config), "--workers", "1"]
    processes, delays = [], [0.0, *sorted(rng.uniform(0, LONGEST_DELAY_S) for _ in range(rng.choice((1, 2))))]
    began = time.monotonic()
    for delay in delays:
        time.sleep(max(0.0, began + delay - time.monotonic()))
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        processes.append(process)
    wrong = []
    for process in processes:
        said = process.communicate(timeout=LONGEST_S)[1]
        if process.returncode:
            wrong.append(f"exit code {process.returncode}: {said.strip()[-300:]}")
    study = config.parent / "study"
    found = results(study)
    wrong += [f"{name} is missing or another" for name, text in expected.items() if found.get(name) != text]
    wrong += [f"{name} is too many" for name in found.keys() - expected.keys()]
    wrong += [f"{p.name} is left" for p in study.rglob("*") if p.name == "lease.json" or p.name.endswith(".tmp")]
    list_of = config.parent / "trained.txt"
    trained = list_of.read_text().split() if list_of.exists() else []
    return {
        "processes": len(processes),
        "trainings": len(trained),
        "twice": sorted({name for name in trained if trained.count(name) > 1}),
        "wrong": wrong,
    }


def main() -> None:
    """Race until there were enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--races", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("races.json"))
    options = parser.parse_args()
    races: list[dict[str, Any]] = json.loads(options.out.read_text())["races"] if options.out.exists() else []
    with tempfile.TemporaryDirectory(prefix="mixlaw-races-") as place:
        alone = counting(write_config(Path(place) / "alone"))
        mixlaw.run(alone, workers=1)
        expected = results(alone.parent / "study")
        while len(races) < options.races:
            folder = Path(place) / f"race-{len(races)}"
            races.append(race(folder, expected, random.Random(f"race {len(races)}")))
            save(options.out, races)


def save(out: Path, races: list[dict[str, Any]]) -> None:
    """Write the races and their counts."""
    counts = {
        "races": len(races),
        "processes": sum(r["processes"] for r in races),
        "trainings": sum(r["trainings"] for r in races),
        "trained_twice": sum(len(r["twice"]) for r in races),
        "wrong": sum(bool(r["wrong"]) for r in races),
    }
    write_json(out, stamp("reporting", "one of its own for each race", {}) | {"counts": counts, "races": races})


if __name__ == "__main__":
    main()
