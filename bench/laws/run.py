"""Every law on the same runs: a published pre-training swarm and a fine-tuning swarm. Writes results.json.

    python bench/laws/run.py [--laws pairwise,gbdt] [--sizes 32,64,128,256,512] [--draws 5] [--workers 2]

RegMix swarm: fitted to n of 512 runs of a 1M-parameter model over 17 domains, scored on 256 held-out mixtures;
mean over 13 targets of the mean relative error (%) and of Spearman's rank correlation (x 100). Then the 64 mixtures at
1B parameters are ranked by the fit to all 512: how far the recommended one is from the true best, nats.

Fine-tuning swarm: five-fold error over all 149 runs (mixtures kept together or not: both), and prediction of eight
mixtures at 360k tokens from one 13-run design at n tokens a domain, and from all small runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from mixlaw.core.errors import MixlawError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.crossvalidation import spearman

HERE = Path(__file__).parent
SWARM = HERE.parents[1] / "tests/golden/data/tiny_sft_swarm.csv"
LAWS = ("pairwise", "transfer", "exponential", "bivariate", "additive", "additive_joint", "autoscale", "chinchilla")
LAWS += ("gbdt", "ridge", "gp", "mean")


def score(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Return mean relative error (%), Spearman x 100 and bias (nats), means over targets."""
    ranks = [spearman(predicted[:, j], measured[:, j]) for j in range(measured.shape[1])]
    return {
        "mre_percent": 100 * float(np.mean(np.abs(predicted - measured) / measured)),
        "spearman": 100 * float(np.nan_to_num(ranks).mean()),
        "bias_nats": float(np.mean(predicted - measured)),
    }


def one_regmix(task: tuple[str, int, int]) -> dict:
    """Fit one law to one subset and score it on the held-out mixtures."""
    law, size, draw = task
    runs, held = (RunTable.from_csv(HERE / f"data/regmix_{part}_1m.csv") for part in ("train", "test"))
    rows = np.random.default_rng(draw).permutation(len(runs))[:size]
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prediction = fit_law(runs.take(rows), law=law).predict(held)
    except MixlawError as error:
        return {"law": law, "size": size, "draw": draw, "error": str(error)}
    result = {"law": law, "size": size, "draw": draw, "seconds": time.perf_counter() - began}
    inside = (held.losses_RJ >= prediction.low) & (held.losses_RJ <= prediction.high)
    return result | score(prediction.mean, held.losses_RJ) | {"covered_90": float(inside.mean())}


def rank_at_1b(law: str) -> dict:
    """Return how far the mixture recommended by the 1M-parameter fit is from the best one at 1B parameters."""
    runs, big = (
        RunTable.from_csv(HERE / "data/regmix_train_1m.csv"),
        RunTable.from_csv(HERE / "data/regmix_test_1b.csv"),
    )
    # Shares at the budget of the small runs: the law knows nothing of the larger model.
    tokens = big.tokens_RK / big.totals_R[:, None] * np.median(runs.totals_R)
    predicted = fit_law(runs, law=law).predict(tokens).mean.mean(axis=1)
    measured = big.losses_RJ.mean(axis=1)
    chosen = int(predicted.argmin())
    return {
        "nats_above_best": float(measured[chosen] - measured.min()),
        "better_mixtures": int((measured < measured[chosen]).sum()),
        "spearman": 100 * spearman(predicted, measured),
    }


def swarm(law: str) -> dict:
    """Return the figures of the fine-tuning swarm."""
    runs = RunTable.from_csv(SWARM)
    with open(SWARM, newline="") as file:
        rows = list(csv.DictReader(file))
    group, seed = (np.array([row[key] for row in rows]) for key in ("group", "seed"))
    target = np.char.startswith(group, "H360000")
    out: dict = {}

    def go(train: np.ndarray, test: np.ndarray) -> dict[str, float]:
        prediction = fit_law(runs.take(train), law=law).predict(runs.take(test))
        losses = runs.losses_RJ[test]
        inside = (losses >= prediction.low) & (losses <= prediction.high)
        return score(prediction.mean, losses) | {"covered_90": float(inside.mean())}

    mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel()
    random = np.random.default_rng(0).permutation(len(runs)) % 5
    for name, fold in (("five_fold", random), ("five_fold_mixtures", mixtures % 5)):
        parts = [go(fold != k, fold == k) for k in range(5)]
        sizes = [int((fold == k).sum()) for k in range(5)]
        out[name] = {key: float(np.average([part[key] for part in parts], weights=sizes)) for key in parts[0]}
    for n in (15000, 30000, 60000):
        parts = [go((group == f"A{n}") & (seed == s), target) for s in ("0-0", "1-1", "2-2")]
        out[f"from_13_runs_{n // 1000}k"] = {key: float(np.mean([p[key] for p in parts])) for key in parts[0]}
    out["from_all_small"] = go(np.char.startswith(group, "A"), target)
    return out


def one_other(task: tuple[str, str]) -> tuple[str, str, dict]:
    """Run `swarm` or `rank_at_1b`; an error is a value."""
    what, law = task
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return what, law, (swarm if what == "swarm" else rank_at_1b)(law)
    except MixlawError as error:
        return what, law, {"error": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--laws", default=",".join(LAWS))
    parser.add_argument("--sizes", default="32,64,128,256,512")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    laws, sizes = arguments.laws.split(","), [int(size) for size in arguments.sizes.split(",")]
    tasks = [(law, n, draw) for n in sizes for law in laws for draw in range(1 if n == 512 else arguments.draws)]
    others = [(what, law) for law in laws for what in ("swarm", "rank_at_1b")]
    with ProcessPoolExecutor(arguments.workers) as pool:
        regmix = list(pool.map(one_regmix, tasks))
        rest = list(pool.map(one_other, others))
    summary: dict = {"regmix": {}, "swarm": {}, "rank_at_1b": {}}
    for law in laws:
        for n in sizes:
            done = [r for r in regmix if r["law"] == law and r["size"] == n]
            good = [r for r in done if "error" not in r]
            keys = ("mre_percent", "spearman", "covered_90", "seconds")
            cell = {key: float(np.mean([r[key] for r in good])) for key in keys} if good else done[0]
            summary["regmix"].setdefault(law, {})[str(n)] = cell
            if good:
                print(f"regmix {law:15} n={n:3}", "  ".join(f"{key} {cell[key]:.3f}" for key in keys))
    for what, law, value in rest:
        summary[what][law] = value
        print(what, law, json.dumps(value))
    summary["runs"] = regmix
    (HERE / "results.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
