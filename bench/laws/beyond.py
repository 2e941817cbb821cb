"""Do 90 % intervals hold inside, at the rim of and beyond the runs, planted and real? Writes SPLIT_beyond.json.

    python -m bench.laws.beyond [--split reporting] [--parts planted,swarm,curves,regmix,regmix_sizes,olmix,sizes]
        [--olmix olmix_dclm24.csv] [--sizes slimpajama_sizes.csv] [--out FILE]

Every part fits law `pairwise` (curves: `auto`) and asks for the losses of single runs that it has not seen. Of each
group: how many losses, the share within the 90 % interval of a run, the mean relative error of the predicted mean and
the mean width of the interval, both in % of the loss. Near, middle and rim: mixtures less than .125, less than .25, and
more of half an L1 distance of shares away from the nearest run's.

planted        K = 3, truths and kinds of `bench.planted.worlds`, noise .004 nats; 13 space-filling runs (`spread`) or
               8 mixtures at each of 3 totals (`levels`). Not in any law: a shock of sd .3 % of the loss, common to the
               runs of one total, and a drift: the part of the loss above half of it follows, in logarithms, a Brownian
               path of the log of the total, of sd 0, .03 or .1 an e-fold, a path for each target. Asked are other
               mixtures at totals of the runs, and at 3 and 10 times the largest.
swarm          the fine-tuning swarm of `bench.laws.run`, its splits
curves         the fine-tuning curves of `bench.laws.curves`, two and three largest sizes held out
regmix         64 of RegMix's runs, a half of its held-out mixtures, by distance; draws of `bench.laws.run`
regmix_sizes   96 runs at 1M and 48 at 60M parameters, asked at 1B: 17 times larger, 25 times the tokens
olmix          100 of 127 runs on 24 domains, the others by distance; 14 of its 110 targets, even ones tuning
sizes          the two questions of `bench.laws.sizes`, and the first one from ended runs alone

Olmix's table and that of model sizes are not in this repository; without their place those parts are left out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.laws.curves import TASKS, by_law, curves
from bench.laws.run import FIRST_DRAW, SWARM, half
from bench.laws.sizes import questions, read
from bench.planted.worlds import FIRST_SEED, KINDS, TRUTHS, N, Setting, World
from bench.record import SPLITS, stamp

import mixlaw
from mixlaw import RunTable
from mixlaw.design import space_filling_design

HERE = Path(__file__).parent
PARTS = ("planted", "swarm", "curves", "regmix", "regmix_sizes", "olmix", "sizes")
CHOSEN_ON = {
    "prior standard deviations of learnt scales": "tuning: curves and swarm",
    "APART": "tuning: RegMix, Olmix",
    "prior of the drift of whole losses": "tuning: planted world 0, curves",
    "WIDE, shocks of held-out levels": "tuning: planted worlds 0 and 1",
}
NOISE, SHOCK, PATHS = 0.004, 0.003, (0.0, 0.03, 0.1)
NEAR, MIDDLE = 0.125, 0.25

Group = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Name, then measured losses, predicted means, lower and upper ends, of one shape."""


def asked(name: str, fit: mixlaw.Fit, held: RunTable) -> Group:
    """Return the predictions of held-out runs."""
    predicted = fit.predict(held)
    return name, held.losses_RJ, predicted.mean, predicted.low, predicted.high


def by_distance(name: str, fit: mixlaw.Fit, held: RunTable) -> Iterator[Group]:
    """Yield the groups near, middle and rim."""
    shares, runs = (table.tokens_RK / table.totals_R[:, None] for table in (held, fit.runs))
    far_R = 0.5 * np.abs(shares[:, None] - runs).sum(axis=2).min(axis=1)
    for where, rows in (
        ("near", far_R < NEAR),
        ("middle", (far_R >= NEAR) & (far_R < MIDDLE)),
        ("rim", far_R >= MIDDLE),
    ):
        if rows.any():
            yield asked(f"{name}, {where}", fit, held.take(rows))


class Paths:
    """What no law has: shocks and drifts of a planted world, functions of the total."""

    def __init__(self, targets: int, sd: float, rng: np.random.Generator) -> None:
        self.at = np.linspace(np.log(N) - 3, np.log(N) + 8, 1101)
        steps = rng.standard_normal((targets, len(self.at))) * np.sqrt(self.at[1] - self.at[0])
        self.drift_JT, self.rng, self.shocks = sd * steps.cumsum(axis=1), rng, {}

    def moved(self, losses_RJ: np.ndarray, totals_R: np.ndarray) -> np.ndarray:
        """Return the losses with the shock of their total and the drift."""
        found = losses_RJ.copy()
        for r, total in enumerate(totals_R):
            key = round(float(np.log(total)), 2)
            if key not in self.shocks:
                self.shocks[key] = SHOCK * self.rng.standard_normal(losses_RJ.shape[1])
            drift_J = np.array([np.interp(np.log(total), self.at, path) for path in self.drift_JT])
            found[r] *= 0.5 + 0.5 * np.exp(drift_J) + self.shocks[key]
        return found


