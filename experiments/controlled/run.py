"""The controlled experiment: all 21 grid mixtures at every budget and seed, and each method's mixture beside them.

    python -m experiments.controlled.run YAML FOLDER [--budgets 120k] [--steps grid methods tables]

Writes beside controlled.yaml, or into a folder with the name of another YAML, grid.csv and methods.csv, run tables that
grow run by run, and results.json with the gaps. Begun again, it does what is missing: runs in these tables are not
trained again, also where FOLDER is new (leave the tables out to do all anew), nor, without --fresh, are small runs that
lie in experiments/swarm/runs.parquet, but for later batches and models that are merged. A run of the grid is named
grid-A-B-C@BUDGET#SEED, with shares in eighths. The step `confirm` needs no grid: it compares each law with its mixture.
The step `check` trains the last run of each table once more at each budget, and says whether it comes out the same.

| method | proxy runs, cost as a share of the final run's FLOPs with evaluations | law |
|---|---|---|
| `auto-10`, `auto-20` | `plan: {max_cost: 10%}`, 20 %; fewer where more are not worth it | `auto` |
| `together-15`, `together-8` | points, merges and further batches, few held-out rows | `auto` |
| `sized-15`, `sized-8` | one batch of K + 4 runs, at least 9, few held-out rows | `auto` |
| `points-15`, `merged-15` | such a batch with points along its runs, with merged models | `auto` |
| `merge-15` | one expert a domain, merged for every grid mixture; the lowest mean loss (DeMix) | none |
| `full` | 1 + 4 K space-filling runs around a tenth of a domain's share, whatever they cost | `auto` |
| `sequential` | `plan: {design: sequential}`, whatever it costs | `auto` |
| `published-20` | 2 K + 1 runs, each domain times 3 and by 3 (Li 2025, section 4), for 20 % | `transfer`, two steps |
| `published` | the same at 1/12 of the budget a domain, whatever it costs | `transfer`, the paper's two steps |
| `published_alone`, `published_joint` | the same runs | `transfer`, each curve alone; all runs at once |
| `regmix-15`, `regmix-20` | Dirichlet shares, runs of one size; LightGBM, best 100 of 20,000 (Liu 2025) | `gbdt` |
| `exponential-20` | the runs of `regmix-20` (Ye 2025, data mixing laws) | `exponential` |
| `equal`, `natural`, `unimax`, `temperature_0.5` | none | none |

A method that cannot be had for its limit recommends the equal mixture; `failed` counts these. The mixtures of the grid
are shares in eighths, or, where the YAML says `drawn`, so many Dirichlet ones (0: there is no grid).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from experiments.controlled.against import write_against
from experiments.controlled.check import check
from experiments.controlled.downstream import ask
from experiments.controlled.methods import METHODS, method_of
from experiments.controlled.setting import Experiment, experiment_of
from experiments.controlled.training import Losses, losses_of, run_of, train
from scipy.stats import spearmanr
from scipy.stats import t as student

import mixlaw
from mixlaw.core.tokens import format_tokens, parse_tokens


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("yaml", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budgets", nargs="+")
    parser.add_argument("--steps", nargs="+", help="those of the YAML, or grid, methods and tables")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--data", type=Path, help="folder of the domains' files, in place of the YAML's collection")
    parser.add_argument("--model", type=Path, help="folder of the model, where the YAML names none")
    parser.add_argument("--questions", type=Path, help="folder of whole sets of questions, in place of bundled parts")
    parser.add_argument("--fresh", action="store_true", help="train small runs that the swarm's file holds, too")
    wishes = parser.parse_args()
    experiment = experiment_of(
        wishes.yaml, wishes.folder, list(METHODS), workers=wishes.workers, data=wishes.data, model=wishes.model
    )
    experiment = replace(experiment, said={**experiment.said, "fresh": wishes.fresh})
    budgets = wishes.budgets or experiment.budgets
    steps = {
        "grid": train_grid,
        "repeats": train_repeats,
        "methods": train_methods,
        "tables": write_tables,
        "confirm": confirm,
        "questions": partial(ask, folder=wishes.questions),
        "against": write_against,
        "check": check,
    }
    for step in wishes.steps or experiment.said.get("steps", ["grid", "methods", "tables"]):
        steps[step](experiment, budgets)


def train_grid(experiment: Experiment, budgets: list[str]) -> None:
    """Train every grid mixture with every seed, the smallest budget first."""
    project = experiment.project("grid", budgets[0])
    mixtures = experiment.grid(list(project.config.domains))
    train(
        experiment,
        "grid",
        project,
        [
            (name, weights, budget, seed)
            for budget in budgets
            for seed in experiment.seeds
            for name, weights in mixtures.items()
        ],
    )


def train_methods(experiment: Experiment, budgets: list[str]) -> None:
    """Find each method's mixture at every budget and seed, and train it with that seed."""
    project = experiment.project("grid", budgets[0])
    path, wanted = experiment.results / "methods.json", []
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for budget in budgets:
        for seed in experiment.seeds:
            for name in experiment.methods:
                key = f"{name}@{budget}#{seed}"
                if key not in known:
                    began = time.monotonic()
                    try:
                        known[key] = method_of(name)(experiment, budget, seed)
                    except mixlaw.MixlawError as error:  # the equal mixture is what is left
                        weights = method_of("equal")(experiment, budget, seed)["weights"]
                        known[key] = {"weights": weights, "cost": 0.0, "runs": 0, "error": str(error)}
                    known[key]["seconds"] = round(time.monotonic() - began, 1)
                    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
                wanted.append((name, known[key]["weights"], budget, seed))
        train(experiment, "methods", project, wanted, keep="downstream" in experiment.said)


