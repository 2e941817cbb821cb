"""Planted laws, regret against cost: what proxy runs for a few per cent of the final run are worth. Writes SPLIT.json.

    python -m bench.cost.run [--split reporting] [--seeds 1] [--K 3,6,11] [--methods auto-10,equal] [--few 11]

Worlds: `bench.planted.worlds`, of three kinds and three truths, K domains, a budget of 20M tokens a domain; runs of
a seed have noise of sd .001, .004 or .016 nats, in turn. A run costs its tokens and an evaluation on 60,000 tokens a
domain, at a third of training on as many: .1 % of the final run. With the K of `--few` only three worlds a seed are
taken: each truth once, each kind once.

    auto-5 ... auto-20      what `plan: {max_cost: 5%}` gives, law `auto`, until the next batch is not worth its cost
    once-10, once-20        the same limit for one batch alone
    points-10, points-20    such a batch with points at a quarter and a half of each run; half of the variance
                            of the noise is shared by all losses of a run, half is each one's own
    full                    `design: space_filling`: 1 + 4 K runs around a tenth of a domain's share of the budget
    regmix-5 ... regmix-20  Dirichlet design of one size for the same cost, LightGBM, the best 100 of 20,000 mixtures
    equal, natural          no runs

A method that fails recommends the equal mixture. `cost` is the share of the final run, evaluations included. Rows are
appended to SPLIT.jsonl as they come, so that a run that was stopped goes on, and methods can be added.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.planted.run import NOISES, joined
from bench.planted.worlds import FIRST_SEED, KINDS, TRUTHS, Answer, Setting, World, answer, judge
from bench.record import SPLITS, stamp

import mixlaw
from mixlaw.api.sequential import Terms, propose_within
from mixlaw.design import design_runs
from mixlaw.design.planning import Wishes
from mixlaw.design.spending import Spending

HERE = Path(__file__).parent
TIMES = 30
"""The budget over the base mixture of `bench.planted.worlds`."""
EVALUATED = 60_000
"""Tokens a domain that each run is evaluated on."""
SHARES = (5, 10, 15, 20)
MANY, BEST = 20_000, 100

CHOSEN_ON = {
    "fewest runs, part of the first batch, size of the candidates of later ones": "planted worlds of the tuning part, "
    "K = 3, seeds 0 and 1",
}

Found = tuple[Answer, float, int]
"""What a method recommends, its cost as a share of the final run, its runs."""


def spending(world: World, share: float) -> Spending:
    """Return what the runs may cost."""
    budget = world.budget(TIMES)
    return Spending(share * budget, EVALUATED / 3 * len(world.domains), budget, given=True)


def by_default(percent: int) -> Callable[[World], Found]:
    """Return the default method within a limit."""

    def method(world: World) -> Found:
        budget, terms = world.budget(TIMES), spending(world, percent / 100)
        seed, count = world.setting.seed, max(3, len(world.domains))
        runs, _ = design_runs("auto", world.available, budget, seed=seed, wishes=Wishes(spending=terms))
        done = [dict(run.tokens) for run in runs]
        base, table, part = runs[0].tokens[world.domains[0]], world.measure(done), 0
        while True:
            fit = mixlaw.fit(table)
            solution = mixlaw.solve(fit, budget, available=world.available)
            left = replace(terms, most_tokens=terms.most_tokens - terms.cost(done))
            batch = propose_within(fit, solution, left, Terms(base, count, world.available, None, seed)).mixtures
            if not batch:
                return answer(world, fit, TIMES), terms.cost(done) / budget, len(done)
            part += 1
            done += batch
            table = joined(table, world.measure(batch, part))

    return method


def in_one_batch(percent: int, points: tuple[float, ...] = ()) -> Callable[[World], Found]:
    """Return one batch within a limit, with points along its runs or without."""

    def method(world: World) -> Found:
        budget = world.budget(TIMES)
        terms = replace(spending(world, percent / 100), points=points, first_part=1.0)
        runs, _ = design_runs("auto", world.available, budget, seed=world.setting.seed, wishes=Wishes(spending=terms))
        done = [dict(run.tokens) for run in runs]
        return answer(world, mixlaw.fit(along(world, done, points)), TIMES), terms.cost(done) / budget, len(done)

    return method


def along(world: World, mixtures: list[dict[str, int]], points: tuple[float, ...]) -> mixlaw.RunTable:
    """Return runs with points on their way, whose noise has a part that all losses of a run share."""
    ends = np.array([[mixture[d] for d in world.domains] for mixture in mixtures], float)
    rng = np.random.default_rng([*world.setting.entropy, 7])
    shared = rng.standard_normal(ends.shape)
    names, tokens, losses = [], [], []
    for share in (1.0, *points):
        names += [f"r{i}" + (f"@{share}" if share < 1 else "") for i in range(len(ends))]
        tokens.append(share * ends)
        own = rng.standard_normal(ends.shape)
        losses.append(world.truth(share * ends) + world.sd * (shared + own) / np.sqrt(2))
    kinds = ["true"] * len(ends) + ["point"] * (len(ends) * len(points))
    return mixlaw.RunTable(
        tuple(names),
        world.domains,
        world.domains,
        np.vstack(tokens),
        np.vstack(losses),
        checkpoint_of=tuple(name.partition("@")[0] for name in names),
        fidelity=tuple(kinds),
    )


def in_full(world: World) -> Found:
    """Return what the space-filling design recommends, whatever it costs."""
    budget, terms = world.budget(TIMES), spending(world, 1.0)
    runs, _ = design_runs("space_filling", world.available, budget, seed=world.setting.seed)
    done = [dict(run.tokens) for run in runs]
    return answer(world, mixlaw.fit(world.measure(done)), TIMES), terms.cost(done) / budget, len(done)


def by_search(percent: int) -> Callable[[World], Found]:
    """Return RegMix within a limit: no more runs than leave half of it for training."""

    def method(world: World) -> Found:
        K, terms = len(world.domains), spending(world, percent / 100)
        rows = int(min(4 * K + 1, terms.most_tokens / 2 / terms.evaluation_tokens))
        total = terms.most_tokens / rows - terms.evaluation_tokens
        rng = np.random.default_rng(world.setting.entropy)
        shares, asked = rng.dirichlet(K * world.natural, rows), rng.dirichlet(np.ones(K), MANY)
        runs = world.measure([dict(zip(world.domains, total * share, strict=True)) for share in shares])
        predicted = mixlaw.fit(runs, law="gbdt").predict(total * asked).mean.sum(axis=1)
        best = asked[np.argsort(predicted, kind="stable")[:BEST]].mean(axis=0)
        return Answer(best), percent / 100, rows

    return method


METHODS: dict[str, Callable[[World], Found]] = {
    **{f"auto-{percent}": by_default(percent) for percent in SHARES},
    **{f"once-{percent}": in_one_batch(percent) for percent in (10, 20)},
    **{f"points-{percent}": in_one_batch(percent, (0.25, 0.5)) for percent in (10, 20)},
    "full": in_full,
    **{f"regmix-{percent}": by_search(percent) for percent in SHARES},
    "equal": lambda world: (Answer(np.full(len(world.domains), 1 / len(world.domains))), 0.0, 0),
    "natural": lambda world: (Answer(world.natural), 0.0, 0),
}


def one_world(kind: str, truth: str, K: int, seed: int, methods: list[str]) -> list[dict]:
    """Return a row for every method."""
    warnings.simplefilter("ignore")
    world = World(Setting(kind, truth, K, seed), NOISES[seed % len(NOISES)])
    found: dict[str, Found] = {}
    more: dict[str, dict] = {}
    for name in methods:
        began = time.perf_counter()
        try:
            found[name], more[name] = METHODS[name](world), {}
        except mixlaw.MixlawError as raised:
            found[name], more[name] = METHODS["equal"](world), {"error": str(raised)}
        more[name]["seconds"] = round(time.perf_counter() - began, 2)
    judged = judge(world, TIMES, {name: one[0] for name, one in found.items()})
    key = {"kind": kind, "truth": truth, "K": K, "seed": seed, "sd": world.sd}
    return [
        key | {"method": name, "cost": round(found[name][1], 5), "runs": found[name][2]} | judged[name] | more[name]
        for name in methods
    ]


def summary(rows: list[dict]) -> dict[str, dict[str, dict]]:
    """Return cell -> method -> figures; the cells are every K, every K and kind, and all worlds."""
    table: dict[str, dict[str, dict]] = {}
    cells = [("all", rows)]
    cells += [(f"K {K}", [r for r in rows if r["K"] == K]) for K in sorted({r["K"] for r in rows})]
    cells += [(f"{name}, {kind}", [r for r in of if r["kind"] == kind]) for name, of in cells[1:] for kind in KINDS]
    for name, here in cells:
        table[name] = {}
        for method in METHODS:
            of = [row for row in here if row["method"] == method]
            if not of:
                continue
            regret = np.array([row["regret_percent"] for row in of])
            covered = [row["covered"] for row in of if row["covered"] is not None]
            table[name][method] = {
                "worlds": len(of),
                "regret_percent": round(float(regret.mean()), 4),
                "regret_median": round(float(np.median(regret)), 4),
                "regret_p90": round(float(np.quantile(regret, 0.9)), 4),
                "standard_error": round(float(regret.std() / np.sqrt(len(regret))), 4),
                "cost": round(float(np.mean([row["cost"] for row in of])), 4),
                "runs": round(float(np.mean([row["runs"] for row in of])), 1),
                "covered": round(float(np.mean(covered)), 3) if covered else None,
                "failed": sum("error" in row for row in of),
            }
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--K", default="3,6,11")
    parser.add_argument("--few", type=int, default=11)
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    out, first = HERE / f"{arguments.split}.json", FIRST_SEED[arguments.split]
    kept = out.with_suffix(".jsonl")
    rows: list[dict] = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {tuple(row[key] for key in ("kind", "truth", "K", "seed", "method")) for row in rows}
    for K, seed in itertools.product(map(int, arguments.K.split(",")), range(first, first + arguments.seeds)):
        worlds = list(itertools.product(KINDS, TRUTHS))
        if arguments.few == K:
            worlds = [(KINDS[(i + seed) % len(KINDS)], truth) for i, truth in enumerate(TRUTHS)]
        for kind, truth in worlds:
            missing = [m for m in arguments.methods.split(",") if (kind, truth, K, seed, m) not in done]
            if not missing:
                continue
            found = one_world(kind, truth, K, seed, missing)
            rows += found
            with kept.open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in found))
            print(K, seed, kind, truth, {row["method"]: row["regret_percent"] for row in found}, flush=True)
    table = summary(rows)
    seeds = f"{first} to {max((row['seed'] for row in rows), default=first)}"
    out.write_text(json.dumps(stamp(arguments.split, seeds, CHOSEN_ON) | {"cells": table}, indent=1) + "\n")
    for name, figures in table["all"].items():
        print(f"{name:10} " + "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
