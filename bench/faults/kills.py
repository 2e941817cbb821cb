"""Kills sweeps with SIGKILL at random moments, and looks whether their records are those of an undisturbed one.

    python -m bench.faults.kills [--kills 300] [--kinds native,command,ray] [--out bench/faults/kills.json]

A round is a study of several runs and two workers. While it is at work, either one process that trains is killed, or
the driver and all that it has started, in the same instant; then the sweep is started again, until all runs are done.
With Ray the workers are two nodes of a real cluster on this machine, in namespaces of its own, that see none of the
driver's files; what is killed is a task's process, all processes of a node (another one is then started), or the
driver.
Afterwards every record must be the undisturbed one's to the byte, none missing and none there twice, and no temporary
file or lease left.

Results are written after each round; a second start goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.faults.studies import ROOT
from bench.record import stamp

from mixlaw.core.files import write_json
from mixlaw.core.run import RunSpec
from mixlaw.study.leases import process_start
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

DRIVER = """
import sys
from mixlaw.study.store import Study

study = Study(sys.argv[1])
if sys.argv[2] == "ray":
    from mixlaw.study.executor_ray import RayOptions, run_pending
    run_pending(study, study.load_trainer(), workers=2, options=RayOptions('127.0.0.1:6399'))
else:
    from mixlaw.study.executor_local import run_pending
    run_pending(study, study.load_trainer(), workers=2)
"""
PROGRAM = """
import json, sys, time

spec = json.load(open(sys.argv[1]))
rows = sum(1 for _ in open(spec["train_file"]))
time.sleep(0.5)
losses = {target: {"nats": 300.0 + rows, "count": 100} for target in spec["validation_files"]}
json.dump({"losses": losses, "steps": rows}, open(spec["result"], "w"))
"""
WAIT_S = 240
TASK = re.compile("ray::(?!IDLE)")
"""The titles of Ray's processes that have a task."""
INSIDE = "MIXLAW_KILLS_INSIDE"
"""Set where the process is in the namespaces of the Ray cluster."""


@dataclass(frozen=True)
class Kind:
    """A sweep that is killed.

    Attributes:
        config: its trainer.
        specs: its runs.
        records: run -> the bytes of the undisturbed record.
        seconds: between the first lease of a driver and the kill, at most.
    """

    config: TrainerConfig
    specs: list[RunSpec]
    records: dict[str, bytes]
    seconds: float


def native(folder: Path) -> tuple[TrainerConfig, list[RunSpec]]:
    """A tiny Llama, six runs of a few seconds."""
    from tiny_training import make_config, make_specs

    config = make_config(folder, rows=600)
    return config, make_specs(config, (9_000, 9_500, 10_000, 10_500, 11_000, 3_000))


def command(folder: Path) -> tuple[TrainerConfig, list[RunSpec]]:
    """A program of ten lines, ten runs of a second."""
    from mixlaw.testing._training_case import _write_text, write_rows
    from mixlaw.train.settings import ModelSettings
    from tiny_training import SETTINGS, save_tiny_llama

    save_tiny_llama(folder / "model")
    (folder / "train.py").write_text(PROGRAM, encoding="utf-8")
    rows = {}
    for i, domain in enumerate(("code", "math")):
        for part, count in (("train", 120), ("validation", 12)):
            rows[part, domain] = write_rows(folder / domain / part, count, i + count)
            _write_text(rows[part, domain], domain)
    options = {"command": f"{sys.executable} train.py {{spec}}"}
    config = TrainerConfig.of(
        ModelSettings(str(folder / "model")),
        SETTINGS,
        *({domain: rows[part, domain] for domain in ("code", "math")} for part in ("train", "validation")),
        trainer="command",
        options=options,
        folder=folder,
    )
    return config, [RunSpec(f"run-{n}", {"code": n, "math": n}, 0, dict(config.inputs)) for n in range(200, 1200, 100)]


KINDS: dict[str, Callable[[Path], tuple[TrainerConfig, list[RunSpec]]]] = {
    "native": native,
    "command": command,
    "ray": native,
}


