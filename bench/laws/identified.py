"""The published perturbation runs, fitted four ways: which parameters do they determine? Writes identified.json.

    python bench/laws/identified.py

13 runs of Llama-3.2-3B (Li, Liu, Xing 2025): a base mixture, and each of three domains alone by 1/3, 1/2, 2, 3. The
measured number is the mean over the three domains, so all targets have the same losses.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "tests/golden/data/li2025_perturbation.csv"
WAYS = (("transfer", "published"), ("transfer", "own_curve"), ("transfer", "joint"), ("pairwise", "joint"))


def published_runs(model: str = "Llama-3.2-3B") -> RunTable:
    """Return a model's runs."""
    with open(DATA, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model]
    # The base run is printed once for each curve.
    base = [row for row in rows if row["perturbed"] == "code" and row["ratio"] == "1"]
    rows = base + [row for row in rows if row["ratio"] != "1"]
    domains = tuple(key.removeprefix("tokens_") for key in rows[0] if key.startswith("tokens_"))
    tokens = np.array([[float(row[f"tokens_{domain}"]) for domain in domains] for row in rows])
    losses = np.repeat([[float(row["mean_ppl"])] for row in rows], len(domains), axis=1)
    return RunTable(tuple(f"r{i}" for i in range(len(rows))), domains, domains, tokens, losses)


def main() -> None:
    found: dict = {}
    for law, procedure in WAYS:
        fit = fit_law(published_runs(), law, procedure)
        for target, one in fit.targets.items():
            parameters = {}
            for name, value in one.parameters.items():
                low, high = map(float, np.quantile(one.draws[name], (0.05, 0.95)))
                parameters[name] = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
            known = one.information
            found.setdefault(f"{law}, {procedure}", {})[target] = {
                "status": one.status,
                "left_out_percent": round(100 * one.cv_mre, 3) if np.isfinite(one.cv_mre) else None,
                "mean_percent": round(100 * one.cv_mre_mean, 3) if np.isfinite(one.cv_mre_mean) else None,
                "information": None if known is None else known.to_json(),
                "parameters": parameters,
            }
            curve = {n: (p["value"], p["low"], p["high"]) for n, p in parameters.items() if "[" not in n}
            print(f"{law}, {procedure}, {target}: {one.status}, left out {100 * one.cv_mre:.2g} %, {curve}")
    (HERE / "identified.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
