"""What merges say of mixtures that were really trained, and what they add to a law of few runs. Writes OUT.json.

    python -m experiments.merged.evaluate demo.csv [--runs 5 7] [--trials 4] [--inside]

The run table holds every mixture twice, trained and merged (`collect.py`). Of the trained ones some are drawn, the
middle one always among them; a law is fitted to these, alone, with merges as `mixlaw fit` takes them, and with merges
that all targets are made to believe; the rest is predicted. Experts cost as much as one run or less: compare n runs and
merges with n + 1 runs. --inside leaves out mixtures that lack a domain.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import estimator_of, spearman
from mixlaw.fit.fidelity import Line, everything, evidence, split
from mixlaw.laws import find


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--runs", type=int, nargs="+", default=[5, 6, 8])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--law", default="pairwise")
    wishes = parser.parse_args()
    true, merged = split(RunTable.from_csv(wishes.table))
    assert merged is not None
    places = {name.removeprefix("merge-"): i for i, name in enumerate(merged.runs)}
    paired = [i for i, name in enumerate(true.runs) if name.removeprefix("mix-") in places]
    if wishes.inside:
        paired = [i for i in paired if (true.tokens_RK[i] > 0).all()]
    true = true.take(paired)
    merged = merged.take([places[name.removeprefix("mix-")] for name in true.runs])
    out = {"mixtures": len(true), "inside": wishes.inside, "raw": raw(true, merged), "few_runs": {}}
    for count in wishes.runs:
        rng = np.random.default_rng(count)
        draws = [np.r_[0, 1 + rng.permutation(len(true) - 1)[: count - 1]] for _ in range(wishes.trials)]
        found = [few(true, merged, rows, wishes.law) for rows in draws]
        out["few_runs"][count] = {
            name: {key: round(float(np.mean([one[name][key] for one in found])), 3) for key in found[0][name]}
            for name in found[0]
        }
        print(count, json.dumps(out["few_runs"][count]), flush=True)
    path = wishes.table.with_suffix(".inside.json" if wishes.inside else ".json")
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(out["raw"]))


def raw(true: RunTable, merged: RunTable) -> dict:
    """Return rank correlations, each target's line, and the regret of the mixture with the lowest merged loss, %."""
    targets = {}
    for j, name in enumerate(true.targets):
        line = Line.of(merged.losses_RJ[:, j], true.losses_RJ[:, j])
        targets[name] = {
            "spearman": spearman(merged.losses_RJ[:, j], true.losses_RJ[:, j]),
            "merged_minus_true_nats": float((merged.losses_RJ - true.losses_RJ)[:, j].mean()),
            **{"slope": line.slope, "left_out_sd_nats": line.sd, "explained": line.explained},
        }
    total, merged_total = true.losses_RJ.sum(axis=1), merged.losses_RJ.sum(axis=1)
    best = 100 * (total[merged_total.argmin()] / total.min() - 1)
    return {"targets": targets, "spearman_of_total": spearman(merged_total, total), "regret_of_best_percent": best}


def few(true: RunTable, merged: RunTable, rows: np.ndarray, law: str) -> dict:
    """Return error and rank correlation on the other mixtures, and the regret of the best, by what the law is given."""
    kind, some = find(law), true.take(rows)
    others = np.setdiff1d(np.arange(len(true)), rows)
    found = evidence(some, merged, kind)
    tables = {"law": some, "with merges": found.runs, "with merges, believed": everything(some, merged, kind)}
    out = {}
    for name, table in tables.items():
        estimates = estimator_of(kind).fit(table, 0, 0)
        predicted = np.column_stack([one.curve.losses(true.tokens_RK / 1e6) for one in estimates])
        error = np.abs(predicted - true.losses_RJ)[others] / true.losses_RJ[others]
        total = true.losses_RJ.sum(axis=1)
        out[name] = {
            "error_percent": 100 * error.mean(),
            "spearman_of_total": spearman(predicted[others].sum(axis=1), total[others]),
            "regret_percent": 100 * (total[predicted.sum(axis=1).argmin()] / total.min() - 1),
        }
    out["with merges"]["targets_believed"] = len(true.targets) - len(found.warnings)
    return out


if __name__ == "__main__":
    main()
