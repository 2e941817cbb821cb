"""How right the law is far beyond its runs: studies of other experiments, fitted again and held against training.

    python -m experiments.beyond.run [--floor MEAN SD] [--sources MEAN SD] [--only NAME ...]

Everything is read from experiments/swarm/runs.parquet; nothing is trained. Each study's small runs, with the base model
among them, are fitted by `pairwise` and asked for the mixtures that were trained at the budget. Writes results.json: by
group of studies, losses and differences. A difference is how much higher or lower a domain's loss is than with the
mixture nearest to equal weights, as a share of it; it decides on weights and on limits, while an error that all
mixtures share does not. With `--floor` or `--sources` the law believes something else before it sees a run, and the
figures are kept as a trial, under a name of their own.

| figure | what it is |
|---|---|
| `error_percent`, `bias_percent` | mean distance of a predicted loss from the measured one, and its mean with a sign |
| `covered_percent` | losses within 90 % intervals |
| `difference_error_points` | mean distance of a difference, in points |
| `rise`, `fall` | differences of mixtures with less of the domain, and with more: means of what is measured and |
| | predicted, and how many lie within the draws' one-sided 90 % bound: 90 would be right |
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

import mixlaw
from mixlaw.core.files import write_json
from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating import pairwise_point
from mixlaw.fit.estimating.pairwise_problem import PairwiseProblem

HERE = Path(__file__).parent
SWARM = HERE.parent / "swarm" / "runs.parquet"
LESS, MORE = 0.9, 1.1
"""A mixture has less or more of a domain than the nearest to equal weights by a tenth of its share. No data."""
BOUND = 0.9


@dataclass(frozen=True)
class Group:
    """Studies that are reported together.

    Attributes:
        experiment: where they were made.
        studies: what a study's name begins with.
        budget: at which mixtures were trained, as their runs' names end.
        measured: where the mixtures' runs are: experiment and studies; in `gain` each study has its own.
    """

    experiment: str
    studies: tuple[str, ...]
    budget: str
    measured: tuple[str, tuple[str, ...]]


_CONTROLLED = ("controlled", ("runs-grid",))
GROUPS = {
    "three domains, 480k, runs for 8 and 15 %": Group("controlled", ("sized", "together"), "480k", _CONTROLLED),
    "three domains, 480k, runs for 200 %": Group("controlled", ("space", "sequential"), "480k", _CONTROLLED),
    "three domains, 120k, runs for 300 %": Group("controlled", ("space", "sequential"), "120k", _CONTROLLED),
    "the demo's goal, 300k": Group("gain", ("1/", "4/", "5/", "6/", "7/", "8/", "9/"), "300k", ("gain", ())),
    "domains far apart, 480k": Group("far", ("sized-60",), "480k", ("far", ("runs-methods",))),
    "eleven domains, 1M": Group("reweight", ("sized", "space"), "1M", ("reweight", ("runs-methods",))),
    "eleven domains, 2M": Group("eleven", ("sized",), "2M", ("eleven", ("runs-methods", "runs-grid"))),
    "SmolLM2, LoRA, 160k": Group("smollm2_grid", ("sized",), "160k", ("smollm2_grid", ("runs-methods", "runs-grid"))),
    "SmolLM2, all weights, 160k": Group(
        "smollm2_grid_full_again", ("again",), "160k", ("smollm2_grid_full", ("runs-methods", "runs-grid"))
    ),
    "SmolLM2, eleven domains, 300k": Group(
        "reweight_smollm2", ("sized",), "300k", ("reweight_smollm2", ("runs-methods",))
    ),
}
SHARED = ("instruction", "math", "code", "sql", "shell", "translation")
"""Domains of the other experiments: trials of beliefs are chosen on what eleven domains say of the other five."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--floor", type=float, nargs=2, metavar=("MEAN", "SD"))
    parser.add_argument("--sources", type=float, nargs=2, metavar=("MEAN", "SD"))
    parser.add_argument("--only", nargs="+", help="what the names of groups begin with")
    wishes = parser.parse_args()
    if wrong := [start for start in wishes.only or () if not any(group.startswith(start) for group in GROUPS)]:
        parser.error(f"--only: no group begins with {wrong[0]!r}; there are: {'; '.join(GROUPS)}")
    if any(belief and not belief[1] > 0 for belief in (wishes.floor, wishes.sources)):
        parser.error("--floor and --sources: SD must be above 0")
    runs = pd.read_parquet(SWARM).query("part == 1")
    name = "as it is"
    if wishes.floor or wishes.sources:
        name = f"floor {wishes.floor or 'as it is'}, sources {wishes.sources or 'as they are'}"
    path = HERE / "results.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with _believing(wishes.floor, wishes.sources):
        for group, what in GROUPS.items():
            if not wishes.only or group.startswith(tuple(wishes.only)):
                known = found.get(name, {}) | {group: of_group(runs, what)}
                found[name] = {group: known[group] for group in GROUPS if group in known}
                print(name, group, json.dumps(found[name][group]), flush=True)
                write_json(path, found)


def of_group(runs: pd.DataFrame, group: Group) -> dict[str, Any]:
    """Return the mean figures of a group's studies, and those of the domains that only it has, if it has some."""
    here = runs[runs.experiment == group.experiment]
    studies = [name for name in here.study.unique() if name.startswith(group.studies) and "confirm" not in name]
    if group.experiment == "controlled":
        studies = [name for name in studies if f"-{group.budget}-" in name]
    cells = [cell for name in studies for cell in of_study(runs, here[here.study == name], group, name)]
    out = {"studies": len(studies), **_mean(cells)}
    if other := [cell for cell in cells if cell["target"] not in SHARED]:
        out["other_domains"] = _mean(other)
    return out


