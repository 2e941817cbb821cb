"""How well minutes are told before a run is trained: predicted against measured, for small plans. Writes minutes.json.

    python -m bench.cost.minutes [--plans 12] [--workers 2] [--limit 30]

Each plan is a study of the bundled demo with another number, size and kind of runs, drawn by its seed: a probe
(`mixlaw.study.probe`), then the sweep, plan after plan, so that both meet the same machine. Compared are

    wall   seconds from the start of the sweep to its last record, workers' start included
    cpu    seconds of the processor of all worker processes

On a machine that others use, too, the wall says how their load changed in between, and the processor's seconds what the
estimate is worth; `idle` is the part of the workers' time in which they had a processor. Rows are appended to
minutes.jsonl as they come: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from bench.record import stamp

import mixlaw
from mixlaw.api.executor import train_pending
from mixlaw.api.project import Project
from mixlaw.core.cores import usable_cores
from mixlaw.study.executor_local import worker_environment
from mixlaw.study.probe import probe
from mixlaw.train.pace import Pace

HERE = Path(__file__).parent
DEMO = Path(mixlaw.__file__).parent / "demo"
WITHIN = 0.2


def a_plan(seed: int) -> dict[str, Any]:
    """Return the settings of one plan, drawn by its seed."""
    rng = np.random.default_rng([seed, 19])
    names = ["instruction", "math", "code"][: int(rng.integers(2, 4))]
    train: dict[str, Any] = {"learning_rate": 1e-3}
    train |= {"max_length": 512, "per_device_train_batch_size": int(rng.choice([2, 4, 8]))}
    train |= {"per_device_eval_batch_size": int(rng.choice([8, 16, 32]))}
    if rng.random() < 0.25:
        train["peft"] = {"r": 8, "target_modules": "all-linear"}
    if rng.random() < 0.25:
        train["gradient_checkpointing"] = True
    if rng.random() < 0.25:
        train["num_train_epochs"] = 2
    plan: dict[str, Any] = {"design": "space_filling", "runs": max(5, int(rng.integers(4, 9))), "seed": seed}
    plan["base_tokens"] = int(rng.integers(5_000, 15_000))
    if rng.random() < 0.34:
        plan |= {"points": [0.5], "base_tokens": int(rng.integers(12_000, 20_000))}
    return {
        "study": "study",
        "model": {"name_or_path": str(DEMO / "tiny_base")},
        "domains": {name: {"path": str(DEMO / "data" / f"{name}.jsonl.gz")} for name in names},
        "validation": {"rows": int(rng.choice([30, 60, 120]))},
        "budget_tokens": "1M",
        "plan": plan,
        "train": train,
    }


def measured(seed: int, workers: int, limit_s: float) -> dict[str, Any]:
    """Return what the probe said of a plan, and what it took."""
    tree = a_plan(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.yaml"
        path.write_text(yaml.safe_dump(tree | {"plan": tree["plan"] | {"probe": False}}))
        project = Project.open(path)
        specs = mixlaw.plan(project).runs
        project.study.save_trainer(project.trainer_config)
        threads, began = max(1, usable_cores() // workers), time.monotonic()
        found = probe(project.study, [worker_environment(i, threads, []) for i in range(workers)], limit_s)
        probe_s = time.monotonic() - began
        if found is None:
            return {"seed": seed, "probe_s": round(probe_s, 1), "failed": True}
        before, began = _cpu_s(), time.monotonic()
        statuses = train_pending(project, project.study, workers=workers)
        wall, cpu = time.monotonic() - began, _cpu_s() - before
        assert all(status.state == "done" for status in statuses)
    runs = [(spec.trained_tokens, spec.evaluations) for spec in specs]
    return {
        "seed": seed,
        "runs": len(runs),
        "tokens": sum(tokens for tokens, _ in runs),
        "evaluations": sum(evaluations for _, evaluations in runs),
        "kind": "lora" if "peft" in tree["train"] else "full",
        "probe_s": round(probe_s, 1),
        "wall": {"predicted": round(found["wall"].runs_s(runs, workers), 1), "measured": round(wall, 1)},
        "cpu": {"predicted": round(_processor_s(found["cpu"], runs, workers), 1), "measured": round(cpu, 1)},
        "idle": round(1 - cpu / (wall * workers), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def _processor_s(pace: Pace, runs: list[tuple[float, int]], workers: int) -> float:
    return workers * pace.start_s + sum(pace.run_s(*run) for run in runs)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often each clock was predicted within a fifth."""
    good = [row for row in rows if not row.get("failed")]
    table: dict[str, Any] = {"plans": len(rows), "no probe in time": len(rows) - len(good)}
    for clock in ("wall", "cpu"):
        ratios = np.array([row[clock]["predicted"] / row[clock]["measured"] for row in good])
        table[clock] = {
            "within 20 %": int((np.abs(ratios - 1) <= WITHIN).sum()),
            "median ratio": round(float(np.median(ratios)), 3),
            "smallest": round(float(ratios.min()), 3),
            "largest": round(float(ratios.max()), 3),
        }
    return table | {"probe, longest, s": max(row["probe_s"] for row in rows)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=int, default=12)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=30.0)
    arguments = parser.parse_args()
    kept = HERE / "minutes.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for seed in range(arguments.first, arguments.first + arguments.plans):
        if seed in {row["seed"] for row in rows}:
            continue
        rows.append(measured(seed, arguments.workers, arguments.limit))
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    seeds = f"{rows[0]['seed']} to {rows[-1]['seed']}"
    machine = f"{platform.machine()}, {usable_cores()} cores"
    result = stamp("reporting", seeds, {}) | {"machine": machine, "summary": summary(rows), "plans": rows}
    (HERE / "minutes.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
