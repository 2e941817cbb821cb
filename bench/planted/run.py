"""Planted laws, every method at equal proxy tokens: mean and 95th percentile of the regret. Writes decide.json.

    python bench/planted/run.py [--draws 3=24,6=8,12=4] [--workers 2]

Worlds that decide.jsonl has are kept, so that a run that was stopped goes on; delete it to begin anew.

K domains; truth `transfer`, `pairwise`, or `misspecified` (saturating data and an interaction of shares, which no law
of the package has); noise sd .001, .004, .016 nats; budgets 10 and 100 times the base mixture. Each method may train at
most as many tokens as the published design of 1 + 4 K runs around n = 660,000 tokens a domain, and as many runs; the
sequential design may have twice as many:

    published        published design, the paper's two-step fit of each curve
    joint            published design, joint fit of `transfer`
    one-shot         D-optimal design, law `auto`
    sequential       batches by the expected regret, law `auto`, until the 95th percentile is below .2 % or all is spent
    sequential half  the same without that end, what it recommends when half of the tokens are spent
    regmix           Dirichlet design, LightGBM on the shares, the best of 20,000 mixtures
    log-linear       Dirichlet design, c + exp(t w), the same search
    equal, natural   no runs

Regret: total loss under the truth at the recommended weights over that at the true optimum, minus 1, in %. Covered: how
often the reported 95th percentile is at least the regret.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from mixlaw.fit.lawtable import FITTERS
from mixlaw.fit.regression import fit_regressor

from mixlaw.api.sequential import THRESHOLD, propose
from mixlaw.core.errors import MixlawError
from mixlaw.core.runtable import RunTable
from mixlaw.design import design_runs, perturbation_design
from mixlaw.design.dirichlet import dirichlet_design
from mixlaw.design.optimal import laws_for, optimal_design
from mixlaw.design.planning import most_runs
from mixlaw.fit import Fit, fit_law
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve import Solution, solve_mixture

N = 660_000
NOISES = (0.001, 0.004, 0.016)
TIMES = (10, 100)
TRUTHS = ("transfer", "pairwise", "misspecified")
Truth = Callable[[np.ndarray], np.ndarray]
Mixtures = list[dict[str, int]]


def plant(kind: str, domains: tuple[str, ...], rng: np.random.Generator) -> Truth:
    """Return (R, K) tokens -> (R, K) losses of a law with random parameters."""
    K = len(domains)
    C, beta, E = rng.uniform(0.3, 1.0, K), rng.uniform(0.08, 0.35, K), rng.uniform(0.4, 1.3, K)
    if kind == "transfer":
        theta = np.column_stack([C, rng.uniform(0.05, 0.5, K), rng.uniform(0.5, 0.95, K), beta, E])

        def transfer(tokens_RK: np.ndarray) -> np.ndarray:
            own = tokens_RK / 1e6
            others = own.sum(axis=1, keepdims=True) - own
            return np.column_stack([transfer_losses(theta[j], own[:, j], others[:, j]) for j in range(K)])

        return transfer
    worth = np.exp(rng.normal(np.log(0.05), 1.0, (K, K)))
    n0, a = rng.uniform(0.01, 0.2, K), rng.uniform(0.5, 1.0, K)
    if kind == "pairwise":
        laws = [Pairwise(domains, name) for name in domains]
        theta = np.array(
            [np.r_[C[j], n0[j], a[j], beta[j], E[j], np.delete(worth[j], j), np.zeros(2 * (K - 1))] for j in range(K)]
        )
        return lambda tokens_RK: np.column_stack([laws[j].predict(theta[j], tokens_RK / 1e6) for j in range(K)])
    np.fill_diagonal(worth, 1.0)
    enough, clash = rng.uniform(50, 500, K), rng.uniform(-0.1, 0.1, K)

    def misspecified(tokens_RK: np.ndarray) -> np.ndarray:
        shares = tokens_RK / tokens_RK.sum(axis=1, keepdims=True)
        data = n0 + (tokens_RK / 1e6) @ worth.T
        return C * (data / (1 + data / enough)) ** -beta + E + clash * shares * (1 - shares)

    return misspecified


def best_loss(truth: Truth, domains: tuple[str, ...], budget: float, near: list[np.ndarray]) -> float:
    """Return the smallest total loss at a budget, from many starts, the recommended weights among them."""
    from scipy.optimize import minimize

    def total(v: np.ndarray) -> float:
        w = np.exp(v - v.max())
        return float(truth(budget * (w / w.sum())[None]).sum())

    rng = np.random.default_rng(0)
    starts = [np.log(np.maximum(w, 1e-7)) for w in near] + [*rng.normal(0, 1, (4, len(domains)))]
    return min(minimize(total, v, method="L-BFGS-B", bounds=[(-20, 20)] * len(v)).fun for v in starts)


class World:
    """One planted truth with its noise and what it costs to look at it."""

    def __init__(self, kind: str, K: int, sd: float, draw: int) -> None:
        self.domains = tuple(f"d{i:02d}" for i in range(K))
        self.rng = np.random.default_rng([20261123, K, TRUTHS.index(kind), draw])
        self.truth = plant(kind, self.domains, self.rng)
        supply = self.rng.dirichlet(np.full(K, 1.5)) + 0.02
        self.available = {d: float(1e12 * s) for d, s in zip(self.domains, supply / supply.sum(), strict=True)}
        self.sd, self.seed = sd, draw
        self.published = [mixture for _, mixture in perturbation_design(self.domains, N)]
        self.limit = float(sum(sum(mixture.values()) for mixture in self.published))

    def measure(self, mixtures: Mixtures) -> RunTable:
        """Train: the truth with noise."""
        tokens = np.array([[m[d] for d in self.domains] for m in mixtures], float)
        losses = self.truth(tokens)
        losses = losses + self.sd * self.rng.standard_normal(losses.shape)
        return RunTable(tuple(f"r{i}" for i in range(len(tokens))), self.domains, self.domains, tokens, losses)

    def solve(self, fit: Fit, times: int) -> Solution:
        """Return the solution at a budget."""
        return solve_mixture(fit, times * N * len(self.domains), available=self.available)

    def optimal(self, runs: int, tokens: float) -> Mixtures:
        """Return a D-optimal design for `transfer`."""
        laws = laws_for("transfer", self.domains, self.domains)
        return [m for _, m in optimal_design(laws, N, runs, self.seed, most_tokens=tokens)]


def weights_of(world: World, solution: Solution) -> np.ndarray:
    """Return the shares in the order of the domains."""
    return np.array([solution.weights[d] for d in world.domains])


Found = dict[tuple[str, int], tuple[np.ndarray, float, float]]
"""(method, times) -> weights, reported 95th percentile of the regret (nats; NaN for none), tokens spent."""


def by_law(world: World, name: str, runs: RunTable, law: str, procedure: str) -> Found:
    """Return what a law fitted to the runs recommends."""
    fit, spent = fit_law(runs, law, procedure), float(runs.totals_R.sum())
    found: Found = {}
    for times in TIMES:
        solution = world.solve(fit, times)
        found[name, times] = (weights_of(world, solution), solution.expected_regret["p95"], spent)
    return found


def sequential(world: World, times: int) -> Found:
    """Return what the sequential design recommends where it stops, and at half of the tokens if it does not stop."""
    domains, K = world.domains, len(world.domains)
    first, _ = design_runs("sequential", world.available, int(times * N * K), base_tokens=N, seed=world.seed)
    runs, half, ended = world.measure([dict(run.tokens) for run in first]), None, None
    while ended is None or half is None:
        fit = fit_law(runs, "auto")
        solution = world.solve(fit, times)
        spent = float(runs.totals_R.sum())
        now = (weights_of(world, solution), solution.expected_regret["p95"], spent)
        if ended is None and solution.expected_regret["p95"] <= THRESHOLD * solution.total_loss:
            ended = now
        left = most_runs(K) - len(runs)
        count, mixtures = min(max(K, 3), left), []
        ask = partial(propose, fit, solution, N, count, available=world.available, threshold=0.0, seed=world.seed)
        ask = partial(ask, runs_left=left)
        if half is None:
            mixtures = ask(most_tokens=0.5 * world.limit - spent).mixtures
            half = None if mixtures else now
        if half is not None and ended is None:
            mixtures = ask(most_tokens=world.limit - spent).mixtures
            ended = None if mixtures else now
        if mixtures:
            new = world.measure(mixtures)
            tokens, losses = np.vstack([runs.tokens_RK, new.tokens_RK]), np.vstack([runs.losses_RJ, new.losses_RJ])
            runs = RunTable(tuple(f"r{i}" for i in range(len(tokens))), domains, runs.targets, tokens, losses)
    return {("sequential", times): ended, ("sequential half", times): half}


def by_search(world: World, runs: RunTable, kind: str) -> np.ndarray:
    """Return the best of many mixtures by a predictor of shares (RegMix, log-linear)."""
    asked = np.random.default_rng(world.seed).dirichlet(np.ones(len(world.domains)), 20_000)
    shares = runs.tokens_RK / runs.totals_R[:, None]
    if kind == "regmix":
        total = np.sum([fit_regressor("gbdt", shares, y).predict(asked) for y in runs.losses_RJ.T], axis=0)
        return asked[np.argsort(total, kind="stable")[:100]].mean(axis=0)  # RegMix averages the best hundred
    fits = FITTERS["exponential"](runs.domains, runs.targets, shares, runs.losses_RJ, 0, 0)
    total = np.sum([fit.law.predict(fit.theta_P, asked) for fit in fits], axis=0)
    return asked[int(np.argmin(total))]


def recommendations(world: World) -> Found:
    """Return what every method recommends; one that fails recommends the equal mixture."""
    K = len(world.domains)
    published = world.measure(world.published)
    prior = {d: world.available[d] / 1e12 for d in world.domains}
    total = world.limit / (4 * K + 1)
    drawn = dirichlet_design(world.domains, (total, total), 4 * K + 1, world.seed, prior=prior)
    dirichlet = world.measure([m for _, m in drawn])
    natural = np.array([prior[d] for d in world.domains])
    found: Found = {}
    for name, action in {
        "published": lambda: by_law(world, "published", published, "transfer", "published"),
        "joint": lambda: by_law(world, "joint", published, "transfer", "joint"),
        "one-shot": lambda: by_law(
            world, "one-shot", world.measure(world.optimal(4 * K + 1, world.limit)), "auto", "joint"
        ),
        "sequential": lambda: sequential(world, TIMES[0]) | sequential(world, TIMES[1]),
        "regmix": lambda: {
            ("regmix", t): (by_search(world, dirichlet, "regmix"), float("nan"), world.limit) for t in TIMES
        },
        "log-linear": lambda: {
            ("log-linear", t): (by_search(world, dirichlet, "log-linear"), float("nan"), world.limit) for t in TIMES
        },
        "equal": lambda: {("equal", t): (np.full(K, 1 / K), float("nan"), 0.0) for t in TIMES},
        "natural": lambda: {("natural", t): (natural / natural.sum(), float("nan"), 0.0) for t in TIMES},
    }.items():
        try:
            found |= action()
        except MixlawError as error:
            print(f"{name}: {error}", flush=True)
            found |= {(name, t): (np.full(K, 1 / K), float("nan"), world.limit) for t in TIMES}
    return found


def one_world(task: tuple[int, str, float, int]) -> list[dict]:
    """Return a row for every method and budget."""
    K, kind, sd, draw = task
    warnings.simplefilter("ignore")
    world = World(kind, K, sd, draw)
    found, rows = recommendations(world), []
    for times in TIMES:
        budget = times * N * K
        names = [name for name, t in found if t == times]
        values = {name: float(world.truth(budget * found[name, times][0][None]).sum()) for name in names}
        lowest = min(
            best_loss(world.truth, world.domains, budget, [found[n, times][0] for n in names]), *values.values()
        )
        for name in names:
            _, p95, spent = found[name, times]
            regret = values[name] - lowest
            rows.append(
                {
                    "K": K,
                    "truth": kind,
                    "sd": sd,
                    "times": times,
                    "draw": draw,
                    "method": name,
                    "regret": 100 * regret / lowest,
                    "covered": None if np.isnan(p95) else bool(regret <= p95 + 1e-9),
                    "share_of_tokens": spent / world.limit,
                }
            )
    return rows


def summary(rows: list[dict]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return cell -> method -> figures."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for key in sorted({(r["K"], r["truth"], r["sd"], r["times"], r["method"]) for r in rows}, key=str):
        cell = [r for r in rows if (r["K"], r["truth"], r["sd"], r["times"], r["method"]) == key]
        regret = np.array([r["regret"] for r in cell])
        covered = [r["covered"] for r in cell if r["covered"] is not None]
        K, kind, sd, times, method = key
        table.setdefault(f"K {K}, {kind}, sd {sd}, {times}x", {})[method] = {
            "draws": len(cell),
            "mean": round(float(regret.mean()), 5),
            "p95": round(float(np.quantile(regret, 0.95)), 5),
            "standard_error": round(float(regret.std() / np.sqrt(len(regret))), 5),
            "covered": round(float(np.mean(covered)), 3) if covered else None,
            "share_of_tokens": round(float(np.mean([r["share_of_tokens"] for r in cell])), 3),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", default="3=24,6=8,12=4")
    parser.add_argument("--truths", default=",".join(TRUTHS))
    parser.add_argument("--noises", default=",".join(map(str, NOISES)))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "decide.json")
    arguments = parser.parse_args()
    counts = {int(k): int(n) for k, n in (part.split("=") for part in arguments.draws.split(","))}
    noises = [float(sd) for sd in arguments.noises.split(",")]
    tasks = [
        (K, kind, sd, draw)
        for draw in range(max(counts.values()))
        for K, count in sorted(counts.items(), reverse=True)
        if draw < count
        for kind in arguments.truths.split(",")
        for sd in noises
    ]
    kept = arguments.out.with_suffix(".jsonl")
    rows: list[dict] = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["K"], row["truth"], row["sd"], row["draw"]) for row in rows}
    left = [task for task in tasks if task not in done]
    table = summary(rows)
    with ProcessPoolExecutor(arguments.workers) as pool:
        for n, result in enumerate(pool.map(one_world, left), 1):
            rows += result
            table = summary(rows)
            kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
            arguments.out.write_text(json.dumps({"worlds": len(done) + n, "regret_percent": table}, indent=1) + "\n")
            print(f"{n} of {len(left)}", flush=True)
    for cell, methods in table.items():
        print(cell, {name: (value["mean"], value["covered"]) for name, value in methods.items()})


if __name__ == "__main__":
    main()
