"""Does the demo's solution beat equal and natural weights beyond the interval, when its plan costs a fifth?

    python -m experiments.gain.run FOLDER --data SOURCES --seed 1     one set of rows; adds to results.json

SOURCES is what `examples/demo_data/make.py` draws the demo out of. Its domains, sizes and goal were chosen on set 0;
other sets judge, each with a design, samples and orders of its own. Goals, and what judges them:

    demo     as good at SQL as can be, the others at most 5 % worse than with equal weights, with a certainty of 90 %:
             sets 4 to 8, and 1, the demo's own. Sets 1 to 3 had shown under `five` that SQL gains more surely than the
             total does. The certainty was added when sets 1 and 4 to 6 had shown that expected losses break the limit;
             sets 7 and 8 were dealt out after that
    expected the same, where the expected losses keep to the limit: sets 1 and 4 to 6
    five     SQL counts five times: sets 1 to 3, two seeds, with the law's beliefs of 28 November 2026
    tenth    as good at SQL as can be, a tenth of the tokens for each other domain: set 4, in the same way

Nothing is left out of results.json. Runs that lie in experiments/swarm/runs.parquet are not trained again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from experiments.swarm.known import take_known

from mixlaw.api.compare import compare, confirmation_specs, confirmation_study
from mixlaw.api.costs import spent_in
from mixlaw.api.project import Project
from mixlaw.api.sweep import run
from mixlaw.core.mixture import Mixture
from mixlaw.study.status import RunEvent

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEMO = ROOT / "src" / "mixlaw" / "demo"
SEEDS = 3
"""Trainings of each compared mixture."""
GOALS = {
    "demo": {},
    "expected": {"certainty": None},
    "five": {
        "certainty": None,
        "target_weight": {"sql": 5, "shell": 1, "translation": 1},
        "no_worse": {"shell": "2 %", "translation": "2 %"},
        "reference": "base",
    },
    "tenth": {
        "certainty": None,
        "no_worse": {"shell": "2 %", "translation": "2 %"},
        "reference": "base",
        "min": {"shell": 0.1, "translation": 0.1},
    },
}
"""Name -> what it changes in the demo's `solve`."""


def _make() -> Any:
    """Return `examples/demo_data/make.py` as a module."""
    found = importlib.util.spec_from_file_location("make", ROOT / "examples" / "demo_data" / "make.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def write_study(folder: Path, seed: int, sources: Path, goal: str = "demo") -> Path:
    """Write a study of a seed of data with a goal, and return its mix.yaml."""
    make = _make()
    make.write(make.rows_of(seed, sources), folder / "data")
    shutil.copytree(DEMO / "tiny_base", folder / "tiny_base", dirs_exist_ok=True)
    tree = yaml.safe_load((DEMO / "mix.yaml").read_text(encoding="utf-8"))
    tree["plan"]["seed"] = 100 * seed
    tree["solve"] |= GOALS[goal]
    config = folder / "mix.yaml"
    config.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return config


def show(event: RunEvent) -> None:
    """Print a finished run."""
    if event.kind == "finished":
        print(event.run, {target: round(loss, 3) for target, loss in event.losses.items()}, flush=True)


def outcome(config: Path, seeds: int, workers: int, fresh: bool) -> dict:
    """Do the whole job and the comparison, and return what came out."""
    project = Project.open(config, print)
    if not fresh:
        take_known(project.study, project.planned[0])
        domains, budget = list(project.config.domains), project.config.budget_tokens
        usual = {"equal": Mixture.equal(domains, budget), "natural": Mixture.natural(project.available_tokens, budget)}
        take_known(confirmation_study(project.study), confirmation_specs(project, usual, seeds).values())
    result = run(project, workers=workers, on_event=show)
    print(result.solution, flush=True)
    found = compare(project, seeds=seeds, against=["equal", "natural"], workers=workers, on_event=show)
    cost = spent_in(project.study)
    assert cost is not None
    wish = project.config.solve
    best, base = found["mixtures"]["solution"]["losses"], result.fit.base
    other = {} if wish.reference == "base" else found["mixtures"][wish.reference]["losses"]
    held = {target: other[target]["mean"] for target in other} or base
    proxies = sum(sum(spec.tokens.values()) for spec in project.planned[0])
    compared = seeds * len(found["mixtures"]) * found["budget_tokens"]
    return {
        "seeds": seeds,
        "budget_tokens": found["budget_tokens"],
        "cost_share": cost.total.share,
        "trained_tokens": {"proxies": proxies, "comparison": compared},
        "law": result.fit.law,
        "left_out_error_percent": {
            t: {"law": 100 * v.cv_mre, "mean": 100 * v.cv_mre_mean} for t, v in result.fit.targets.items()
        },
        "weights": dict(result.solution.weights),
        "base_model": {t: float(loss) for t, loss in base.items()},
        "warnings": [*result.fit.warnings, *result.solution.warnings],
        "no_worse": {
            target: {
                "limit_percent": limit,
                "measured_percent": 100 * (best[target]["mean"] / held[target] - 1),
                "below_base_percent": 100 * (1 - best[target]["mean"] / base[target]),
            }
            for target, limit in wish.no_worse.items()
        },
        "mixtures": found["mixtures"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the larger files")
    parser.add_argument("--seed", type=int, required=True, choices=range(10), help="of the data")
    parser.add_argument("--goal", choices=GOALS, default="demo")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="train runs that the swarm's file holds, too")
    arguments = parser.parse_args()
    config = arguments.folder / "mix.yaml"
    if not config.exists():
        config = write_study(arguments.folder, arguments.seed, arguments.data, arguments.goal)
    found = outcome(config, arguments.seeds, arguments.workers, arguments.fresh)
    path = HERE / "results.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results[f"{'' if arguments.goal == 'demo' else f'{arguments.goal}, '}data {arguments.seed}"] = found
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name in ("equal", "natural"):
        print(name, found["mixtures"][name]["minus_solution"], found["mixtures"][name]["minus_solution_by_target"])
    print("no worse", found["no_worse"], "cost", found["cost_share"])


if __name__ == "__main__":
    main()
