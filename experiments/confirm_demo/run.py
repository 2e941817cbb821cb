"""Did the first version's demo beat the equal and the natural mixture when it is really trained? Writes results.json.

    python -m experiments.confirm_demo.run FOLDER [--seeds 6] [--budgets 60k 240k]

Runs that study (`experiments/data`) in FOLDER (or uses the one that is there), solves at each budget, and trains
solution, equal and natural with several seeds. Mixtures of one seed share their samples' prefixes, so differences
within a seed are less noisy than the losses. These runs never enter the fit.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from experiments.data.cut import write_study

from mixlaw.api.project import Project
from mixlaw.api.sweep import fit_and_solve, train
from mixlaw.core.mixture import Mixture
from mixlaw.core.run import RunSpec
from mixlaw.core.tokens import parse_tokens
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--budgets", nargs="+", default=["60k", "240k"])
    arguments = parser.parse_args()
    project = Project.open(write_study(arguments.folder), print)
    train(project)
    fit, _ = fit_and_solve(project)
    out: dict = {
        "machine": platform.machine(),
        "largest_proxy_run_tokens": fit.largest_run,
        "left_out_error_percent": {
            name: {"law": 100 * t.cv_mre, "mean": 100 * t.cv_mre_mean} for name, t in fit.targets.items()
        },
        "budgets": {},
    }
    confirmation = Study(project.study.folder.parent / "confirmation")
    specs, planned = [], {}
    for text in arguments.budgets:
        budget = parse_tokens(text)
        solution = project.solve(fit, budget)
        mixtures = {
            "solved": dict(solution.weights),
            "equal": dict(solution.baselines["equal"]["weights"]),
            "natural": dict(solution.baselines["natural"]["weights"]),
        }
        for name, weights in mixtures.items():
            for seed in range(100, 100 + arguments.seeds):
                tokens = Mixture(weights, budget).tokens
                spec = RunSpec(f"{name}-{text}-{seed}", tokens, seed, project.trainer_config.inputs, "confirmation")
                specs.append(spec)
                planned[spec.name] = (text, name)
        predicted = {"solved": solution.total_loss} | {n: b["total_loss"] for n, b in solution.baselines.items()}
        out["budgets"][text] = {
            "weights": mixtures,
            "predicted_total": predicted,
            "expected_regret": dict(solution.expected_regret),
        }
    confirmation.save_plan(specs)
    run_pending(
        confirmation,
        project.trainer_config,
        on_event=lambda e: e.kind == "finished" and print(e.run, e.losses, flush=True),
    )
    totals: dict = {}
    for record in confirmation.records(specs):
        text, name = planned[record.spec.name]
        totals.setdefault(text, {}).setdefault(name, []).append(
            {t: loss.loss_nats for t, loss in record.losses.items()}
        )
    for text, by_name in totals.items():
        sums = {name: np.array([sum(run.values()) for run in runs]) for name, runs in by_name.items()}
        entry = out["budgets"][text]
        entry["measured_total"] = {
            n: {"mean": float(v.mean()), "sd": float(v.std(ddof=1)), "runs": v.tolist()} for n, v in sums.items()
        }
        entry["measured_by_domain"] = {
            n: {t: float(np.mean([run[t] for run in runs])) for t in runs[0]} for n, runs in by_name.items()
        }
        for other in ("equal", "natural"):
            gap = sums[other] - sums["solved"]
            entry[f"{other}_minus_solved"] = {
                "mean_nats": float(gap.mean()),
                "standard_error": float(gap.std(ddof=1) / np.sqrt(len(gap))),
                "seeds_won": int((gap > 0).sum()),
                "percent": 100 * float(gap.mean() / sums[other].mean()),
            }
        print(text, {k: v for k, v in entry.items() if k.endswith("solved") or k == "predicted_total"})
    (Path(__file__).parent / "results.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
