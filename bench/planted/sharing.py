"""What targets should tell each other: variants of sharing, on the same draws of the same fits. Writes sharing.jsonl.

    python -m bench.planted.sharing [--what sharing|rounds] [--seeds 0:12] [--K 3,6] [--workers 1]

Tuning worlds only. `sharing`: the default design, law `auto`; each target's draws are made once and weighted in several
ways. `rounds`: law `pairwise` with and without what its priors learn from all targets, fitted anew. Rows are appended
as they come; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
from bench.planted.worlds import KINDS, Answer, N, Setting, World, answer, judge
from scipy.special import gammaln, logsumexp

import mixlaw
from mixlaw.core.errors import MixlawError
from mixlaw.design import design_runs
from mixlaw.fit import fitting, joint, pairwise, pairwise_rounds, sharing
from mixlaw.fit.crossvalidation import CrossValidation

HERE = Path(__file__).parent
NOISES = (0.004, 0.016)
TIMES = (10, 100)
Shared = Callable[..., dict]


@dataclass(frozen=True)
class Way:
    """A way to weight draws: constants of `mixlaw.fit.sharing`, and what may keep a target's draws as they are."""

    spread: float = 0.35
    believed: float = 2.0
    degrees: float = 4.0
    only_pairwise: bool = False
    guard: str = "none"
    """`mixture`: half of the prior is the target's own. `evidence`: as they are unless held-out targets are likelier by
    what the others say; `each`: target by target; `averaged`: with the probability that this evidence gives."""


WAYS = {
    "off": None,
    "as it was": Way(),
    "evidence": Way(guard="evidence"),
    "pairwise only": Way(only_pairwise=True),
    "pairwise only, evidence": Way(guard="evidence", only_pairwise=True),
}


def log_ratio(way: Way, z_SM: np.ndarray, own_S: np.ndarray, mu_M: np.ndarray, tau_M: np.ndarray) -> np.ndarray:
    """Return (S,) log densities of the common distribution over the target's own prior, both normalised."""
    v = way.degrees
    constant = gammaln((v + 1) / 2) - gammaln(v / 2) - 0.5 * np.log(v * np.pi) - np.log(tau_M)
    return (constant - 0.5 * (v + 1) * np.log1p(((z_SM - mu_M) / tau_M) ** 2 / v)).sum(axis=1) - own_S


