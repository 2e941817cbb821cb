"""The fits of an experiment's methods, solved again: what does a change of the solver's beliefs do to their mixtures?

    python -m experiments.controlled.again YAML FOLDER --budget 2M [--curves log-linear]

Nothing is trained. The truth is a least-squares curve through the mixtures that the experiment trained at the budget
(`grid.csv` and `methods.csv` of the YAML): of each target's loss over the log of its own domain's share
(`log-linear`), or over the logs of all shares and their products (`quadratic`, for few domains). Of each fit in FOLDER,
with draws of gains as they are and drawn towards each other (`mixlaw.fit.alike`): by how many per cent the mean loss of
its solution lies above that of equal weights.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from experiments.controlled.setting import experiment_of

import mixlaw
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.fit import alike

LEAST_SHARE = 0.02
"""Mixtures with less of a domain than this are left out of the curves. No data."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("yaml", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", required=True)
    parser.add_argument("--curves", choices=("log-linear", "quadratic"), default="log-linear")
    wishes = parser.parse_args()
    experiment = experiment_of(wishes.yaml, wishes.folder, [])
    tables = [path for name in ("grid", "methods") if (path := experiment.results / f"{name}.csv").exists()]
    trained = [table for path in tables if (table := at_budget(mixlaw.load_runs(path), wishes.budget)) is not None]
    domains = trained[0].domains
    shares_RK = np.vstack([table.tokens_RK / table.totals_R[:, None] for table in trained])
    losses_RK = np.vstack([table.losses_RJ for table in trained])
    truth = curves(shares_RK, losses_RK, wishes.curves)
    equal = truth(np.full(len(domains), 1 / len(domains)))
    gains: list[list[float]] = []
    for path in sorted(wishes.folder.glob(f"*-{wishes.budget}-*/study/fit.json")):
        fit, found = mixlaw.load_fit(path), []
        for spread in (1e6, alike.TAU):
            with mock.patch.object(alike, "TAU", spread):
                weights = mixlaw.solve(fit, parse_tokens(wishes.budget)).weights
            found.append(100 * (truth(np.array([weights[name] for name in domains])) / equal - 1))
        gains.append(found)
        print(path.parts[-3], fit.law, *(f"{value:+.2f}" for value in found), flush=True)
    print(f"mean of {len(gains)}, {len(shares_RK)} trained", *(f"{value:+.3f}" for value in np.mean(gains, axis=0)))


def at_budget(runs: RunTable, budget: str) -> RunTable | None:
    """Return the runs that were trained at a budget; None where there are none."""
    here = np.array([f"@{budget}#" in run for run in runs.runs]) & (runs.totals_R > 0)
    return runs.take(here) if here.any() else None


def curves(shares_RK: np.ndarray, losses_RK: np.ndarray, kind: str) -> Callable[[np.ndarray], float]:
    """Return what gives the mean loss of shares, by curves through trained mixtures."""
    enough = (shares_RK > LEAST_SHARE).all(axis=1) if kind == "quadratic" else np.ones(len(shares_RK), bool)
    logs_RK, losses_RK = np.log(np.maximum(shares_RK[enough], 1e-4)), losses_RK[enough]
    K = logs_RK.shape[1]

    def features(rows_RK: np.ndarray, j: int) -> np.ndarray:
        if kind == "log-linear":
            return np.column_stack([np.ones(len(rows_RK)), rows_RK[:, j]])
        pairs = itertools.combinations_with_replacement(range(K), 2)
        return np.column_stack([np.ones(len(rows_RK)), rows_RK, *(rows_RK[:, a] * rows_RK[:, b] for a, b in pairs)])

    found = [np.linalg.lstsq(features(logs_RK, j), losses_RK[:, j], rcond=None)[0] for j in range(K)]

    def mean_loss(shares_K: np.ndarray) -> float:
        row = np.log(np.maximum(shares_K, 1e-4))[None]
        return float(np.mean([features(row, j)[0] @ found[j] for j in range(K)]))

    return mean_loss


if __name__ == "__main__":
    main()
