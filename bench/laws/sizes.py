"""Model sizes and checkpoints: what do smaller models, or the first part of the runs, say? Writes SPLIT_sizes.json.

    python -m bench.laws.sizes slimpajama_sizes.csv [--split reporting] [--rows checkpoints,runs]

60 mixtures of seven SlimPajama domains, models of 122M, 310M and 680M parameters, losses at checkpoints along each run,
eight targets (the data of meiqwq/Explaining-Data-Mixing-Scaling-Laws, which has no licence: only figures are kept
here). Two questions: models up to 310M are fitted and 680M at the end of training is asked; up to 8e9 tokens at 310M
are fitted and 20e9 asked. `checkpoints`: rows name their run (`checkpoint_of`); `runs`: each row passes for a run.
error_percent: mean relative error of the predicted mean over mixtures and targets; covered: of the losses, those within
the 90 % interval of a run.

All mixtures are fitted; those asked are split, tuning where the SHA-256 of a mixture's name begins with an even byte.
What is common to all mixtures at the larger size is therefore seen by both halves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.record import SPLITS, stamp

import mixlaw
from mixlaw import RunTable
from mixlaw.core.runtable import csv_columns

HERE = Path(__file__).parent
CHOSEN_ON = {
    "EARLY, TAU, prior of the floor, priors of the exponents of size, SIZE_SIGMA": "the tuning half",
    "which checkpoints are held out, and that no whole loss drifts there": "the tuning half",
    "WIDE": "planted tuning worlds 0 and 1",
}


def read(path: Path) -> RunTable:
    """Return the table with the run of each row; the last checkpoint, which is there twice, once."""
    columns, _ = csv_columns(path)
    first = {name: row for row, name in reversed(list(enumerate(columns["run"])))}
    kept = sorted(first.values())
    runs = RunTable.from_columns({name: [cells[row] for row in kept] for name, cells in columns.items()}, str(path))
    return replace(runs, checkpoint_of=tuple(name.rsplit("-", 1)[0] for name in runs.runs))


def questions(runs: RunTable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return question -> masks of the rows that are fitted and asked."""
    assert runs.params_R is not None
    size, total = runs.params_R / 1e6, runs.totals_R / 1e9
    return {
        "up to 310M, asked 680M at the end": (size < 400, (size > 400) & (total > 25.8)),
        "310M up to 8e9 tokens, asked 20e9": ((size == 310) & (total < 8.1), (size == 310) & (total > 19.9)),
    }


def figures(fitted: RunTable, asked: RunTable) -> dict[str, object]:
    """Return the figures of one question, and those of each target."""
    began = time.perf_counter()
    fit = mixlaw.fit(fitted, law="pairwise")
    predicted = fit.predict(asked)
    error = np.abs(predicted.mean - asked.losses_RJ) / asked.losses_RJ
    known = np.isfinite(asked.losses_RJ)
    inside = np.where(known, (asked.losses_RJ >= predicted.low) & (asked.losses_RJ <= predicted.high), np.nan)
    signed = np.nanmean(predicted.mean / asked.losses_RJ - 1, axis=0)
    return {
        "error_percent": round(100 * float(np.nanmean(error)), 3),
        "covered": round(float(np.nanmean(inside)), 3),
        "asked": int(known.sum()),
        "seconds": round(time.perf_counter() - began),
        "bias_percent": dict(zip(fit.targets, (round(100 * float(x), 2) for x in signed), strict=True)),
        "width_percent": round(100 * float(np.nanmean((predicted.high - predicted.low) / asked.losses_RJ)), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--rows", default="checkpoints,runs")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table = read(arguments.table)
    mine = [hashlib.sha256(n[:3].encode()).digest()[0] % 2 == (arguments.split == "reporting") for n in table.runs]
    summary = stamp(arguments.split, "no randomness but that of the draws", CHOSEN_ON) | {"figures": {}}
    # The table's place is the user's own.
    summary["command"] = f"python -m bench.laws.sizes {arguments.table.name} --split {arguments.split}"
    for rows in arguments.rows.split(","):
        runs = table if rows == "checkpoints" else replace(table, checkpoint_of=())
        for question, (fitted, asked) in questions(runs).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = figures(runs.take(fitted), replace(runs.take(asked & np.array(mine)), checkpoint_of=()))
            summary["figures"][f"{question}, {rows}"] = found
            print(question, rows, json.dumps(found), flush=True)
            (arguments.out or HERE / f"{arguments.split}_sizes.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
