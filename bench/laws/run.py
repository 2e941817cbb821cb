"""Every law on the same runs: a published pre-training swarm and a fine-tuning swarm. Writes SPLIT.json.

    python -m bench.laws.run [--split reporting] [--laws pairwise,gbdt] [--sizes 32,64,128,256,512] [--draws 5]

Figures of laws and sizes that are not run again are kept.

Two splits: constants of the package may be chosen on *tuning*, figures are quoted from *reporting*. A held-out mixture
of RegMix is tuning where the SHA-256 of its shares, written with three decimals, begins with an even byte (`half`; 116
of 256 are); each split draws its training runs from the same 512 with seeds of its own, and at 512 both have them all.

RegMix swarm: fitted to n of 512 runs of a 1M-parameter model over 17 domains, scored on one half of 256 held-out
mixtures; mean over 13 targets of the mean relative error (%) and of Spearman's rank correlation (x 100). Then one half
of the 64 mixtures at 1B parameters is ranked by the fit to all 512: how far the recommended one is from the best, nats.

Fine-tuning swarm, tuning: five-fold error over all 149 runs (mixtures kept together or not: both), and prediction of
eight mixtures at 180k and 360k tokens from one 13-run design at n tokens a domain, and from all small runs. Reporting:
eight mixtures at 90k tokens from a design at 15k and at 30k, and from all runs of these designs. Their shares are those
at 360k, and the largest run of a design at 15k is 75k: nothing there is far away. Real runs that are far away and on
which nothing was chosen are missing.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.record import SPLITS, stamp

import mixlaw
from mixlaw import MixlawError, RunTable
from mixlaw.fit.choosing.held_out import estimator_of, spearman
from mixlaw.laws import find

HERE = Path(__file__).parent
SWARM = HERE.parents[1] / "tests/golden/data/tiny_sft_swarm.csv"
LAWS = ("pairwise", "transfer", "exponential", "bivariate", "additive", "additive_joint", "autoscale", "chinchilla")
LAWS += ("gbdt", "ridge", "gp", "mean")
SLOW = {"additive": 64, "additive_joint": 64, "gp": 128}
"""Scored on the RegMix swarm up to so many runs: their fits of 17 domains take minutes each."""

FIRST_DRAW = {"tuning": 0, "reporting": 1000}
CHOSEN_ON = {
    "prior of beta in `pairwise`, its rounds": "before the split: all 256 held-out mixtures of RegMix at 32 and 64 "
    "runs, training draws 0 to 4",
    "when interference is switched on": "before the split: five folds and 360k tokens of the fine-tuning swarm",
    "drift .05": "the fine-tuning swarm's mixtures at 180k and 360k tokens",
}


def half(runs: RunTable, split: str) -> RunTable:
    """Return the runs whose mixtures belong to a split."""
    shares_RK = runs.tokens_RK / runs.totals_R[:, None]
    written = [",".join(f"{share:.3f}" for share in row) for row in shares_RK]
    odd = np.array([hashlib.sha256(text.encode()).digest()[0] % 2 for text in written])
    return runs.take(odd == (split == "reporting"))


def score(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Return mean relative error (%), Spearman x 100 and bias (nats), means over targets."""
    ranks = [spearman(predicted[:, j], measured[:, j]) for j in range(measured.shape[1])]
    return {
        "mre_percent": 100 * float(np.mean(np.abs(predicted - measured) / measured)),
        "spearman": 100 * float(np.nan_to_num(ranks).mean()),
        "bias_nats": float(np.mean(predicted - measured)),
    }


def number(value: float | np.floating) -> float | None:
    """Return a number for JSON; None where there is none."""
    return round(float(value), 5) if np.isfinite(value) else None


def predict(law: str, runs: RunTable, held: RunTable) -> tuple[np.ndarray, float]:
    """Return predicted losses of the held-out runs, and for `pairwise` how many its 90 % intervals hold."""
    if law != "pairwise":
        return estimates(law, runs, held), float("nan")
    prediction = mixlaw.fit(runs, law=law).predict(held)
    inside = (held.losses_RJ >= prediction.low) & (held.losses_RJ <= prediction.high)
    return prediction.mean, float(inside.mean())


def estimates(law: str, runs: RunTable, held: RunTable) -> np.ndarray:
    """Return losses predicted by a law's point estimates, without draws and cross-validation, which take minutes."""
    asked = held.tokens_RK / 1e6
    return np.column_stack([one.curve.losses(asked) for one in estimator_of(find(law)).fit(runs, 0, 0)])


def one_regmix(task: tuple[str, str, int, int]) -> dict:
    """Fit one law to one subset and score it on the held-out mixtures."""
    split, law, size, draw = task
    runs, held = (RunTable.from_csv(HERE / f"data/regmix_{part}_1m.csv") for part in ("train", "test"))
    held = half(held, split)
    rows = np.random.default_rng(draw).permutation(len(runs))[:size]
    key, began = {"law": law, "size": size, "draw": draw}, time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean, covered = predict(law, runs.take(rows), held)
    except MixlawError as error:
        return key | {"error": str(error)}
    return key | {"seconds": time.perf_counter() - began} | score(mean, held.losses_RJ) | {"covered_90": covered}