class Nodes:
    """The Ray cluster of all rounds: two nodes of one core each.

    Args:
        hidden: the folder of which the nodes see nothing.
    """

    def __init__(self, hidden: Path) -> None:
        from ray_cluster import Cluster

        self.cluster = Cluster(hidden)
        self.names = [self.cluster.add_node(), self.cluster.add_node()]

    def mend(self) -> None:
        """Start another node for each that is gone: on a busy machine Ray also gives up nodes that answer late."""
        for i, name in enumerate(self.names):
            if not any("raylet" in _title(pid) for pid in self.cluster.processes(name)):
                self.cluster.kill(name)
                self.names[i] = self.cluster.add_node()

    def kill(self, rng: random.Random) -> str:
        """Kill a task's process or a whole node, and say which; empty where nothing was at work."""
        i = rng.randrange(len(self.names))
        tasks = [pid for pid in self.cluster.processes(self.names[i]) if TASK.match(_title(pid))]
        if not tasks:
            return ""
        if rng.random() < 0.7:
            os.kill(rng.choice(tasks), signal.SIGKILL)
            return "task"
        self.cluster.kill(self.names[i])
        self.names[i] = self.cluster.add_node()
        return "node"


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def driver(study: Study, kind: str) -> subprocess.Popen[bytes]:
    """Start a sweep in a session of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", DRIVER, str(study.folder), kind]
    log = open(study.logs_folder / "driver.log", "ab")  # noqa: SIM115 - the process keeps it
    return subprocess.Popen(words, start_new_session=True, env=environment, stdout=log, stderr=log)


def start(folder: Path, config: TrainerConfig, specs: list[RunSpec]) -> Study:
    """Make a study that is planned and not trained."""
    study = Study(folder)
    study.save_plan(specs)
    study.save_trainer(config)
    return study


def working(study: Study, specs: list[RunSpec]) -> list[int]:
    """Return the living processes that train, by the leases."""
    owners = [owner for spec in specs if (owner := study.owner(spec))]
    return [pid for pid in owners if process_start(pid) not in ("", "dead")]


def kill_once(
    study: Study, kind: Kind, name: str, process: subprocess.Popen[bytes], rng: random.Random, nodes: Nodes | None
) -> str:
    """Wait until a run is at work and a moment longer, kill, and say what was killed; empty where all ended before."""
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and not working(study, kind.specs):
        if time.monotonic() > deadline:
            raise AssertionError(f"{name}: no run began within {WAIT_S} s")
        time.sleep(0.01)
    time.sleep(rng.uniform(0, kind.seconds))
    pids = working(study, kind.specs)
    if process.poll() is not None:
        return ""
    if rng.random() < 0.5 and nodes is not None:
        return nodes.kill(rng)
    if rng.random() < 0.5 and pids and nodes is None:
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return ""
        return "worker"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "driver and workers" if name != "ray" else "driver"


def wrong(study: Study, kind: Kind) -> list[str]:
    """Return what is not as after an undisturbed sweep."""
    found = []
    for spec in kind.specs:
        path = study.run_folder(spec) / "record.json"
        if not path.is_file():
            found.append(f"{spec.name} has no record")
        elif path.read_bytes() != kind.records[spec.name]:
            found.append(f"{spec.name} has another record")
    folders = [path.name for path in study.runs_folder.iterdir()]
    if len(folders) != len(kind.specs):
        found.append(f"{len(folders)} folders for {len(kind.specs)} runs")
    left = [
        str(p.relative_to(study.folder))
        for p in study.folder.rglob("*")
        if p.name.endswith(".tmp") or p.name == "lease.json"
    ]
    return found + [f"{name} is left" for name in left]


def round_of(name: str, kind: Kind, folder: Path, most: int, rng: random.Random, nodes: Nodes | None) -> dict[str, Any]:
    """Kill one study again and again until all of its runs are done."""
    study, killed, sweeps = start(folder, kind.config, kind.specs), [], 0
    while not all(status.state == "done" for status in study.status()):
        if nodes is not None:
            nodes.mend()
        process, sweeps = driver(study, name), sweeps + 1
        while process.poll() is None and len(killed) < most:
            if what := kill_once(study, kind, name, process, rng, nodes):
                killed.append(what)
        process.wait(WAIT_S)
        if sweeps > most + 20:
            break
    return {"kind": name, "killed": killed, "sweeps": sweeps, "wrong": wrong(study, kind)}


def undisturbed(name: str, folder: Path, seconds: float) -> Kind:
    """Train the study without a kill."""
    config, specs = KINDS[name](folder)
    study = start(folder / "undisturbed", config, specs)
    assert driver(study, name).wait(3 * WAIT_S) == 0
    records = {spec.name: (study.run_folder(spec) / "record.json").read_bytes() for spec in specs}
    return Kind(config, specs, records, seconds)


def main() -> None:
    """Kill until there were enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--kinds", default="native,command,ray")
    parser.add_argument("--each", type=int, default=6, help="most kills of a round")
    parser.add_argument("--seconds", type=float, default=4.0, help="longest wait before a kill")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kills.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    rounds: list[dict[str, Any]] = json.loads(options.out.read_text())["rounds"] if options.out.exists() else []
    names = options.kinds.split(",")
    if "ray" in names and INSIDE not in os.environ:
        from ray_cluster import isolated

        os.environ |= {INSIDE: "1", "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
        words = isolated(["-m", "bench.faults.kills", *sys.argv[1:]])
        os.execvp(words[0], words)
    with tempfile.TemporaryDirectory(prefix="mixlaw-kills-") as place:
        kinds: dict[str, Kind] = {}
        nodes = Nodes(Path(place)) if "ray" in names else None
        while sum(len(r["killed"]) for r in rounds if r["kind"] in names) < options.kills:
            name = min(names, key=lambda name: sum(len(r["killed"]) for r in rounds if r["kind"] == name))
            if name not in kinds:
                folder = Path(place) / f"of-{name}"
                folder.mkdir()
                kinds[name] = undisturbed(name, folder, options.seconds)
            folder = Path(place) / f"round-{len(rounds)}"
            rng = random.Random(f"round {len(rounds)}")
            given = nodes if name == "ray" else None
            rounds.append(round_of(name, kinds[name], folder, options.each, rng, given))
            shutil.rmtree(folder, ignore_errors=True)
            save(options.out, rounds)
        if nodes is not None:
            nodes.cluster.close()


def save(out: Path, rounds: list[dict[str, Any]]) -> None:
    """Write the rounds and their counts."""
    counts = {}
    for name in sorted({r["kind"] for r in rounds}):
        mine = [r for r in rounds if r["kind"] == name]
        kills = [what for r in mine for what in r["killed"]]
        counts[name] = {
            "rounds": len(mine),
            "kills": len(kills),
            **{f"of_a_{what.replace(' ', '_')}": kills.count(what) for what in sorted(set(kills))},
            "wrong": sum(bool(r["wrong"]) for r in mine),
        }
    write_json(out, stamp("reporting", "one of its own for each round", {}) | {"counts": counts, "rounds": rounds})


if __name__ == "__main__":
    main()
