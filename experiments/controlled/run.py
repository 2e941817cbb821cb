"""The controlled experiment: all 21 grid mixtures at every budget and seed, and each method's mixture beside them.

    python experiments/controlled/run.py YAML FOLDER [--budgets 120k ...] [--steps grid methods tables] [--workers 2]

Writes beside the YAML: grid.csv and methods.csv, run tables that grow run by run, and results.json with the gaps.
Begun again, it does what is missing. A run of the grid is named grid-A-B-C@BUDGET#SEED, with shares in eighths.

| method | proxy runs, cost as a share of the final run's FLOPs with evaluations | law |
|---|---|---|
| `auto-10`, `auto-20` | `plan: {max_cost: 10%}`, 20 %; fewer where more are not worth it | `auto` |
| `published-20` | 2 K + 1 runs, each domain times 3 and by 3 (Li 2025, section 4), scaled to 20 % | `transfer` |
| `published` | the same at 1/12 of the budget a domain, whatever it costs | `transfer` |
| `regmix-20` | Dirichlet shares, runs of one size; LightGBM, mean of the best 100 of 20,000 (Liu 2025) | `gbdt` |
| `exponential-20` | the runs of `regmix-20` (Ye 2025, data mixing laws) | `exponential` |
| `equal`, `natural`, `unimax`, `temperature_0.5` | none | none |
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import spearmanr
from scipy.stats import t as student

import mixlaw
from mixlaw.api.project import Project
from mixlaw.core.errors import DesignError
from mixlaw.core.mixture import Mixture
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.evaluate.baselines import baselines, grid
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study

MANY, BEST = 20_000, 100
SMALLEST = 512
"""Tokens a domain: a row."""
PART = 0.20
"""What the methods that choose no cost themselves may cost."""


@dataclass(frozen=True)
class Experiment:
    """What the YAML says, and where runs are kept."""

    folder: Path
    results: Path
    mix: dict[str, Any]
    seeds: list[int]
    published_part: float
    workers: int | None

    def project(self, name: str, budget: str, **more: dict[str, Any]) -> Project:
        """Return the project of one configuration, with a study of its own."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "mix.yaml"
        text = yaml.safe_dump({"study": "study", "budget_tokens": budget, **self.mix, **more}, sort_keys=False)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return Project.open(path, print)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("yaml", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budgets", nargs="+")
    parser.add_argument("--steps", nargs="+", default=["grid", "methods", "tables"])
    parser.add_argument("--workers", type=int)
    wishes = parser.parse_args()
    said = yaml.safe_load(wishes.yaml.read_text(encoding="utf-8"))
    here = wishes.yaml.parent.resolve()
    mix = dict(said["mix"])
    mix["model"] = {"name_or_path": str((here / mix["model"]["name_or_path"]).resolve())}
    mix["domains"] = {name: {"path": str((here / node["path"]).resolve())} for name, node in mix["domains"].items()}
    experiment = Experiment(wishes.folder, here, mix, said["seeds"], said["published_part"], wishes.workers)
    budgets = wishes.budgets or said["budgets"]
    for step in wishes.steps:
        {"grid": train_grid, "methods": train_methods, "tables": write_tables}[step](experiment, budgets)


def train_grid(experiment: Experiment, budgets: list[str]) -> None:
    """Train every grid mixture with every seed, the smallest budget first."""
    project = experiment.project("grid", budgets[0])
    mixtures = grid(list(project.config.domains))
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
            for name, method in METHODS.items():
                key = f"{name}@{budget}#{seed}"
                if key not in known:
                    try:
                        known[key] = method(experiment, budget, seed)
                    except mixlaw.MixlawError as error:  # the equal mixture is what is left
                        weights = METHODS["equal"](experiment, budget, seed)["weights"]
                        known[key] = {"weights": weights, "cost": 0.0, "runs": 0, "error": str(error)}
                    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
                wanted.append((name, known[key]["weights"], budget, seed))
        train(experiment, "methods", project, wanted)


def train(
    experiment: Experiment, table: str, project: Project, wanted: list[tuple[str, dict[str, float], str, int]]
) -> None:
    """Train mixtures in order; the table is written after each that is done."""
    study = Study(experiment.folder / f"runs-{table}")
    specs = [
        RunSpec(
            f"{name}@{budget}#{seed}",
            Mixture(weights, parse_tokens(budget)).tokens,
            seed,
            project.trainer_config.inputs,
        )
        for name, weights, budget, seed in wanted
    ]
    study.save_plan(specs)
    domains = list(project.config.domains)

    def write(_: object = None) -> None:
        if records := study.records(specs):
            RunTable.from_records(records, domains, domains).to_csv(experiment.results / f"{table}.csv")

    for budget in dict.fromkeys(budget for _, _, budget, _ in wanted):
        now = [spec for spec, (_, _, b, _) in zip(specs, wanted, strict=True) if b == budget]
        run_pending(
            study,
            project.trainer_config,
            workers=experiment.workers,
            specs=now,
            on_event=lambda e: e.kind == "finished" and (write(), print(e.run, flush=True)),
        )
    write()


def by_mixlaw(percent: int) -> Callable[[Experiment, str, int], dict[str, Any]]:
    """Return mixlaw's default within a limit."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project = experiment.project(
            f"auto-{percent}-{budget}-{seed}", budget, plan={"max_cost": f"{percent}%", "seed": seed}
        )
        result = mixlaw.run(project, workers=experiment.workers)
        return found(project, result.solution.weights, project.study.records(), result.fit, budget)

    return method


def by_publication(part: float | None) -> Callable[[Experiment, str, int], dict[str, Any]]:
    """Return the published design and law; its cost is PART, or what a part of the budget a domain comes to."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        name = f"published-{'full' if part is None else round(100 * part)}-{budget}-{seed}"
        base = parse_tokens(budget) / experiment.published_part
        plan = {"design": "perturbation", "seed": seed, "max_cost": "1000%", "base_model": False}
        if part is not None:
            project = experiment.project(name, budget, plan=plan | {"base_tokens": round(base)})
            spending = project.spending
            amounts = sum(sum(spec.tokens.values()) for spec in project.planned[0])
            left = part * spending.final_tokens - len(project.planned[0]) * spending.evaluation_tokens
            base *= left / amounts
            if base < SMALLEST:
                raise DesignError(f"Runs of {base:.0f} tokens a domain are too small.", "Allow more.")
        project = experiment.project(name, budget, plan=plan | {"base_tokens": round(base)}, fit={"law": "transfer"})
        result = mixlaw.run(project, workers=experiment.workers)
        return found(project, result.solution.weights, project.study.records(), result.fit, budget)

    return method


def by_search(law: str) -> Callable[[Experiment, str, int], dict[str, Any]]:
    """Return RegMix, or another law of its runs: 4 K + 1 runs, or fewer, half of the cost at most for evaluations."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project = experiment.project("grid", budget)
        spending, domains = project.spending, list(project.config.domains)
        K, most = len(domains), PART * spending.final_tokens
        rows = max(3, int(min(4 * K + 1, most / 2 / spending.evaluation_tokens)))
        each = max(most / rows - spending.evaluation_tokens, 1024)
        natural = np.array([project.available_tokens[name] for name in domains], dtype=float)
        rng = np.random.default_rng([seed, 20])
        shares_RK = rng.dirichlet(K * natural / natural.sum(), rows)
        mixtures = [dict(zip(domains, map(float, row), strict=True)) for row in shares_RK]
        study = Study(experiment.folder / f"dirichlet-{budget}-{seed}")
        specs = [
            RunSpec(f"dirichlet-{i}", Mixture(weights, round(each)).tokens, seed, project.trainer_config.inputs)
            for i, weights in enumerate(mixtures)
        ]
        study.save_plan(specs)
        run_pending(study, project.trainer_config, workers=experiment.workers)
        fit = mixlaw.fit(RunTable.from_records(study.records(specs), domains, domains), law=law)
        asked_CK = rng.dirichlet(np.ones(K), MANY)
        predicted_C = fit.predict(each * asked_CK).mean.sum(axis=1)
        best_K = asked_CK[np.argsort(predicted_C, kind="stable")[:BEST]].mean(axis=0)
        weights = dict(zip(domains, map(float, best_K), strict=True))
        return found(project, weights, study.records(specs), None, budget)

    return method


def by_rule(name: str) -> Callable[[Experiment, str, int], dict[str, Any]]:
    """Return a mixture that needs no runs."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project = experiment.project("grid", budget)
        rows = {domain: len(tokens.train) for domain, tokens in project.prepared.items()}
        weights = baselines(project.available_tokens, rows, parse_tokens(budget), None)[name]
        return {"weights": weights, "cost": 0.0, "runs": 0}

    return method


def found(
    project: Project, weights: Mapping[str, float], records: Iterable[RunRecord], fit: Any, budget: str
) -> dict[str, Any]:
    """Return a method's mixture, what its runs cost, and what its law says of the grid."""
    out: dict[str, Any] = {"weights": dict(weights)}
    done = [record.tokens for record in records]
    out |= {"cost": project.spending.cost(done) / parse_tokens(budget), "runs": len(done)}
    if fit is not None:
        mixtures = grid(list(project.config.domains))
        asked = np.array([list(shares.values()) for shares in mixtures.values()]) * parse_tokens(budget)
        said = fit.predict(asked, interval="run")
        out["predicted"] = {
            name: {"mean": mean.tolist(), "low": low.tolist(), "high": high.tolist()}
            for name, mean, low, high in zip(mixtures, said.mean, said.low, said.high, strict=True)
        }
    return out


METHODS: dict[str, Callable[[Experiment, str, int], dict[str, Any]]] = {
    "auto-10": by_mixlaw(10),
    "auto-20": by_mixlaw(20),
    "published-20": by_publication(PART),
    "published": by_publication(None),
    "regmix-20": by_search("gbdt"),
    "exponential-20": by_search("exponential"),
    **{name: by_rule(name) for name in ("equal", "natural", "unimax", "temperature_0.5")},
}


def write_tables(experiment: Experiment, budgets: list[str]) -> None:
    """Write results.json: gaps to the grid's best in perplexity, per cent, and how well the laws foretold the grid.

    The grid's best at a seed is the mixture with the lowest mean loss of the other seeds, judged at this one; so is the
    best of each domain. The overall perplexity is exp of the mean of the domains' losses.
    """
    measured = losses_of(experiment.results / "grid.csv")
    methods = losses_of(experiment.results / "methods.csv")
    known = json.loads((experiment.results / "methods.json").read_text(encoding="utf-8"))
    mixtures = list(grid(list(experiment.mix["domains"])))
    out: dict[str, Any] = {}
    for name in METHODS:
        overall, by_domain, costs, told = [], [], [], []
        for budget in budgets:
            table = measured.get(budget, {})
            seeds = [seed for seed in experiment.seeds if len(table.get(seed, {})) == len(mixtures)]
            for seed in seeds:
                others = [other for other in seeds if other != seed]
                if not others or name not in methods.get(budget, {}).get(seed, {}):
                    continue
                mean_MK = np.mean([[table[other][mixture] for mixture in mixtures] for other in others], axis=0)
                here_MK = np.array([table[seed][mixture] for mixture in mixtures])
                loss_K = methods[budget][seed][name]
                best = here_MK[mean_MK.mean(axis=1).argmin()]
                each_K = here_MK[mean_MK.argmin(axis=0), range(len(loss_K))]
                overall.append(float(np.expm1(loss_K.mean() - best.mean())))
                by_domain.append(float(np.expm1(loss_K - each_K).mean()))
                found = known[f"{name}@{budget}#{seed}"]
                costs.append(found["cost"])
                if "predicted" in found:
                    told.append(foretold(found["predicted"], here_MK))
        if overall:
            out[name] = {
                "cells": len(overall),
                "overall_gap_percent": interval(overall),
                "domain_gap_percent": interval(by_domain),
                "cost_percent": round(100 * float(np.mean(costs)), 1),
            }
            if told:
                ranks, errors, covered = map(np.mean, zip(*told, strict=True))
                out[name] |= {
                    "rank_correlation_with_grid": round(float(ranks), 3),
                    "error_on_grid_percent": round(100 * float(errors), 2),
                    "grid_covered_percent": round(100 * float(covered), 1),
                }
            print(name, out[name], flush=True)
    counts = {budget: {seed: len(runs) for seed, runs in measured.get(budget, {}).items()} for budget in budgets}
    path = experiment.results / "results.json"
    path.write_text(json.dumps({"grid_runs": counts, "methods": out}, indent=1) + "\n", encoding="utf-8")


def losses_of(path: Path) -> dict[str, dict[int, dict[str, np.ndarray]]]:
    """Return budget -> seed -> mixture or method -> losses of a table, nats, in the order of its targets."""
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    table = RunTable.from_csv(path)
    for run, loss_K in zip(table.runs, table.losses_RJ, strict=True):
        name, _, rest = run.partition("@")
        budget, _, seed = rest.partition("#")
        found.setdefault(budget, {}).setdefault(int(seed), {})[name] = loss_K
    return found


def foretold(predicted: Mapping[str, Any], measured_MK: np.ndarray) -> tuple[float, float, float]:
    """Return rank correlation of the mean loss, mean relative error, and the share of losses within 90 % intervals.

    The mixtures have one order.
    """
    mean, low, high = (np.array([shown[key] for shown in predicted.values()]) for key in ("mean", "low", "high"))
    rank = float(spearmanr(mean.mean(axis=1), measured_MK.mean(axis=1)).statistic)
    inside = (low <= measured_MK) & (measured_MK <= high)
    return rank, float(np.abs(mean / measured_MK - 1).mean()), float(inside.mean())


def interval(values: list[float]) -> list[float]:
    """Return mean, low and high of a 95 % t interval, per cent; low and high are the mean where there is one value."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return [round(100 * x, 3) for x in (mean, mean - half, mean + half)]


if __name__ == "__main__":
    main()
