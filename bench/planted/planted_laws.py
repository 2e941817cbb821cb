"""Plant a law, run the published design with noise, fit, solve, and measure the regret. Writes results.json.

    python bench/planted/planted_laws.py [--draws 200] [--workers 2]

K = 3; C in .3-1, k in .05-.5, alpha in .5-.95, beta in .08-.35, E in .4-1.3, uniform, tokens in millions; n = 660,000
tokens a domain, 13 runs; noise sd .001 and .004 nats; budgets 20M and 200M. Regret: total loss under the planted law
at the recommended weights over the total loss at its true optimum, minus 1, in %.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from mixlaw.solve.objective import TransferObjective

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable
from mixlaw.design import perturbation_design, space_filling_design
from mixlaw.fit import fit_law
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve import solve_mixture
from mixlaw.solve.allocation import allocate

DOMAINS = ("a", "b", "c")
BUDGETS = (20_000_000, 200_000_000)
METHODS = {
    "published design, own-curve fit": ("perturbation", "own_curve"),
    "published design, published fit": ("perturbation", "published"),
    "published design, joint fit": ("perturbation", "joint"),
    "space-filling design, joint fit": ("space_filling", "joint"),
}


def planted(rng: np.random.Generator) -> np.ndarray:
    """Return (K, 5) parameters."""
    ranges = [(0.3, 1.0), (0.05, 0.5), (0.5, 0.95), (0.08, 0.35), (0.4, 1.3)]
    return np.column_stack([rng.uniform(*r, len(DOMAINS)) for r in ranges])


def losses(theta: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
    """Return (R, K) losses of the planted law."""
    millions = tokens_RK / 1e6
    others = millions.sum(axis=1, keepdims=True) - millions
    return np.column_stack([transfer_losses(theta[i], millions[:, i], others[:, i]) for i in range(len(DOMAINS))])


def one_draw(draw: int) -> list[dict]:
    """Return the regret of every method at every noise and budget for one planted law."""
    rng = np.random.default_rng([20250812, draw])
    theta, results = planted(rng), []
    for sd in (0.001, 0.004):
        for method, (design, procedure) in METHODS.items():
            if design == "perturbation":
                mixtures = perturbation_design(DOMAINS, 660_000)
            else:
                mixtures = space_filling_design(DOMAINS, 660_000, 13, seed=draw)
            tokens = np.array([[tokens[d] for d in DOMAINS] for _, tokens in mixtures], float)
            measured = losses(theta, tokens) + sd * rng.standard_normal(tokens.shape)
            runs = RunTable(tuple(name for name, _ in mixtures), DOMAINS, DOMAINS, tokens, measured)
            try:
                fit = fit_law(runs, "transfer", procedure)
            except FitError:
                fit = None  # the published procedure can find no usable loss difference
            for budget in BUDGETS:
                weights = np.full(3, 1 / 3)
                if fit is not None:
                    solved = solve_mixture(fit, budget).weights
                    weights = np.array([solved[d] for d in DOMAINS])
                objective = TransferObjective(theta[:, None], np.ones(3), budget / 1e6, average=True)
                best = allocate(objective, np.zeros(3), np.ones(3)).weights_KB
                lowest = objective.value(best).sum()
                results.append(
                    {
                        "method": method,
                        "sd": sd,
                        "budget": budget,
                        "regret": 100 * float(objective.value(weights[:, None]).sum() / lowest - 1),
                        "equal": 100 * float(objective.value(np.full((3, 1), 1 / 3)).sum() / lowest - 1),
                        "failed": fit is None,
                    }
                )
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
        rows = [row for result in pool.map(one_draw, range(arguments.draws), chunksize=4) for row in result]
    table = {}
    for method in [*METHODS, "equal mixture, no runs"]:
        for sd in (0.001, 0.004):
            for budget in BUDGETS:
                chosen = [r for r in rows if r["sd"] == sd and r["budget"] == budget]
                if method in METHODS:
                    chosen = [r for r in chosen if r["method"] == method]
                key = "regret" if method in METHODS else "equal"
                values = np.array([r[key] for r in chosen])
                table.setdefault(method, {})[f"sd {sd}, {budget // 10**6}M"] = {
                    "mean": float(values.mean()),
                    "p95": float(np.quantile(values, 0.95)),
                    "standard_error": float(values.std() / np.sqrt(len(values))),
                    "failed_fits": int(sum(r["failed"] for r in chosen)) if method in METHODS else 0,
                }
    out = {"draws": arguments.draws, "regret_percent": table}
    (Path(__file__).parent / "results.json").write_text(json.dumps(out, indent=1) + "\n")
    for method, cells in table.items():
        print(f"{method:34}", "  ".join(f"{c['mean']:.4f} ({c['p95']:.3f})" for c in cells.values()))


if __name__ == "__main__":
    main()