def of_study(runs: pd.DataFrame, small: pd.DataFrame, group: Group, name: str) -> Iterator[dict[str, Any]]:
    """Yield the figures of each target: of mixtures trained at the budget, means over their seeds."""
    experiment, places = group.measured
    there = runs[(runs.experiment == experiment) & runs.study.isin(places or (f"{name}/confirmation",))]
    there = there.assign(mixture=there.run.str.replace(r"(#|-s)\d+$", "", regex=True))
    there = there[there.mixture.str.contains(rf"[@-]{group.budget}$") & ~there.mixture.str.startswith("base@")]
    domains = sorted(small.domain.unique())
    # A goal was solved by more than one law: mixtures of one name are told apart by what they have of a domain.
    of_one = there[there.domain == domains[0]].set_index("spec").groupby("run").tokens.rank(method="first")
    there = there.assign(mixture=there.mixture + " " + there.spec.map(of_one).astype(str))
    tokens_MK, losses_MK = (
        there.pivot_table(index="mixture", columns="domain", values=value)[domains].to_numpy()
        for value in ("tokens", "loss")
    )
    table = _with_base(small, runs)
    fit = mixlaw.fit(table, law="pairwise")
    said = fit.predict([dict(zip(domains, map(float, row_K), strict=True)) for row_K in tokens_MK])
    shares_MK = tokens_MK / tokens_MK.sum(axis=1, keepdims=True)
    equal = int(((shares_MK - 1 / len(domains)) ** 2).sum(axis=1).argmin())
    for k, target in enumerate(domains):
        j = said.targets.index(target)
        true_M, mean_M, drawn_SM = losses_MK[:, k], said.mean[:, j], said.draws[:, :, j]
        moved_M, moved_SM = true_M / true_M[equal] - 1, drawn_SM / drawn_SM[:, [equal]] - 1
        below_M = (moved_SM < moved_M).mean(axis=0)
        less = shares_MK[:, k] < LESS * shares_MK[equal, k]
        more = shares_MK[:, k] > MORE * shares_MK[equal, k]
        yield {
            "target": target,
            "off": (mean_M / true_M - 1).tolist(),
            "covered": ((said.low[:, j] <= true_M) & (true_M <= said.high[:, j])).tolist(),
            "difference_off": np.delete(moved_SM.mean(axis=0) - moved_M, equal).tolist(),
            "rise": [moved_M[less].tolist(), moved_SM.mean(axis=0)[less].tolist(), (below_M[less] <= BOUND).tolist()],
            "fall": [
                moved_M[more].tolist(),
                moved_SM.mean(axis=0)[more].tolist(),
                (below_M[more] >= 1 - BOUND).tolist(),
            ],
        }


def _mean(cells: list[dict[str, Any]]) -> dict[str, Any]:
    def joined(*keys: Any) -> np.ndarray:
        parts = []
        for cell in cells:
            for key in keys:
                cell = cell[key]
            parts.append(np.asarray(cell, float))
        return np.concatenate(parts)

    def percent(values: np.ndarray) -> float:
        return round(100 * float(values.mean()), 2)

    return {
        "error_percent": percent(np.abs(joined("off"))),
        "bias_percent": percent(joined("off")),
        "covered_percent": percent(joined("covered")),
        "difference_error_points": percent(np.abs(joined("difference_off"))),
        **{
            side: {
                "measured_percent": percent(joined(side, 0)),
                "predicted_percent": percent(joined(side, 1)),
                "within_bound_percent": percent(joined(side, 2)),
            }
            for side in ("rise", "fall")
        },
    }


def _with_base(small: pd.DataFrame, runs: pd.DataFrame) -> RunTable:
    """Return a study's runs with the base model, which one of the studies of the same held-out rows holds."""
    index = ["spec", "run", "seed"]
    wide = small.pivot(index=index, columns="domain", values=["tokens", "loss"])
    if not (wide["tokens"].sum(axis=1) == 0).any():
        counts = small.groupby("domain").validation_tokens.first()
        model = runs[(runs.model == small.model.iloc[0]) & (runs.tokens.groupby(runs.spec).transform("sum") == 0)]
        for _, base in model.groupby("spec"):
            one = base.drop_duplicates("domain").set_index("domain")
            if set(one.index) == set(counts.index) and one.validation_tokens.equals(counts):
                row = pd.concat([one.tokens, one.loss], keys=["tokens", "loss"])
                wide.loc[("base", "base-model", 0), :] = row[wide.columns]
                break
        else:
            raise ValueError(f"no base model for the held-out rows of {small.study.iloc[0]}")
    wide.columns = [f"{kind}:{domain}" for kind, domain in wide.columns]
    rows = wide.reset_index(names=index).drop(columns="spec")
    rows["run"] = [f"{i}-{run}" for i, run in enumerate(rows.run)]
    return RunTable.from_columns(rows.to_dict("list"), "runs.parquet")


@contextlib.contextmanager
def _believing(floor: list[float] | None, sources: list[float] | None) -> Iterator[None]:
    """Change what the law believes of its floor, a share of the smallest loss, and of the powers e of its sources."""
    usual = pairwise_point._prior

    def prior(problem: PairwiseProblem) -> tuple[np.ndarray, np.ndarray]:
        mean_P, precision_PP = usual(problem)
        if sources and problem.trained and problem.sources:
            e = problem.law.part("e")
            mean_P[e], precision_PP[e, e] = sources[0], np.eye(problem.sources) * sources[1] ** -2
        return mean_P, precision_PP

    with mock.patch.object(pairwise_point, "_prior", prior), contextlib.ExitStack() as stack:
        if floor:
            stack.enter_context(mock.patch.object(pairwise_point, "_TRAINED_FLOOR", tuple(floor)))
        yield


if __name__ == "__main__":
    main()
