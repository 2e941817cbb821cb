"""Targets that no law follows, beside others that a law does. Writes SPLIT_unfollowed.json.

    python -m bench.laws.unfollowed [--split reporting] [--worlds 3] [--skip 0] [--runs 24,48]
        [--regressors gbdt,gp,ridge] [--out FILE]

K = 3 domains, planted truths of `bench.planted.worlds` with noise .004 nats; runs of Dirichlet mixtures with totals of
.5 to 4 base mixtures, log-uniform. The first target is odd:

    share      it switches between two levels, .15 to .5 nats apart, at a share of a random domain (.25 to .5)
    tokens     the same at an amount of a random domain's tokens
    either     it stands on one of the two levels by chance, whatever the mixture
    heavy      it follows its law, with noise of Student's t of 1.5 degrees of freedom times .01 nats
    loud       it follows its law, with normal noise 25 times the others'
    law        it is as the others (for comparison)

Asked are 200 other mixtures with totals of the same range. error_percent: mean relative error of the predicted mean
against the truth without noise (either: its mean over both levels), of the odd target and of the others: `auto`, what
all targets choose together for all of them (`together`, both laws where runs do not tell them apart), and each
regressor alone. others_more: error of the others, `auto` less `together`: mean, its 95 % interval over worlds
(Student's t; a world is one truth of one seed), and the largest of a world; odd_more the same of the odd target.
others_of: laws that the others have. over_best: error of `auto` over that of the best regressor, over all worlds.
covered: measured losses within the 90 % intervals of `auto`. regret: of the weights solved for a budget of two base
mixtures, in % of the total loss over the best of 5,000 mixtures, without the odd target where chance moves it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench.planted.worlds import FIRST_SEED, KINDS, TRUTHS, N, Setting, World
from bench.record import SPLITS, stamp
from scipy import stats

import mixlaw
from mixlaw import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.choosing.apart import Part
from mixlaw.fit.choosing.by_target import ByTarget, Served
from mixlaw.fit.choosing.choice import choose
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.fit.fidelity import Evidence
from mixlaw.fit.judging import of_parts
from mixlaw.laws import find

HERE = Path(__file__).parent
ODD = ("share", "tokens", "either", "heavy", "loud", "law")
REGRESSORS = ("gbdt", "gp", "ridge")
NOISE, K, ASKED = 0.004, 3, 200
CHOSEN_ON = {
    "_DEPARTS": "tuning worlds: two standard errors instead of one",
    "_FAR": "tuning worlds: 0 to 3 of these with 32 runs, 0 to 5 of bench/planted, kind `different`",
}

Losses = Callable[[np.ndarray], np.ndarray]


class Planted:
    """A world with an odd first target: its truth, and measured runs."""

    def __init__(self, odd: str, truth: str, seed: int) -> None:
        # The kind of the domains goes round with the seed.
        self.world = World(Setting(KINDS[seed % 3], truth, K, seed), NOISE)
        self.odd, self.rng = odd, np.random.default_rng([*self.world.setting.entropy, ODD.index(odd)])
        self.height, self.domain = self.rng.uniform(0.15, 0.5), int(self.rng.integers(K))
        self.edge = self.rng.uniform(0.25, 0.5) if odd == "share" else 2 * N * self.rng.uniform(0.5, 1.5)

    def truth(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R, K) losses without noise, means over what is chance."""
        losses = self.world.truth(tokens_RK)
        at_R = tokens_RK[:, self.domain]
        if self.odd == "share":
            losses[:, 0] += self.height * (at_R / tokens_RK.sum(axis=1) < self.edge)
        if self.odd == "tokens":
            losses[:, 0] += self.height * (at_R < self.edge)
        if self.odd == "either":
            losses[:, 0] = self.middle
        return losses

    @property
    def middle(self) -> float:
        """What an `either` target is on average."""
        return float(self.world.truth(np.full((1, K), float(N)))[0, 0]) + self.height / 2

    def measured(self, tokens_RK: np.ndarray) -> RunTable:
        losses = self.truth(tokens_RK)
        noise = NOISE * self.rng.standard_normal(losses.shape)
        if self.odd == "either":
            noise[:, 0] += self.height * (self.rng.integers(0, 2, len(noise)) - 0.5)
        if self.odd == "heavy":
            noise[:, 0] = 0.01 * self.rng.standard_t(1.5, len(noise))
        if self.odd == "loud":
            noise[:, 0] *= 25
        losses = np.maximum(losses + noise, 0.01)
        names = tuple(f"r{i}" for i in range(len(losses)))
        return RunTable(names, self.world.domains, self.world.domains, tokens_RK, losses)

    def mixtures(self, count: int) -> np.ndarray:
        totals = K * N * np.exp(self.rng.uniform(np.log(0.5), np.log(4.0), count))
        return totals[:, None] * self.rng.dirichlet(np.ones(K), count)


def fitted_together(runs: RunTable) -> Fit:
    """Return the fit in which all targets have what they choose together."""
    choice = choose(runs)
    served = Served(choice.law, "" if choice.alternative is None else choice.alternative.name)
    chosen = ByTarget((served,) * len(runs.targets), {row.name: row for row in choice.rows})
    places = tuple(range(len(runs.targets)))
    none = Evidence(runs, np.full(runs.losses_RJ.shape, np.nan))
    targets = of_parts(runs, [Part(places, runs, choice, chosen)], True, 0, none)
    return Fit(choice.law, "joint", runs.domains, targets, runs)


