"""Whether a run of an experiment comes out again: the last run of each of its tables at each budget, trained once more.

The study `check` in FOLDER is new, so nothing is taken over; delete it to train once more again. On the machine of the
committed tables losses are the same bit for bit; other processors add in another order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from experiments.controlled.setting import Experiment
from experiments.controlled.training import Wanted, losses_of, parts_of, run_of, spec_of

from mixlaw.core.files import write_json
from mixlaw.core.runtable import RunTable
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study


def check(experiment: Experiment, budgets: Sequence[str]) -> None:
    """Write check.json: run -> the largest difference of a loss from the table's, nats, and the largest of all.

    Args:
        experiment: the experiment; mixtures of its grid and of its methods can be trained again.
        budgets: whose runs are trained again.
    """
    project = experiment.project("grid", budgets[0])
    domains, study = list(project.config.domains), Study(experiment.folder / "check")
    there: dict[str, np.ndarray] = {}
    specs = {}
    for name in ("grid", "methods"):
        if (path := experiment.results / f"{name}.csv").exists():
            mixtures = _mixtures(experiment, name, domains)
            for wanted in last_of(RunTable.from_csv(path).runs, mixtures, budgets):
                run, (mixture, _, budget, seed) = run_of(wanted), wanted
                specs[run], there[run] = spec_of(wanted, project), losses_of(path)[budget][seed][mixture]
    study.save_plan(list(specs.values()))
    run_pending(study, project.trainer_config, workers=experiment.workers, specs=list(specs.values()))
    again = RunTable.from_records(study.records(list(specs.values())), domains, domains)
    off = {
        run: float(np.abs(loss_K - there[run]).max()) for run, loss_K in zip(again.runs, again.losses_RJ, strict=True)
    }
    found = {"runs": off, "largest": max(off.values())}
    write_json(experiment.results / "check.json", found)
    print(json.dumps(found, indent=1))


def last_of(runs: Sequence[str], mixtures: Mapping[str, Mapping[str, float]], budgets: Sequence[str]) -> list[Wanted]:
    """Return the last run of each budget whose mixture is known.

    Args:
        runs: names of a table's runs.
        mixtures: name, or for methods name@budget#seed, -> weights.
        budgets: those asked.
    """
    found: dict[str, Wanted] = {}
    for run in runs:
        name, budget, seed = parts_of(run)
        weights = mixtures.get(run, mixtures.get(name))
        if budget in budgets and weights:
            found[budget] = (name, weights, budget, seed)
    return list(found.values())


def _mixtures(experiment: Experiment, table: str, domains: list[str]) -> dict[str, Any]:
    if table == "grid":
        return experiment.grid(domains)
    known = json.loads((experiment.results / "methods.json").read_text(encoding="utf-8"))
    return {run: found["weights"] for run, found in known.items()}
