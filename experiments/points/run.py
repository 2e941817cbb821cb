"""What points along real runs are worth: the demo's base and domains, laws of runs with and without their points.

    python -m experiments.points.run FOLDER [--train] [--seeds 0 1]

With `--train`, trains two space-filling designs of 16 runs around 60k tokens with points at a quarter and a half, and
nine mixtures of 240k tokens (Dirichlet, other seeds), and writes runs.csv and held.csv beside this file; begun again,
it does what is missing. Then laws of the first n runs of a design, with their points or without, predict the nine
mixtures: results.json. All runs have the schedule of runs with points. An evaluation costs a third of what it reads.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import spearmanr

from mixlaw.api.project import Project
from mixlaw.core.mixture import Mixture
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.design.space_filling import space_filling_design
from mixlaw.fit import fit_law

HERE = Path(__file__).parent
BASE, RUNS, HELD, TOKENS = 20_000, 16, 9, 240_000
EVALUATED = 17_000
"""Tokens of all validation sets, 60 rows a domain."""


def train(folder: Path) -> None:
    """Train what is missing, and write the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    project = project_in(folder)
    inputs, domains = project.trainer_config.inputs, sorted(project.config.domains)
    specs = [
        RunSpec(f"d{seed}-{name}", tokens, seed, inputs, points=(0.25, 0.5, 1.0))
        for seed in (0, 1)
        for name, tokens in space_filling_design(domains, BASE, RUNS, seed)
    ]
    shares = np.random.default_rng(7).dirichlet(1.5 * np.ones(len(domains)), 12)[:HELD]
    held = [
        RunSpec(f"h{i}", Mixture(dict(zip(domains, row, strict=True)), TOKENS).tokens, 100 + i, inputs, points=(1.0,))
        for i, row in enumerate(shares.tolist())
    ]
    trainer = project.trainer_config.build()
    for name, wanted in (("runs", specs), ("held", held)):
        records = []
        for spec in wanted:
            path = folder / "records" / f"{spec.name}.json"
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                (folder / spec.name).mkdir(exist_ok=True)
                path.write_text(json.dumps(trainer.run(spec, folder=folder / spec.name).to_json()))
            records.append(RunRecord.from_json(json.loads(path.read_text())))
        RunTable.from_records(records, domains, domains).to_csv(HERE / f"{name}.csv")


def project_in(folder: Path) -> Project:
    """Return the project of the controlled experiment's settings."""
    source = HERE.parent / "controlled" / "controlled.yaml"
    tree = yaml.safe_load(source.read_text())["mix"]
    tree["model"] = {"name_or_path": str((source.parent / tree["model"]["name_or_path"]).resolve())}
    tree["domains"] = {
        name: {"path": str((source.parent / node["path"]).resolve())} for name, node in tree["domains"].items()
    }
    path = folder / "mix.yaml"
    path.write_text(yaml.safe_dump({"study": "study", "budget_tokens": "480k", **tree}))
    return Project.open(path)


def figures(runs: RunTable, held: RunTable) -> dict[str, float]:
    """Return how well a law of some runs predicts the held-out mixtures; errors in %."""
    predicted = fit_law(runs, law="pairwise").predict(held.tokens_RK)
    errors = predicted.mean - held.losses_RJ
    level = errors - errors.mean(axis=0)
    said, true = predicted.mean.sum(axis=1), held.losses_RJ.sum(axis=1)
    within = (held.losses_RJ >= predicted.low) & (held.losses_RJ <= predicted.high)
    found = {
        "error": 100 * np.abs(errors / held.losses_RJ).mean(),
        "error between mixtures": 100 * np.abs(level / held.losses_RJ).mean(),
        "rank correlation of the total": spearmanr(said, true)[0],
        "regret": 100 * (true[said.argmin()] / true.min() - 1),
        "covered": within.mean(),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def arm(runs: RunTable, seed: int, count: int, points: bool) -> RunTable:
    """Return the first runs of a design, with their points or without."""
    names = [name for name, point in zip(runs.runs, runs.point_R, strict=True) if not point]
    names = [name for name in names if name.startswith(f"d{seed}-")][:count]
    chosen = np.array([of in names for of in runs.checkpoint_of]) & (points | ~runs.point_R)
    found = runs.take(chosen)
    return found if points else replace(found, checkpoint_of=(), fidelity=())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    wishes = parser.parse_args()
    warnings.simplefilter("ignore")
    if wishes.train:
        train(wishes.folder)
    runs, held = RunTable.from_csv(HERE / "runs.csv"), RunTable.from_csv(HERE / "held.csv")
    rows = []
    for seed in wishes.seeds:
        for count, points in ((16, False), (14, False), (12, False), (9, False), (16, True), (12, True), (9, True)):
            some = arm(runs, seed, count, points)
            cost = some.totals_R[~some.point_R].sum() + len(some) * EVALUATED / 3
            rows.append({"seed": seed, "runs": count, "points": points, "cost": round(cost)} | figures(some, held))
            print(json.dumps(rows[-1]), flush=True)
    chosen = {"mixlaw.fit.checkpoints.POINT_EARLY": "seed 0", "mixlaw.design.spending.LEAST_POINT_TOKENS": "seed 0"}
    (HERE / "results.json").write_text(json.dumps({"chosen_on": chosen, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
