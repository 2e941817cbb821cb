"""Training the mixtures of an experiment, each once: its run table grows run by run, and what it has is not repeated.

A run is named MIXTURE@BUDGET#SEED. A mixture without weights is the base model, evaluated as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from experiments.controlled.setting import Experiment

from mixlaw import load_runs
from mixlaw.api.project import Project
from mixlaw.core.mixture import Mixture
from mixlaw.core.run import BASE, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study

LONGEST_ROW = 512
"""Tokens."""
Wanted = tuple[str, Mapping[str, float], str, int]
"""A mixture's name, weights, budget and seed."""
Losses = dict[str, dict[int, dict[str, np.ndarray]]]
"""Budget -> seed -> mixture or method -> losses, nats."""
ANSWERS = "answers.json"


def run_of(wanted: Wanted) -> str:
    """Return the name of a mixture's run."""
    name, _, budget, seed = wanted
    return f"{name}@{budget}#{seed}"


def spec_of(wanted: Wanted, project: Project, keep: bool = False, pools: Mapping[str, int] | None = None) -> RunSpec:
    """Return the run of a mixture.

    Args:
        wanted: the mixture.
        project: whose model, data and settings it has.
        keep: whether it leaves its model.
        pools: domain -> distinct tokens that it draws from.
    """
    _, weights, budget, seed = wanted
    inputs, run = project.trainer_config.inputs, run_of(wanted)
    if not weights:
        return RunSpec(run, dict.fromkeys(project.config.domains, 0), seed, inputs, BASE)
    tokens = Mixture(weights, parse_tokens(budget)).tokens
    return RunSpec(run, tokens, seed, inputs, keep_model=keep, pools=pools or {})


def train(
    experiment: Experiment,
    table: str,
    project: Project,
    wanted: Sequence[Wanted],
    *,
    keep: bool = False,
    pools: Mapping[str, Mapping[str, int]] | None = None,
) -> None:
    """Train mixtures in order; the table is written after each that is done, and what it has is not trained again.

    Methods that recommend the same weights share a run, whose row is written for each of them.

    Args:
        experiment: the experiment.
        table: name of the table, and of the folder of its runs.
        project: whose model, data and settings the runs have.
        wanted: the mixtures.
        keep: whether runs leave their models; those whose models are neither there nor judged are trained again.
        pools: run -> domain -> distinct tokens that it draws from.
    """
    study, path = Study(experiment.folder / f"runs-{table}"), experiment.results / f"{table}.csv"
    specs = [spec_of(one, project, keep, (pools or {}).get(run_of(one))) for one in wanted]
    domains = list(project.config.domains)
    kept = {str(row["run"]): row for row in RunTable.from_csv(path).to_rows()} if path.exists() else {}
    judged = answers_of(experiment) if keep else {}

    def is_done(spec: RunSpec) -> bool:
        there = spec.name in kept and is_of(kept[spec.name], spec)
        return there and (not spec.keep_model or spec.name in judged or study.model_folder(spec) is not None)

    same = {} if keep else twins(specs, is_done)
    specs = [spec for spec in specs if not is_done(spec) and spec.name not in same]
    study.save_plan(specs)
    for spec in specs:
        if spec.keep_model:
            study.discard_without_model(spec)

    def write() -> None:
        if records := study.records(specs):
            kept.update({row["run"]: row for row in RunTable.from_records(records, domains, domains).to_rows()})
        kept.update({run: {**kept[twin], "run": run} for run, twin in same.items() if twin in kept})
        if kept:
            rows = list(kept.values())
            load_runs({name: [row[name] for row in rows] for name in rows[0]}).to_csv(path)

    for budget in dict.fromkeys(budget for _, _, budget, _ in wanted):
        now = [spec for spec in specs if f"@{budget}#" in spec.name]
        run_pending(
            study,
            project.trainer_config,
            workers=experiment.workers,
            specs=now,
            on_event=lambda e: e.kind == "finished" and (write(), print(e.run, flush=True)),
        )
    write()


def twins(specs: Sequence[RunSpec], is_done: Callable[[RunSpec], bool]) -> dict[str, str]:
    """Return the runs that need no training of their own: name -> a run that is the same but for its name.

    Args:
        specs: all runs.
        is_done: whether a run is in the table; it is no twin itself, and the first choice of those that are.
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for spec in sorted(specs, key=is_done, reverse=True):
        name = first.setdefault(spec.id, spec.name)
        if name != spec.name and not is_done(spec):
            found[spec.name] = name
    return found


def is_of(row: Mapping[str, Any], spec: RunSpec) -> bool:
    """Return whether a row of a table has the run's seed, tokens and pools; a domain's last row may be left over."""
    asked = {f"tokens:{name}": n for name, n in spec.tokens.items()}
    asked |= {f"unique:{name}": n for name, n in spec.pools.items()}
    near = (abs(float(row[column]) - n) <= max(0.02 * n, LONGEST_ROW) for column, n in asked.items())
    return str(row["seed"]) == str(spec.seed) and all(near)


def answers_of(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Return run -> task -> 1 for each question that the run's model answers right, 0 for the others."""
    path = experiment.results / ANSWERS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def losses_of(path: Path) -> Losses:
    """Return budget -> seed -> mixture or method -> losses of a table, nats, in the order of its targets."""
    found: Losses = {}
    table = RunTable.from_csv(path)
    for run, loss_K in zip(table.runs, table.losses_RJ, strict=True):
        name, budget, seed = parts_of(run)
        found.setdefault(budget, {}).setdefault(seed, {})[name] = loss_K
    return found


def parts_of(run: str) -> tuple[str, str, int]:
    """Return the mixture, budget and seed of a run's name."""
    name, _, rest = run.partition("@")
    budget, _, seed = rest.partition("#")
    return name, budget, int(seed)