def planted(split: str, worlds: int) -> Iterator[Group]:
    K, first = 3, FIRST_SEED[split]
    for seed in range(first, first + worlds):
        for truth in TRUTHS:
            for kind in KINDS[1:]:
                for sd in PATHS:
                    yield from one_world(World(Setting(kind, truth, K, seed), NOISE), sd)


def one_world(world: World, sd: float) -> Iterator[Group]:
    K = world.setting.K
    rng = np.random.default_rng([*world.setting.entropy, int(1000 * sd)])
    paths = Paths(K, sd, rng)

    def measured(tokens_RK: np.ndarray) -> RunTable:
        losses = paths.moved(world.truth(tokens_RK), tokens_RK.sum(axis=1))
        losses = losses + NOISE * rng.standard_normal(losses.shape)
        return RunTable(tuple(f"r{i}" for i in range(len(losses))), world.domains, world.domains, tokens_RK, losses)

    totals = K * N * np.array([0.5, 1.0, 2.0])
    design = space_filling_design(world.domains, N, 13)
    tables = {
        "spread": np.array([[mixture[d] for d in world.domains] for _, mixture in design], float),
        "levels": np.vstack([total * rng.dirichlet(np.ones(K), 8) for total in totals]),
    }
    for name, tokens_RK in tables.items():
        fit = mixlaw.fit(measured(tokens_RK), law="pairwise")
        largest = float(tokens_RK.sum(axis=1).max())
        inside = (largest / 2 if name == "levels" else largest / 1.5) * rng.dirichlet(np.ones(K), 12)
        yield from by_distance(f"planted {name}, drift {sd:g}, inside", fit, measured(inside))
        for times in (3, 10):
            tokens = times * largest * rng.dirichlet(np.full(K, 2.0), 6)
            yield asked(f"planted {name}, drift {sd:g}, {times} times the tokens", fit, measured(tokens))


def swarm(split: str) -> Iterator[Group]:
    runs = RunTable.from_csv(SWARM)
    with open(SWARM, newline="") as file:
        rows = list(csv.DictReader(file))
    group, seed = (np.array([row[key] for row in rows]) for key in ("group", "seed"))
    small = ("A15000", "A30000") if split == "reporting" else ("A15000", "A30000", "A60000")
    for target in ("H90000",) if split == "reporting" else ("H180000", "H360000"):
        held = runs.take(group == target)
        for table in small:
            for s in ("0-0", "1-1", "2-2"):
                fit = mixlaw.fit(runs.take((group == table) & (seed == s)), law="pairwise")
                yield asked(f"swarm, 13 runs, to {target}", fit, held)
        yield asked(
            f"swarm, all small, to {target}", mixlaw.fit(runs.take(np.isin(group, small)), law="pairwise"), held
        )


def of_curves(split: str) -> Iterator[Group]:
    for task in TASKS:
        for points in curves(task, split, HERE / "data").values():
            points = points[points[:, 0] > 0]
            for held in (2, 3):
                mean, low, high, _ = by_law("auto", points[:-held], points[-held:, 0])
                yield f"curves {task}, {held} sizes beyond", points[-held:, 1], mean, low, high


def regmix(split: str) -> Iterator[Group]:
    runs, held = (RunTable.from_csv(HERE / f"data/regmix_{part}_1m.csv") for part in ("train", "test"))
    for draw in range(FIRST_DRAW[split], FIRST_DRAW[split] + 2):
        rows = np.random.default_rng(draw).permutation(len(runs))[:64]
        yield from by_distance("regmix, 64 runs", mixlaw.fit(runs.take(rows), law="pairwise"), half(held, split))


def regmix_sizes(split: str) -> Iterator[Group]:
    parts = [RunTable.from_csv(HERE / f"data/regmix_{part}.csv") for part in ("train_1m", "test_60m", "test_1b")]
    tables = []
    for table, size, count in zip(parts, (1e6, 6e7, 1e9), (96, 48, 64), strict=True):
        rows = np.random.default_rng(FIRST_DRAW[split]).permutation(len(table))[:count]
        tables.append(replace(table.take(rows), params_R=np.full(count, size)))
    small = joined(tables[0], tables[1])
    yield asked("regmix, 1M and 60M to 1B", mixlaw.fit(small, law="pairwise"), half(tables[2], split))


