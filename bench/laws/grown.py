"""Fine-tuning at four times the tokens: what do all mixtures at one budget say of the next?

Writes reporting_grown.json.

    python -m bench.laws.grown

The controlled experiment's grid (experiments/swarm/runs.parquet: 21 mixtures of three domains, 1M parameters): the runs
of one budget and one seed and the base model are fitted, the same mixtures at the next budget with the other seeds are
asked.
error_percent: mean relative error of the predicted mean over mixtures and targets; rank_correlation: Spearman's, of the
mean loss; covered_percent: of the losses, those within the 90 % interval of a run. Nothing was chosen on these runs.
"""

from __future__ import annotations

import json
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from bench.record import ROOT, stamp
from scipy.stats import spearmanr

import mixlaw
from mixlaw import RunTable
from mixlaw.core.tokens import parse_tokens

HERE = Path(__file__).parent
LAWS = ("mean", "auto", "pairwise", "transfer", "bivariate", "exponential", "additive", "ridge", "gbdt", "gp")

BASE = [""]
"""Budget and seed of the base model."""


def grid_runs() -> RunTable:
    """Return the grid's runs; their names say budget and seed."""
    rows = [row for row in pq.read_table(ROOT / "experiments/swarm/runs.parquet").to_pylist() if _asked(row)]
    columns: dict[str, dict[str, float]] = {}
    for row in rows:
        for kind in ("tokens", "loss"):
            columns.setdefault(f"{kind}:{row['domain']}", {})[row["run"]] = row[kind]
    runs = list(dict.fromkeys(row["run"] for row in rows))
    table = {name: [cells[run] for run in runs] for name, cells in columns.items()}
    return RunTable.from_columns({"run": runs, **table}, "runs.parquet")


def _asked(row: dict[str, object]) -> bool:
    grid = str(row["run"]).startswith("grid-") and row["part"] == 1.0
    return row["experiment"] == "controlled" and (grid or row["run"] == "base-model")


def figures(law: str, fitted: RunTable, asked: RunTable) -> dict[str, float]:
    """Return the figures of one law."""
    began = time.perf_counter()
    fit = mixlaw.fit(fitted, law=law)
    said = fit.predict(asked.tokens_RK, interval="run")
    inside = (said.low <= asked.losses_RJ) & (asked.losses_RJ <= said.high)
    rank: Any = spearmanr(said.mean.mean(axis=1), asked.losses_RJ.mean(axis=1))
    return {
        "error_percent": round(100 * float(np.abs(said.mean / asked.losses_RJ - 1).mean()), 2),
        "total_error_percent": round(100 * float((said.mean.sum(axis=1) / asked.losses_RJ.sum(axis=1)).mean() - 1), 2),
        "rank_correlation": round(float(np.nan_to_num(rank.statistic)), 3),
        "covered_percent": round(100 * float(inside.mean()), 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    runs = grid_runs()
    parts = [run.partition("@")[2].split("#") for run in runs.runs]
    budgets = sorted({budget for budget, *_ in parts if budget}, key=parse_tokens)
    seeds = sorted({part[1] for part in parts if part != BASE})
    mixtures = max(sum(part == [budgets[0], seed] for part in parts) for seed in seeds)
    out: dict[str, object] = {}
    for small, large in pairwise(budgets):
        if sum(part[0] == large for part in parts) < mixtures * len(seeds):
            continue  # not all are trained yet
        for law in LAWS:
            cells = []
            for seed in seeds:
                fitted = runs.take(np.array([part in ([small, seed], BASE) for part in parts]))
                asked = runs.take(np.array([part[0] == large and part[1] != seed for part in parts]))
                cells.append(figures(law, fitted, asked))
            means = {key: round(float(np.mean([cell[key] for cell in cells])), 3) for key in cells[0]}
            out.setdefault(f"{small} -> {large}", {})[law] = means  # type: ignore[index]
            print(small, large, law, means, flush=True)
            text = json.dumps(stamp("reporting", ", ".join(seeds), {}) | {"questions": out}, indent=1)
            (HERE / "reporting_grown.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
