"""Draws of `pairwise` at any number of domains: do they settle, is the mean over them right? Writes SPLIT_domains.json.

    python -m bench.laws.many_domains [--split reporting] [--domains 1,3,12,32,64,100] [--worlds 3] [--targets 6]
        [--base without,with] [--out FILE]

Planted worlds of kind `same` and truth `pairwise` (`bench.planted.worlds`), noise .004 nats; 4 (K + 1) runs up to
K = 32, 256 at 64 and 400 at 100, Dirichlet mixtures of 1/e to e times the base total. The law is fitted to every
target, or to the first few, and asked for 100 other mixtures within that range; `with` the base model's losses, a run
of zero tokens, as every study has them, or without. Seeds as in `bench.planted`.

bias_draws: mean over targets and mixtures of the mean over draws minus the truth, over the noise; bias_point: of the
point estimate. from_point: root mean square over targets of a target's mean difference of the two, over the noise.
covered: new noisy runs within their 90 % intervals. settled: share of targets with 200 independent draws and R-hat
below 1.05. seconds: processor time of the whole fit, every target, held-out folds included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.planted.worlds import FIRST_SEED, N, Setting, World
from bench.record import SPLITS, stamp

import mixlaw

HERE = Path(__file__).parent
NOISE = 0.004
RUNS = {64: 256, 100: 400}
CHOSEN_ON = {
    "metric, path, steps and coordinates of the chains": "planted worlds 5 to 7, RegMix's training runs",
    "with many coordinates ends of searches, chains and their warm-up": "planted worlds 1 to 3 of 64 domains",
}


def mixtures(K: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return (count, K) tokens."""
    shares = rng.dirichlet(np.full(K, 0.5), count) if K > 1 else np.ones((count, 1))
    return K * N * shares * np.exp(rng.uniform(-1, 1, (count, 1)))


def covered(truth_RJ: np.ndarray, low_RJ: np.ndarray, high_RJ: np.ndarray, rng: np.random.Generator) -> float:
    """Return the share of one new noisy run of each mixture that lies within its interval."""
    measured_RJ = truth_RJ + NOISE * rng.standard_normal(truth_RJ.shape)
    return float(((measured_RJ >= low_RJ) & (measured_RJ <= high_RJ)).mean())


def one_world(K: int, seed: int, targets: int, base: bool) -> dict:
    """Fit one world and return its figures."""
    world = World(Setting("same", "pairwise", K, seed), NOISE)
    rng = np.random.default_rng([20261128, K, seed])
    tokens, asked = mixtures(K, RUNS.get(K, 4 * (K + 1)), rng), mixtures(K, 100, rng)
    if base:
        tokens = np.vstack([tokens, np.zeros(K)])
    runs = world.measure([dict(zip(world.domains, row, strict=True)) for row in tokens])
    runs = replace(runs, targets=runs.targets[:targets], losses_RJ=runs.losses_RJ[:, :targets])
    began = time.process_time()
    fit = mixlaw.fit(runs, law="pairwise")
    seconds = time.process_time() - began
    truth = world.truth(asked)[:, :targets]
    drawn, point = fit.predict(asked), fit.predict(asked, at="point")
    found = [target.convergence for target in fit.targets.values()]
    return {
        "K": K,
        "seed": seed,
        "runs": len(runs),
        "base": base,
        "targets": len(runs.targets),
        "seconds": round(seconds, 1),
        "bias_draws": float((drawn.mean - truth).mean()) / NOISE,
        "bias_point": float((point.mean - truth).mean()) / NOISE,
        "from_point": float(np.sqrt(((drawn.mean - point.mean).mean(axis=0) ** 2).mean())) / NOISE,
        "covered": covered(truth, drawn.low, drawn.high, rng),
        "worst_rhat": max(one.rhat for one in found if one is not None),
        "fewest_effective": min(one.effective for one in found if one is not None),
        "settled": float(np.mean([one is not None and one.enough for one in found])),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "warnings": [text for text in fit.warnings if "draws" in text],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--domains", default="1,3,12,32,64,100")
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--base", default="without")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    first = FIRST_SEED[arguments.split]
    written = arguments.out or HERE / f"{arguments.split}_domains.json"
    rows, bases = [], [word == "with" for word in arguments.base.split(",")]
    for K, base in itertools.product(map(int, arguments.domains.split(",")), bases):
        for seed in range(first, first + (1 if K > 32 else arguments.worlds)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows.append(one_world(K, seed, arguments.targets, base))
            print(json.dumps(rows[-1]), flush=True)
            summary = stamp(arguments.split, f"seeds from {first} on", CHOSEN_ON)
            summary["bias"] = biases(rows)
            written.write_text(json.dumps(summary | {"worlds": rows}, indent=1) + "\n")


def biases(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Return what several worlds of one kind say together: means, and standard errors of the biases."""
    found = {}
    for key in dict.fromkeys((row["K"], row["base"]) for row in rows):
        some = [row for row in rows if (row["K"], row["base"]) == key]
        figures = {"worlds": len(some), "covered": round(float(np.mean([row["covered"] for row in some])), 3)}
        for which in ("bias_draws", "bias_point") if len(some) > 1 else ():
            values = np.array([row[which] for row in some])
            figures[which] = round(float(values.mean()), 3)
            figures[f"{which}_error"] = round(float(values.std(ddof=1) / np.sqrt(len(values))), 3)
        found[f"K = {key[0]}, {'with' if key[1] else 'without'} the base model"] = figures
    return found


if __name__ == "__main__":
    main()