def joined(one: RunTable, other: RunTable) -> RunTable:
    """Return the rows of both tables, of one and the same domains; targets that both have."""
    order = [other.domains.index(domain) for domain in one.domains]
    both = [target for target in one.targets if target in other.targets]
    columns = [[table.targets.index(target) for target in both] for table in (one, other)]
    return RunTable(
        tuple(f"r{i}" for i in range(len(one) + len(other))),
        one.domains,
        tuple(both),
        np.vstack([one.tokens_RK, other.tokens_RK[:, order]]),
        np.vstack([one.losses_RJ[:, columns[0]], other.losses_RJ[:, columns[1]]]),
        params_R=np.concatenate([np.asarray(one.params_R), np.asarray(other.params_R)]),
    )


def olmix(split: str, place: Path) -> Iterator[Group]:
    runs = RunTable.from_csv(place)
    columns = np.arange(split == "reporting", len(runs.targets), 2)[::4]
    runs = replace(runs, targets=tuple(runs.targets[j] for j in columns), losses_RJ=runs.losses_RJ[:, columns])
    order = np.random.default_rng(FIRST_DRAW[split]).permutation(len(runs))
    yield from by_distance(
        "olmix, 100 runs", mixlaw.fit(runs.take(order[:100]), law="pairwise"), runs.take(order[100:])
    )


def sizes(split: str, place: Path) -> Iterator[Group]:
    table = read(place)
    mine = np.array([hashlib.sha256(n[:3].encode()).digest()[0] % 2 == (split == "reporting") for n in table.runs])
    first, *_ = asks = list(questions(table).items())
    for question, (fitted, at) in asks:
        fit = mixlaw.fit(table.take(fitted), law="pairwise")
        yield asked(f"sizes, {question}", fit, replace(table.take(at & mine), checkpoint_of=()))
    fitted, at = first[1]
    ended = fitted & (table.totals_R > 0.99 * table.totals_R[fitted].max())
    fit = mixlaw.fit(replace(table.take(ended), checkpoint_of=()), law="pairwise")
    yield asked(f"sizes, {first[0]}, ended runs alone", fit, replace(table.take(at & mine), checkpoint_of=()))


def figures(groups: list[Group]) -> dict[str, float | int]:
    """Return the figures of the groups of one name together."""
    losses, mean, low, high = (np.concatenate([g[i].ravel() for g in groups]) for i in range(1, 5))
    known = np.isfinite(losses)
    losses, mean, low, high = losses[known], mean[known], low[known], high[known]
    return {
        "asked": len(losses),
        "covered": round(float(np.mean((losses >= low) & (losses <= high))), 3),
        "error_percent": round(100 * float(np.mean(np.abs(mean - losses) / losses)), 3),
        "width_percent": round(100 * float(np.mean((high - low) / losses)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--worlds", type=int, default=2)
    parser.add_argument("--olmix", type=Path)
    parser.add_argument("--sizes", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    split, written = arguments.split, arguments.out or HERE / f"{arguments.split}_beyond.json"
    ways = {
        "planted": lambda: planted(split, arguments.worlds),
        "swarm": lambda: swarm(split),
        "curves": lambda: of_curves(split),
        "regmix": lambda: regmix(split),
        "regmix_sizes": lambda: regmix_sizes(split),
        "olmix": lambda: olmix(split, arguments.olmix),
        "sizes": lambda: sizes(split, arguments.sizes),
    }
    before: dict = json.loads(written.read_text()) if written.exists() else {}
    summary = stamp(split, "see the parts", CHOSEN_ON) | {"figures": before.get("figures", {})}
    # The tables' places are the user's own.
    summary["command"] = (
        f"python -m bench.laws.beyond --split {split} --parts {arguments.parts} --worlds {arguments.worlds}"
    )
    for part in arguments.parts.split(","):
        if part in ("olmix", "sizes") and getattr(arguments, part) is None:
            print(f"{part}: left out, its table is not here")
            continue
        began, found = time.process_time(), {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for group in ways[part]():
                found.setdefault(group[0], []).append(group)
        summary["figures"][part] = {name: figures(groups) for name, groups in found.items()}
        summary["figures"][part]["seconds"] = round(time.process_time() - began)
        for name, row in summary["figures"][part].items():
            print(part, name, json.dumps(row), flush=True)
        written.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