def rank_at_1b(law: str, split: str) -> dict:
    """Return how far the mixture recommended by the 1M-parameter fit is from the best one at 1B parameters."""
    runs, big = (
        RunTable.from_csv(HERE / "data/regmix_train_1m.csv"),
        RunTable.from_csv(HERE / "data/regmix_test_1b.csv"),
    )
    big = half(big, split)
    # Shares at the budget of the small runs: the law knows nothing of the larger model.
    tokens = big.tokens_RK / big.totals_R[:, None] * np.median(runs.totals_R)
    predicted = predict(law, runs, replace(big, tokens_RK=tokens))[0].mean(axis=1)
    measured = big.losses_RJ.mean(axis=1)
    chosen = int(predicted.argmin())
    return {
        "nats_above_best": float(measured[chosen] - measured.min()),
        "better_mixtures": int((measured < measured[chosen]).sum()),
        "spearman": number(100 * spearman(predicted, measured)),
    }


def swarm(law: str, split: str) -> dict:
    """Return the figures of the fine-tuning swarm."""
    runs = RunTable.from_csv(SWARM)
    with open(SWARM, newline="") as file:
        rows = list(csv.DictReader(file))
    group, seed = (np.array([row[key] for row in rows]) for key in ("group", "seed"))
    out: dict = {}

    def go(train: np.ndarray, test: np.ndarray) -> dict[str, float]:
        mean, covered = predict(law, runs.take(train), runs.take(test))
        return score(mean, runs.losses_RJ[test]) | {"covered_90": covered}

    def together(parts: list[dict[str, float]], sizes: list[int] | None = None) -> dict:
        return {key: number(np.average([part[key] for part in parts], weights=sizes)) for key in parts[0]}

    if split == "tuning":
        mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel()
        random = np.random.default_rng(0).permutation(len(runs)) % 5
        for name, fold in (("five_fold", random), ("five_fold_mixtures", mixtures % 5)):
            parts = [go(fold != k, fold == k) for k in range(5)]
            out[name] = together(parts, [int((fold == k).sum()) for k in range(5)])
    small, targets = (
        ((15000, 30000), ("H90000",))
        if split == "reporting"
        else (
            (15000, 30000, 60000),
            ("H180000", "H360000"),
        )
    )
    for target in targets:
        held, to = group == target, f"{int(target[1:]) // 1000}k"
        for n in small:
            parts = [go((group == f"A{n}") & (seed == s), held) for s in ("0-0", "1-1", "2-2")]
            out[f"from_13_runs_{n // 1000}k_to_{to}"] = together(parts)
        out[f"from_all_small_to_{to}"] = together([go(np.isin(group, [f"A{n}" for n in small]), held)])
    return out


def one_other(task: tuple[str, str, str]) -> tuple[str, str, dict]:
    """Run `swarm` or `rank_at_1b`; an error is a value."""
    what, law, split = task
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return what, law, (swarm if what == "swarm" else rank_at_1b)(law, split)
    except MixlawError as error:
        return what, law, {"error": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--laws", default=",".join(LAWS))
    parser.add_argument("--sizes", default="32,64,128,256,512")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--skip", default="", help="regmix, swarm or rank_at_1b, with commas between")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    split, laws, skip = arguments.split, arguments.laws.split(","), arguments.skip.split(",")
    sizes = [int(size) for size in arguments.sizes.split(",")] if "regmix" not in skip else []
    first = FIRST_DRAW[split]
    tasks = [
        (split, law, n, first + draw)
        for n in sizes
        for law in laws
        if n <= SLOW.get(law, n)
        for draw in range(1 if n == 512 else arguments.draws)
    ]
    others = [(what, law, split) for law in laws for what in ("swarm", "rank_at_1b") if what not in skip]
    with ProcessPoolExecutor(arguments.workers) as pool:
        regmix = []
        for result in pool.map(one_regmix, tasks):
            regmix.append(result)
            print(f"{len(regmix)} of {len(tasks)}: {result['law']} {result['size']} {result['draw']}", flush=True)
        rest = list(pool.map(one_other, others))
    written = arguments.out or HERE / f"{split}.json"
    before: dict = json.loads(written.read_text()) if written.exists() else {}
    summary = stamp(split, f"training draws {first} to {first + arguments.draws - 1}", CHOSEN_ON)
    summary |= {key: before.get(key, {}) for key in ("regmix", "swarm", "rank_at_1b")} | {
        "runs": before.get("runs", [])
    }
    for law, n in dict.fromkeys((result["law"], result["size"]) for result in regmix):
        done = [result for result in regmix if (result["law"], result["size"]) == (law, n)]
        good = [result for result in done if "error" not in result]
        keys = ("mre_percent", "spearman", "covered_90", "seconds")
        cell = {key: number(np.mean([r[key] for r in good])) for key in keys} if good else done[0]
        summary["regmix"].setdefault(law, {})[str(n)] = cell
        print(f"regmix {law:15} n={n:3}", "  ".join(f"{key} {value}" for key, value in cell.items()))
    for what, law, value in rest:
        summary[what][law] = value
        print(what, law, json.dumps(value))
    again = {(result["law"], result["size"]) for result in regmix}
    summary["runs"] = [run for run in summary["runs"] if (run["law"], run["size"]) not in again] + [
        {key: number(value) if isinstance(value, float) else value for key, value in run.items()} for run in regmix
    ]
    written.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
