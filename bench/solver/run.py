"""How fast is the exact solver, and is it exact? Writes results.json beside this file.

    python bench/solver/run.py

A: K = 1,000 domains, one parameter draw, and with 200 posterior draws.
B: K = 200 against SciPy's SLSQP on the same problem from the same start (w = 1/K, analytic gradient), in turn
   A B A B; median times, their ratio, and both objectives.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import minimize

from mixlaw.laws.transfer import Transfer
from mixlaw.solve.allocation import allocate
from mixlaw.solve.separable import SeparableLosses

LAW = Transfer(("a", "b"), "a")


def planted(domains: int, draws: int = 1, spread: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return (K, S, 5) laws: parameters drawn as for the planted-law benchmark, then spread over the draws."""
    rng = np.random.default_rng(seed)
    ranges = [(0.3, 1.0), (0.05, 0.5), (0.5, 0.95), (0.08, 0.35), (0.4, 1.3)]
    theta = np.column_stack([rng.uniform(*r, domains) for r in ranges])[:, None, :].repeat(draws, 1)
    theta *= np.exp(spread * rng.standard_normal(theta.shape))
    theta[..., 2] = np.clip(theta[..., 2], 0, 0.99)
    return theta


def timed(function, repeats: int) -> tuple[list[float], object]:
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return times, result


def slsqp(objective: SeparableLosses, K: int):
    return minimize(
        lambda w: float(objective.value(w[:, None]).sum()),
        np.full(K, 1 / K),
        jac=lambda w: objective.slope(w[:, None])[0][:, 0],
        bounds=[(0, 1)] * K,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(K)},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-12},
    )


def main() -> None:
    out: dict = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    for draws, repeats in ((1, 15), (200, 5)):
        objective = SeparableLosses(LAW, planted(1000, draws, 0.1), np.ones(1000), 1000.0, average=True)
        times, best = timed(lambda o=objective: allocate(o, np.zeros(1000), np.ones(1000)), repeats)
        out[f"K1000_S{draws}"] = {
            "median_ms": 1e3 * statistics.median(times),
            "max_ms": 1e3 * max(times),
            "kkt_residual": float(best.kkt_residual_B[0]),
            "gap_nats": float(best.gap_B[0]),
            "sum_of_weights_minus_1": float(best.weights_KB.sum() - 1),
        }
    K = 200
    objective = SeparableLosses(LAW, planted(K), np.ones(K), 200.0, average=True)
    ours, theirs = [], []
    for _ in range(5):
        mine, best = timed(lambda: allocate(objective, np.zeros(K), np.ones(K)), 1)
        other, reference = timed(lambda: slsqp(objective, K), 1)
        ours += mine
        theirs += other
    out["K200_against_slsqp"] = {
        "ours_median_ms": 1e3 * statistics.median(ours),
        "slsqp_median_ms": 1e3 * statistics.median(theirs),
        "ratio_of_medians": statistics.median(theirs) / statistics.median(ours),
        "ratio_min": min(t / o for t, o in zip(theirs, ours, strict=True)),
        "ours_objective": float(objective.value(best.weights_KB).sum()),
        "slsqp_objective": float(reference.fun),
        "slsqp_status": reference.message,
        "largest_weight_difference": float(np.abs(best.weights_KB[:, 0] - reference.x).max()),
    }
    text = json.dumps(out, indent=1)
    (Path(__file__).parent / "results.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
