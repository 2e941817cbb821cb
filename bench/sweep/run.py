"""A planned sweep from start to last record, by mixlaw now and before, TRL's SFTTrainer and Hugging Face's Trainer.

    python -m bench.sweep.run [--runs 13] [--rounds 3] [--arms now,before,...] [--before COMMIT]

The plan is that of `experiments/data/mix.yaml`: the bundled base model, three domains, rows of 512 tokens, four a
batch, 450 validation conversations after every run. Tokenising is done before and not counted. Imports, loading,
training, evaluation and records are. Every round takes each arm once, in turn:

now       `mixlaw train` with the code of this checkout, a worker a core
before    the same with the code of an earlier commit, from a git worktree
sft_one   SFTTrainer, all runs in one process with --threads threads, as many as cores; packing on, bfloat16
sft_each  SFTTrainer, one process a run, one after another, as a shell loop over runs does
trainer   Hugging Face's Trainer in one process, on mixlaw's packed rows

Kept of each: wall seconds, CPU seconds of all processes, tokens trained, losses. results.json grows arm by arm; what is
there is not measured again (--again does). Where others use the cores too, CPU seconds say more than the clock, and
those of one thread more than those of two, which count the waiting for each other: the load at the start of each
measurement is kept beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import stamp
from experiments.data.cut import write_study

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ARMS = ("now", "before", "sft_one", "sft_each", "trainer")
BEFORE = "9f954eb"
PREPARE = """
import sys
from pathlib import Path
from mixlaw.api.files import example_config
from mixlaw.api.project import Project
from mixlaw.api.sweep import plan
project = Project.open(example_config(Path(sys.argv[1]), keep=True))
plan(project)
project.study.save_trainer(project.trainer_config)
"""
SWEEP = """
import json, sys
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study
study = Study(sys.argv[1])
specs = [spec for spec in study.load_plan() if spec.name in sys.argv[2:]]
statuses = run_pending(study, study.load_trainer(), specs=specs)
assert all(status.state == "done" for status in statuses), statuses
losses = {s.name: {d: x.loss_nats for d, x in study.record(s).losses.items()} for s in specs}
print(json.dumps(losses))
"""


def call(command: list[str], source: Path, threads: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a child with mixlaw from a source tree; return what it took, and the last line that it printed."""
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{ROOT}", "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("OMP_NUM_THREADS", None)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    load, before, began = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = done.stdout.strip().splitlines()
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "load": round(load, 1)}, json.loads(
        lines[-1] if lines else "{}"
    )


def measure(arm: str, study: Path, names: list[str], source: Path, threads: int | None) -> dict[str, Any]:
    """Do the runs by one arm; return seconds and losses."""
    if arm in ("now", "before"):
        taken, losses = call(["-c", SWEEP, str(study), *names], source)
        for folder in (study / "runs").iterdir():  # for the next round
            shutil.rmtree(folder)
        return taken | {"losses": losses}
    script = [str(HERE / "theirs.py"), str(study), "trainer" if arm == "trainer" else "sft"]
    if arm != "sft_each":
        taken, losses = call([*script, *names], source, threads)
        return taken | {"losses": losses}
    parts = [call([*script, name], source, threads) for name in names]
    total = {key: round(sum(taken[key] for taken, _ in parts), 2) for key in ("wall_s", "cpu_s")}
    return total | {"load": parts[0][0]["load"], "losses": {k: v for _, losses in parts for k, v in losses.items()}}


def summary(found: dict[str, list[dict[str, Any]]], tokens: int) -> dict[str, Any]:
    """Return medians, and the ratio of `now` to each arm round by round: median, least and most."""
    rows = {}
    for arm, rounds in found.items():
        row = {"rounds": len(rounds)}
        for key in ("wall_s", "cpu_s"):
            row[f"tokens_per_{key}"] = round(tokens / statistics.median(r[key] for r in rounds))
            if arm != "now":
                ratios = sorted(r[key] / n[key] for r, n in zip(rounds, found.get("now", []), strict=False))
                if ratios:
                    row[f"now_is_faster_{key}"] = [
                        round(x, 2) for x in (statistics.median(ratios), ratios[0], ratios[-1])
                    ]
        rows[arm] = row
    return rows


def differences(found: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Return how far the losses of `now` lie from those of `before`, nats."""
    if not found.get("now") or not found.get("before"):
        return {}
    now, before = found["now"][0]["losses"], found["before"][0]["losses"]
    gaps = sorted(abs(now[run][target] - before[run][target]) for run in now for target in now[run])
    return {"median": round(statistics.median(gaps), 6), "most": round(gaps[-1], 6)}


def main() -> None:
    """Measure what is missing and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=13, help="the first runs of the plan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of each process that is not mixlaw's; as many as cores without")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--before", default=BEFORE, help="the earlier commit")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    kept = json.loads(options.out.read_text()) if options.out.exists() and not options.again else {}
    key = f"{options.runs} runs" + (f", {options.threads} thread" if options.threads else "")
    found: dict[str, list[dict[str, Any]]] = kept.get(key, {}).get("measured", {})
    with tempfile.TemporaryDirectory() as scratch:
        old = Path(scratch) / "old"
        subprocess.run(["git", "worktree", "add", "--detach", "-q", str(old), options.before], cwd=ROOT, check=True)
        try:
            sources = {arm: old / "src" if arm == "before" else ROOT / "src" for arm in ARMS}
            studies = {arm: Path(scratch) / arm / "study" for arm in ("now", "before")}
            for arm, study in studies.items():
                config = write_study(study.parent)
                if arm == "before":  # the key's name then
                    config.write_text(config.read_text().replace("\nbudget:", "\nbudget_tokens:"))
                call(["-c", PREPARE, str(study.parent)], sources[arm])
            plan = json.loads((studies["now"] / "plan.json").read_text())["runs"][: options.runs]
            names, tokens = [run["name"] for run in plan], sum(sum(run["tokens"].values()) for run in plan)
            for number in range(options.rounds):
                for arm in options.arms.split(","):
                    if len(found.get(arm, [])) > number:
                        continue
                    study = studies["before" if arm == "before" else "now"]
                    found.setdefault(arm, []).append(measure(arm, study, names, sources[arm], options.threads))
                    kept |= stamp("reporting", "0", {}) | {"machine": machine()}
                    kept[key] = {"tokens": tokens, "before": options.before, "summary": summary(found, tokens)}
                    kept[key] |= {name: kept[name] for name in ("commit", "command")}
                    kept[key] |= {"now_against_before_nats": differences(found), "measured": found}
                    options.out.write_text(json.dumps(kept, indent=1) + "\n")
                    sys.stderr.write(f"{arm} {found[arm][-1] | {'losses': None}}\n")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)


def machine() -> str:
    """Return the processor, the cores and the versions."""
    import importlib.metadata as metadata

    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "transformers", "trl"))
    processor = named[0].split(": ")[1] if named else platform.machine()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores; {versions}"


if __name__ == "__main__":
    main()