def train_repeats(experiment: Experiment, budgets: list[str]) -> None:
    """Train each domain alone at every budget, from all its rows and from few that are repeated, and on fewer tokens.

    MATH-x8@240k reads an eighth of 240k tokens eight times, MATH@30k that eighth once.
    """
    project = experiment.project("grid", budgets[0])
    domains, times = list(project.config.domains), [1, *experiment.said["repeats"]]
    wanted, pools = [("base", {}, budgets[0], 0)], {}
    for budget in budgets:
        tokens = parse_tokens(budget)
        for seed in experiment.seeds:
            for name in domains:
                alone = {other: float(other == name) for other in domains}
                wanted += [(name, alone, format_tokens(tokens / n), seed) for n in times]
                for n in times[1:]:
                    wanted.append((f"{name}-x{n}", alone, budget, seed))
                    pools[run_of(wanted[-1])] = {name: round(tokens / n)}
    wanted = list({run_of(one): one for one in wanted}.values())
    train(experiment, "grid", project, wanted, pools=pools)


def write_tables(experiment: Experiment, budgets: list[str]) -> None:
    """Write results.json: budget -> method -> cost, gaps to the grid's best in per cent, and how good the laws are.

    The grid's best at a seed is the mixture with the lowest mean loss of the other seeds, judged at this one; so is the
    best of each domain. Gaps are of perplexities, the overall one exp of the mean of the domains' losses; the regret is
    of that mean itself. `over_budgets` is of all seeds at all budgets together, where a method has been trained at all
    of these that have a grid. Figures of the grid are at the budget, which lies beyond a method's runs; those `inside`
    are of grid mixtures of any budget, where each domain's tokens lie within the runs'.
    """
    measured = losses_of(experiment.results / "grid.csv")
    methods = losses_of(experiment.results / "methods.csv")
    known = json.loads((experiment.results / "methods.json").read_text(encoding="utf-8"))
    mixtures = list(experiment.grid(list(experiment.mix["domains"])))
    counts = {budget: {seed: len(runs) for seed, runs in measured.get(budget, {}).items()} for budget in budgets}
    out: dict[str, Any] = {}
    every: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in experiment.methods}
    for budget in budgets:
        table = measured.get(budget, {})
        seeds = [seed for seed in experiment.seeds if len(table.get(seed, {})) == len(mixtures)]
        here_SMK = {seed: np.array([table[seed][mixture] for mixture in mixtures]) for seed in seeds}
        out[budget] = {}
        for name in experiment.methods:
            cells = []
            for seed in seeds:
                others = [here_SMK[other] for other in seeds if other != seed]
                loss_K = methods.get(budget, {}).get(seed, {}).get(name)
                found = known.get(f"{name}@{budget}#{seed}")
                if others and loss_K is not None and found is not None:
                    one = gaps(loss_K, here_SMK[seed], np.mean(others, axis=0)) | {
                        "cost": found["cost"],
                        "failed": "error" in found,
                    }
                    cells.append(one | foretold(found, budget, seed, measured))
            if cells:
                every[name][budget] = cells
                out[budget][name] = summary(cells)
                print(budget, name, out[budget][name], flush=True)
    there = [budget for budget in budgets if out[budget]]
    over = {name: summary([*chain(*found.values())]) for name, found in every.items() if there and list(found) == there}
    results = {"grid_runs": counts, "methods": out, "over_budgets": {"budgets": there, "methods": over}}
    (experiment.results / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def confirm(experiment: Experiment, budgets: list[str]) -> None:
    """Write confirmed.json: what each law foretold of its own, equal and natural weights, beside the losses measured.

    Losses are nats in the order of the domains. `all` is of these and of the mixtures of the grid that are trained. A
    law of few held-out rows foretells the losses of these rows alone; `rank_correlations` are by domain.
    """
    methods, grid = (losses_of(path) if path.exists() else {} for path in _tables(experiment))
    known = json.loads((experiment.results / "methods.json").read_text(encoding="utf-8"))
    out: dict[str, Any] = {}
    for key, found in known.items():
        name, _, rest = key.partition("@")
        budget, _, seed = rest.partition("#")
        measured = methods.get(budget, {}).get(int(seed), {})
        said = found.get("predicted_of", {}) if budget in budgets else {}
        there = {what: measured[by] for what in said if (by := name if what == "solution" else what) in measured}
        if there:
            one: dict[str, Any] = {"cost": found["cost"], "seconds": found.get("seconds")}
            for what in there:
                mean, low, high, true = compared({what: said[what]}, there)
                one[what] = {
                    "foretold": mean[0].tolist(),
                    "measured": true[0].tolist(),
                    "error_percent": round(100 * float(np.abs(mean / true - 1).mean()), 2),
                    "covered": round(float(((low <= true) & (true <= high)).mean()), 3),
                }
            trained = grid.get(budget, {}).get(int(seed), {})
            drawn = {what: shown for what, shown in found.get("predicted", {}).items() if what in trained}
            if (count := len(drawn) + len(there)) > 2:
                said_of_all, found_of_all = drawn | {what: said[what] for what in there}, trained | there
                figures = on_all(said_of_all, found_of_all)
                one["all"] = {"mixtures": count} | {what: round(x, 4) for what, x in figures.items()}
                mean, _, _, true = compared(said_of_all, found_of_all)
                ranks = [float(spearmanr(mean[:, j], true[:, j]).statistic) for j in range(mean.shape[1])]
                one["all"]["rank_correlations"] = [round(rank, 4) for rank in ranks]
            out[key] = one
    path = experiment.results / "confirmed.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(out, indent=1))


def _tables(experiment: Experiment) -> tuple[Path, Path]:
    return experiment.results / "methods.csv", experiment.results / "grid.csv"


def gaps(loss_K: np.ndarray, here_MK: np.ndarray, others_MK: np.ndarray) -> dict[str, float]:
    """Return how far losses are from those of the mixtures that are best by the other seeds' mean, as fractions."""
    best = here_MK[others_MK.mean(axis=1).argmin()].mean()
    each_K = here_MK[others_MK.argmin(axis=0), range(len(loss_K))]
    return {
        "overall_gap": float(np.expm1(loss_K.mean() - best)),
        "domain_gap": float(np.expm1(loss_K - each_K).mean()),
        "regret": float(loss_K.mean() / best - 1),
    }


def summary(cells: list[dict[str, float]]) -> dict[str, Any]:
    """Return a method's figures at a budget: means over the seeds, per cent, and 95 % intervals of its gaps."""
    out: dict[str, Any] = {"cells": len(cells), "failed": sum(bool(cell["failed"]) for cell in cells)}
    for name in ("overall_gap", "domain_gap", "regret"):
        out[f"{name}_percent"] = interval([cell[name] for cell in cells])
    out["cost_percent"] = round(100 * float(np.mean([cell["cost"] for cell in cells])), 1)
    for name in FORETOLD:
        if values := [cell[name] for cell in cells if name in cell]:
            scale = 1 if "correlation" in name else 100
            out[name if scale == 1 else f"{name}_percent"] = round(scale * float(np.mean(values)), 3)
    return out


FORETOLD = (
    "rank_correlation_with_grid",
    "error_on_grid",
    "grid_covered",
    "error_inside",
    "error_between_mixtures_inside",
    "inside_covered",
)


def foretold(found: Mapping[str, Any], budget: str, seed: int, measured: Losses) -> dict[str, float]:
    """Return how well a method's law foretold the grid at its seed; nothing where it has none.

    Errors are mean relative errors of a loss; those between mixtures leave out what all mixtures of a budget and target
    share. The rank correlation is of the mean loss; covered is the share of losses within 90 % intervals.
    """
    if "predicted" not in found:
        return {}
    on_grid = on_all(found["predicted"], measured[budget][seed])
    out = {
        "rank_correlation_with_grid": on_grid["rank_correlation"],
        "error_on_grid": on_grid["error"],
        "grid_covered": on_grid["covered"],
    }
    errors, between, covered = [], [], []
    for where, predicted in found.get("inside", {}).items():
        there = measured.get(where, {}).get(seed, {})
        if wanted := {name: said for name, said in predicted.items() if name in there}:
            mean, low, high, true = compared(wanted, there)
            off = mean - true
            errors += list(np.abs(off / true).ravel())
            between += list(np.abs((off - off.mean(axis=0)) / true).ravel()) if len(true) > 1 else []
            covered += list(((low <= true) & (true <= high)).ravel())
    out |= {"error_inside": float(np.mean(errors)), "inside_covered": float(np.mean(covered))} if errors else {}
    return out | ({"error_between_mixtures_inside": float(np.mean(between))} if between else {})


def on_all(predicted: Mapping[str, Any], measured: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the rank correlation of the mean loss over mixtures, the mean relative error, and the share covered."""
    mean, low, high, true = compared(predicted, measured)
    return {
        "rank_correlation": float(spearmanr(mean.mean(axis=1), true.mean(axis=1)).statistic),
        "error": float(np.abs(mean / true - 1).mean()),
        "covered": float(((low <= true) & (true <= high)).mean()),
    }


def compared(predicted: Mapping[str, Any], measured: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return predicted means, lows and highs of mixtures and what was measured, four arrays (M, K)."""
    said = [np.array([shown[key] for shown in predicted.values()]) for key in ("mean", "low", "high")]
    return *said, np.array([measured[name] for name in predicted])


def interval(values: list[float]) -> list[float]:
    """Return mean, low and high of a 95 % t interval, per cent; low and high are the mean where there is one value."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return [round(100 * x, 3) for x in (mean, mean - half, mean + half)]


if __name__ == "__main__":
    main()