def learn(way: Way, z_JSM: list[np.ndarray], own_JS: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the common centre and spread, by expectation-maximisation."""
    mu_M, tau_M = np.mean([z.mean(axis=0) for z in z_JSM], axis=0), np.full(z_JSM[0].shape[1], way.spread)
    for _ in range(50):
        near_M, first_M, second_M, count = 0.0, 0.0, 0.0, 0.0
        for z_SM, own_S in zip(z_JSM, own_JS, strict=True):
            ratio = log_ratio(way, z_SM, own_S, mu_M, tau_M)
            weights = np.exp(flattened(way, ratio))
            if way.guard == "mixture":
                weights = weights / (1 + np.exp(-np.clip(ratio, -50, 50)))
            near = (way.degrees + 1) / (way.degrees + ((z_SM - mu_M) / tau_M) ** 2)
            near_M, first_M = near_M + weights @ near, first_M + weights @ (near * z_SM)
            second_M, count = second_M + weights @ (near * (z_SM - mu_M) ** 2), count + weights.sum()
        mu_M = first_M / near_M
        tau_M = np.sqrt((second_M + way.believed * way.spread**2) / (count + way.believed))
    return mu_M, tau_M


def flattened(way: Way, ratio_S: np.ndarray) -> np.ndarray:
    """Return log weights of the draws."""
    return sharing._flattened(np.logaddexp(ratio_S, 0.0) if way.guard == "mixture" else ratio_S)


def weighted(way: Way | None, targets: Mapping, losses_J: np.ndarray, beta_prior: tuple | None, draws: int) -> dict:
    """Return the targets with their draws taken in one way; arguments as in `mixlaw.fit.sharing.shared`."""
    equal = {name: np.zeros(sharing._count(fitted)) for name, fitted in targets.items()}
    if way is None or (way.only_pairwise and beta_prior is not None):
        return {name: sharing._taken(fitted, equal[name], draws) for name, fitted in targets.items()}
    names = list(targets)
    z_JSM, own_JS = coordinates(targets, losses_J, beta_prior)
    told_J = (
        evidence(way, z_JSM, own_JS) if way.guard in ("evidence", "each", "averaged") else np.full(len(names), np.inf)
    )
    if way.guard != "each":
        told_J = np.full(len(names), told_J.sum())
    mu_M, tau_M = learn(way, z_JSM, own_JS)
    taken = {}
    for name, z, own, told in zip(names, z_JSM, own_JS, told_J, strict=True):
        weights = flattened(way, log_ratio(way, z, own, mu_M, tau_M))
        if way.guard == "averaged":
            weights = np.logaddexp(-np.logaddexp(0, -told) + weights, -np.logaddexp(0, told) - np.log(len(z)))
        elif told <= 0:
            weights = equal[name]
        taken[name] = sharing._taken(targets[name], weights, draws)
    return taken


def coordinates(
    targets: Mapping, losses_J: np.ndarray, beta_prior: tuple | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each target's shared coordinates and their log density under its own prior, normalised."""
    z_JSM = [sharing._coordinates(fitted, losses_J[j], beta_prior) for j, fitted in enumerate(targets.values())]
    # E is uniform from 0 to the mean loss, log beta is normal.
    beta = 0.0 if beta_prior is None else np.log(beta_prior[1] * np.sqrt(2 * np.pi))
    own_JS = [sharing._log_prior(z, beta_prior) - np.log(loss) - beta for z, loss in zip(z_JSM, losses_J, strict=True)]
    return z_JSM, own_JS


def evidence(way: Way, z_JSM: list[np.ndarray], own_JS: list[np.ndarray]) -> np.ndarray:
    """Return (J,) logs of how much more probable a target's runs are by what the others say than by its own prior."""
    told_J = np.zeros(len(z_JSM))
    for j, (z, own) in enumerate(zip(z_JSM, own_JS, strict=True)):
        others = [k for k in range(len(z_JSM)) if k != j]
        centre = learn(way, [z_JSM[k] for k in others], [own_JS[k] for k in others])
        told_J[j] = logsumexp(log_ratio(way, z, own, *centre)) - np.log(len(z))
    return told_J


def default_runs(world: World) -> mixlaw.RunTable:
    """Return the runs of the default design."""
    planned, _ = design_runs("auto", world.available, world.budget(100), base_tokens=N, seed=world.setting.seed)
    return world.measure([dict(run.tokens) for run in planned])


def by_sharing(world: World) -> tuple[dict[str, mixlaw.Fit], dict]:
    """Return the fits of all ways, from the same draws, and what the targets' evidence is."""
    asked: list[tuple] = []

    def noted(*arguments: object) -> dict:
        asked.append(arguments)
        return sharing.shared(*arguments)  # type: ignore[arg-type]

    # What a fit says of its held-out errors and of its rank takes half of its time and moves no draw.
    nothing = CrossValidation(np.nan, np.nan, np.nan)
    with (
        mock.patch.object(fitting, "shared", noted),
        mock.patch.object(joint, "cross_validate", lambda *_: nothing),
        mock.patch.object(fitting, "require_identifiable", lambda *_: None),
    ):
        fit = mixlaw.fit(default_runs(world))
    fits = {}
    for name, way in WAYS.items():
        one, *other = [weighted(way, *arguments) for arguments in asked]
        rival = replace(fit.rival, targets=other[0], _predictors={}) if fit.rival else None
        fits[name] = replace(fit, targets=one, rival=rival, _predictors={})
    told = [evidence(Way(), *coordinates(*arguments[:3])).round(3).tolist() for arguments in asked]
    return fits, {"laws": [fit.law, fit.rival.law if fit.rival else None], "evidence": told}


FIXED = ("common", "spread", "hierarchy", "tell")
ROUNDS = {
    "as it was": (),
    "common fixed": ("common",),
    "coefficients alone": ("hierarchy", "tell"),
    "all fixed": FIXED,
    "beta .12, .6, .5": ("beta .12, .6, .5",),
    "beta .1, .4, .4": ("beta .1, .4, .4",),
    "all fixed, once": (*FIXED, "once"),
    "all fixed, beta .1, .4, .4": (*FIXED, "beta .1, .4, .4"),
    "all fixed, beta .12, .6, .5": (*FIXED, "beta .12, .6, .5"),
}
"""Name -> what is not learnt; without `tell` a target's coefficients have no other target's in their prior."""

ASKED = ("as it was", "all fixed", "all fixed, once", "all fixed, beta .1, .4, .4", "all fixed, beta .12, .6, .5")
"""The last comparison; the others were made before."""


@contextmanager
def learning(off: Sequence[str]) -> Iterator[None]:
    """Fit `pairwise` without some of what it learns, or with another prior of beta, inside the block."""
    homes = {
        "common": (pairwise_rounds, "_learn_common"),
        "spread": (pairwise_rounds, "_learn_spread"),
        "hierarchy": (pairwise_rounds.Hierarchy, "learn"),
        "tell": (pairwise_rounds.Hierarchy, "tell"),
    }
    pairwise._fit_once.cache_clear()
    with ExitStack() as stack:
        for part in off:
            if part in homes:
                stack.enter_context(mock.patch.object(*homes[part], lambda *_: None))
            elif part == "once":
                stack.enter_context(mock.patch.object(pairwise_rounds, "_ROUNDS", 1))
            else:
                centre, sd, spread = map(float, part.removeprefix("beta").split(","))
                beta = {pairwise_rounds.LOG_BETA: (np.log(centre), sd, spread)}
                stack.enter_context(mock.patch.dict(pairwise_rounds._COMMON, beta))
        yield
    pairwise._fit_once.cache_clear()


def by_rounds(world: World) -> tuple[dict[str, mixlaw.Fit], dict]:
    """Return the fits of `pairwise` with parts of what its priors learn, without sharing of draws."""
    runs, fits = default_runs(world), {}
    for name in ASKED:
        off = ROUNDS[name]
        with learning(off), mock.patch.object(fitting, "shared", lambda *a: weighted(None, *a)):
            fits[name] = mixlaw.fit(runs, law="pairwise")
    return fits, {}


def drawn(fit: mixlaw.Fit) -> bytes:
    """Return the draws of a fit and its rival: ways that take the same ones are asked once."""
    hedged = [fit, *([fit.rival] if fit.rival else [])]
    return b"".join(v.tobytes() for f in hedged for t in f.targets.values() for v in t.draws.values())


def one(task: tuple[str, str, str, int, int, float]) -> list[dict]:
    """Return a row for every way and budget of one world."""
    what, kind, truth, K, seed, sd = task
    warnings.simplefilter("ignore")
    world = World(Setting(kind, truth, K, seed), sd)
    key = {"what": what, "kind": kind, "truth": truth, "K": K, "seed": seed, "sd": sd}
    try:
        fits, facts = (by_sharing if what == "sharing" else by_rounds)(world)
    except MixlawError as error:
        return [{**key, "error": str(error)}]
    rows = []
    for times in TIMES:
        answers: dict[str, Answer] = {}
        asked: dict[bytes, Answer] = {}
        for name, fit in fits.items():
            known = drawn(fit)
            asked[known] = answers[name] = asked[known] if known in asked else answer(world, fit, times)
        answers["equal"] = Answer(np.full(K, 1 / K))
        rows += [
            {**key, **facts, "times": times, "way": name, **row} for name, row in judge(world, times, answers).items()
        ]
    return rows


def show(rows: list[dict]) -> None:
    """Print means over worlds: by kind, and by kind, truth, size and noise."""
    rows = [row for row in rows if "error" not in row]
    for keys in (("kind",), ("kind", "truth"), ("kind", "K"), ("kind", "sd"), ("kind", "times")):
        for cell in sorted({tuple(row[k] for k in keys) for row in rows}, key=str):
            for way in dict.fromkeys(row["way"] for row in rows):
                here = [r for r in rows if r["way"] == way and tuple(r[k] for k in keys) == cell]
                told = [r for r in here if r["covered"] is not None]
                base = {
                    tuple(r[k] for k in ("kind", "truth", "K", "seed", "sd", "times")): r["regret_percent"]
                    for r in rows
                    if r["way"] in ("off", "all fixed") and tuple(r[k] for k in keys) == cell
                }
                regret = np.array([r["regret_percent"] for r in here])
                gain = regret - [base[tuple(r[k] for k in ("kind", "truth", "K", "seed", "sd", "times"))] for r in here]
                said = f"n {len(here):4}  regret {regret.mean():.4f}  minus first {gain.mean():+.4f} +- "
                said += f"{gain.std() / np.sqrt(len(gain)):.4f}"
                if told:
                    said += f"  p95 covers {np.mean([r['covered'] for r in told]):.3f}"
                    said += f"  p95 {np.mean([r['p95_percent'] for r in told]):.3f}"
                    said += f"  intervals {np.mean([r['intervals'] for r in told]):.3f}"
                print(f"{' '.join(map(str, cell)):20} {way:28} {said}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", default="sharing", choices=("sharing", "rounds"))
    parser.add_argument("--seeds", default="0:12")
    parser.add_argument("--K", default="3,6")
    parser.add_argument("--truths", default="")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    kept = HERE / f"{arguments.what}.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if arguments.show:
        return show(rows)
    first, last = map(int, arguments.seeds.split(":"))
    if last > 1000:
        parser.error("Seeds from 1000 are for reporting.")
    done = {tuple(row[k] for k in ("what", "kind", "truth", "K", "seed", "sd")) for row in rows}
    usual = "transfer,pairwise" if arguments.what == "sharing" else "pairwise"
    truths = (arguments.truths or usual).split(",")
    places = itertools.product(range(first, last), map(int, arguments.K.split(",")), truths, NOISES, KINDS)
    tasks = [(arguments.what, kind, truth, K, seed, sd) for seed, K, truth, sd, kind in places]
    with ProcessPoolExecutor(arguments.workers) as pool, kept.open("a") as file:
        for n, found in enumerate(pool.map(one, [task for task in tasks if task not in done]), 1):
            file.write("".join(json.dumps(row) + "\n" for row in found))
            file.flush()
            print(n, flush=True)


if __name__ == "__main__":
    main()