def one_world(planted: Planted, count: int, regressors: tuple[str, ...]) -> dict:
    """Return the figures of one world and number of runs."""
    runs = planted.measured(planted.mixtures(count))
    totals = runs.tokens_RK.sum(axis=1)
    asked = planted.mixtures(ASKED)
    asked = asked[(asked.sum(axis=1) > totals.min()) & (asked.sum(axis=1) < totals.max())]
    truth, held = planted.truth(asked), planted.measured(asked)
    began = time.process_time()
    fits = {"auto": mixlaw.fit(runs)}
    seconds = time.process_time() - began
    fits["together"] = fitted_together(runs)
    odd, *rest = planted.world.domains
    laws = {
        name: " and ".join(sorted(curve.law.name for curve in fits["auto"].targets[name].belief.curves))
        for name in planted.world.domains
    }
    found: dict = {"law": laws[odd], "inside": fits["auto"].inside.get(odd, ""), "seconds": round(seconds, 1)}
    found["others"] = [laws[name] for name in rest]
    found["together_law"] = " and ".join(filter(None, sorted([fits["together"].law, fits["together"].alternative])))
    for name in ("auto", "together", *regressors):
        if name in fits:
            predicted = fits[name].predict(asked)
            means = predicted.mean
            if name == "auto":
                inside = (predicted.low <= held.losses_RJ) & (held.losses_RJ <= predicted.high)
                found["covered"] = [float(inside[:, 0].mean()), float(inside[:, 1:].mean())]
        else:
            kind = find(name)
            means = np.column_stack(
                [RegressorLaw.of(kind, runs, t).predictor.predict(asked / 1e6) for t in runs.targets]
            )
        error = np.abs(means - truth) / truth
        found[name] = [float(error[:, 0].mean()), float(error[:, 1:].mean())]
    budget = planted.world.budget(2)
    shares = np.random.default_rng(0).dirichlet(np.ones(K), 5000)
    counted = slice(1, None) if planted.odd == "either" else slice(None)
    best = planted.truth(budget * shares)[:, counted].sum(axis=1).min()
    for name in ("auto", "together"):
        weights = np.array([list(mixlaw.solve(fits[name], budget).weights.values())])
        total = float(planted.truth(budget * weights)[:, counted].sum())
        found[f"regret_{name}"] = max(total / float(best) - 1, 0.0)
    return found


def difference(rows: list[dict], place: int) -> list[float]:
    """Return how much larger the error of `auto` is than that of `together`, in %: mean, 95 % interval, largest."""
    more = 100 * np.array([row["auto"][place] - row["together"][place] for row in rows])
    half = 0.0
    if len(more) > 1:
        half = float(stats.t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more)))
    return [round(float(value), 4) for value in (more.mean(), more.mean() - half, more.mean() + half, more.max())]


def tally(names: list[str]) -> dict[str, int]:
    """Return how often each name occurs."""
    return dict(Counter(names).most_common())


def figures(rows: list[dict], regressors: tuple[str, ...]) -> dict:
    """Return the figures of the worlds of one kind together."""
    error = {
        name: [round(100 * float(np.mean([row[name][i] for row in rows])), 3) for i in range(2)]
        for name in ("auto", "together", *regressors)
    }
    best = min((error[name][0] for name in regressors), default=float("nan"))
    return {
        "worlds": len(rows),
        "error_percent": {name: {"odd": one, "others": others} for name, (one, others) in error.items()},
        "others_more": difference(rows, 1),
        "odd_more": difference(rows, 0),
        "over_best": round(error["auto"][0] / best, 3),
        "covered": [round(float(np.mean([row["covered"][i] for row in rows])), 3) for i in range(2)],
        "regret_percent": {
            name: round(100 * float(np.mean([row[f"regret_{name}"] for row in rows])), 3)
            for name in ("auto", "together")
        },
        "served": tally(
            [f"{row['inside']} inside, {row['law']} beyond" if row["inside"] else row["law"] for row in rows]
        ),
        "others_of": tally([name for row in rows for name in row["others"]]),
        "together_of": tally([row["together_law"] for row in rows]),
        "seconds_of_a_fit": round(float(np.mean([row["seconds"] for row in rows])), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--skip", type=int, default=0, help="worlds left out at the beginning of the split")
    parser.add_argument("--runs", default="24,48")
    parser.add_argument("--odd", default=",".join(ODD))
    parser.add_argument("--regressors", default=",".join(REGRESSORS), help="alone, for comparison; empty for none")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    first, regressors = (
        FIRST_SEED[arguments.split] + arguments.skip,
        tuple(filter(None, arguments.regressors.split(","))),
    )
    written = arguments.out or HERE / f"{arguments.split}_unfollowed.json"
    summary = stamp(arguments.split, f"worlds {first} to {first + arguments.worlds - 1}", CHOSEN_ON) | {"figures": {}}
    # Groups grow together, world by world, so that a run that is ended early has something of each.
    groups: dict[tuple[str, int], list[dict]] = {}
    for seed in range(first, first + arguments.worlds):
        for odd in arguments.odd.split(","):
            for count in map(int, arguments.runs.split(",")):
                rows = groups.setdefault((odd, count), [])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    rows += [one_world(Planted(odd, truth, seed), count, regressors) for truth in TRUTHS[:2]]
                summary["figures"][f"{odd}, {count} runs"] = figures(rows, regressors)
                print(seed, odd, count, json.dumps(summary["figures"][f"{odd}, {count} runs"]), flush=True)
                written.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
