"""Planted worlds: a truth with random parameters, the noise of a run, and what is asked of a fit.

Truths: `transfer`; `pairwise`; `misspecified` (saturating data and an interaction of shares, which no law of the
package has). What the domains of one world have in common:

    same       all from one narrow distribution: amplitude C .3 to 1, exponent beta .08 to .35, floor E .4 to 1.3
    mild       from a wide one: C .2 to 1.3, beta .05 to .45, E .25 to 2 (uniform in logarithms)
    different  domains of three sorts, each at least once, floors from .1 to 3 nats: nearly saturated (C .03 to .12,
               beta .15 to .5), steep (C .8 to 2, beta .3 to .6), shallow (C .4 to 1.2, beta .04 to .1)

Seeds below 1000 are for tuning: constants of the package may be chosen on them. Seeds from 1000 are for reporting:
nothing was, or may be, chosen on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import mixlaw
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import transfer_losses

N = 660_000
"""Tokens of a domain in the base mixture: those of Li, Liu and Xing 2025."""

TRUTHS = ("transfer", "pairwise", "misspecified")
KINDS = ("same", "mild", "different")
FIRST_SEED = {"tuning": 0, "reporting": 1000}
_SORTS = (((0.03, 0.12), (0.15, 0.5)), ((0.8, 2.0), (0.3, 0.6)), ((0.4, 1.2), (0.04, 0.1)))

Truth = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Setting:
    """What a world is drawn from."""

    kind: str
    truth: str
    K: int
    seed: int

    @property
    def entropy(self) -> list[int]:
        return [20261128, self.K, TRUTHS.index(self.truth), KINDS.index(self.kind), self.seed]


def curves(kind: str, K: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (K,) amplitudes C, exponents beta and floors E."""
    if kind == "same":
        return rng.uniform(0.3, 1.0, K), rng.uniform(0.08, 0.35, K), rng.uniform(0.4, 1.3, K)
    if kind == "mild":
        return _spread(rng, 0.2, 1.3, K), _spread(rng, 0.05, 0.45, K), _spread(rng, 0.25, 2.0, K)
    sorts = rng.permutation(np.r_[np.arange(3), rng.integers(0, 3, max(K - 3, 0))][:K])
    low_2K, high_2K = np.array([_SORTS[s] for s in sorts]).transpose(2, 1, 0)
    C, beta = (_spread(rng, low_2K[part], high_2K[part], K) for part in (0, 1))
    return C, beta, _spread(rng, 0.1, 3.0, K)


def _spread(rng: np.random.Generator, low: np.ndarray | float, high: np.ndarray | float, count: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def plant(setting: Setting, domains: tuple[str, ...], rng: np.random.Generator) -> Truth:
    """Return (R, K) tokens -> (R, K) losses of a law with random parameters."""
    K = len(domains)
    C, beta, E = curves(setting.kind, K, rng)
    if setting.truth == "transfer":
        theta = np.column_stack([C, rng.uniform(0.05, 0.5, K), rng.uniform(0.5, 0.95, K), beta, E])

        def transfer(tokens_RK: np.ndarray) -> np.ndarray:
            own = tokens_RK / 1e6
            others = own.sum(axis=1, keepdims=True) - own
            return np.column_stack([transfer_losses(theta[j], own[:, j], others[:, j]) for j in range(K)])

        return transfer
    worth = np.exp(rng.normal(np.log(0.05), 1.0, (K, K)))
    n0, a = rng.uniform(0.01, 0.2, K), rng.uniform(0.5, 1.0, K)
    if setting.truth == "pairwise":
        laws = [Pairwise(domains, name) for name in domains]
        theta = np.array(
            [np.r_[C[j], n0[j], a[j], beta[j], E[j], np.delete(worth[j], j), np.zeros(2 * (K - 1))] for j in range(K)]
        )
        return lambda tokens_RK: np.column_stack([laws[j].predict(theta[j], tokens_RK / 1e6) for j in range(K)])
    np.fill_diagonal(worth, 1.0)
    enough, clash = rng.uniform(50, 500, K), C * rng.uniform(-0.15, 0.15, K)

    def misspecified(tokens_RK: np.ndarray) -> np.ndarray:
        shares = tokens_RK / tokens_RK.sum(axis=1, keepdims=True)
        data = n0 + (tokens_RK / 1e6) @ worth.T
        return C * (data / (1 + data / enough)) ** -beta + E + clash * shares * (1 - shares)

    return misspecified


class World:
    """One planted truth, the noise of its runs, and what a recommendation is worth there."""

    def __init__(self, setting: Setting, sd: float) -> None:
        self.setting, self.sd = setting, sd
        self.domains = tuple(f"d{i:02d}" for i in range(setting.K))
        rng = np.random.default_rng(setting.entropy)
        self.truth = plant(setting, self.domains, rng)
        supply = rng.dirichlet(np.full(setting.K, 1.5)) + 0.02
        self.available = {d: int(1e12 * s) for d, s in zip(self.domains, supply / supply.sum(), strict=True)}

    @property
    def natural(self) -> np.ndarray:
        """The (K,) shares of the natural mixture."""
        supply = np.array(list(self.available.values()))
        return supply / supply.sum()

    def budget(self, times: int) -> int:
        """Return the tokens of so many base mixtures."""
        return times * N * len(self.domains)

    def measure(self, mixtures: Sequence[Mapping[str, float]], part: int = 0) -> mixlaw.RunTable:
        """Train: the truth with noise; a part (batch) of a design has its own noise."""
        tokens = np.array([[mixture[d] for d in self.domains] for mixture in mixtures], float)
        noise = np.random.default_rng([*self.setting.entropy, 1 + part]).standard_normal(tokens.shape)
        names = tuple(f"r{part}-{i}" for i in range(len(tokens)))
        return mixlaw.RunTable(names, self.domains, self.domains, tokens, self.truth(tokens) + self.sd * noise)

    def total(self, shares_K: np.ndarray, times: int) -> float:
        """Return the total loss of a mixture at a budget, nats."""
        return float(self.truth(self.budget(times) * shares_K[None]).sum())

    def lowest(self, times: int, near: Sequence[np.ndarray]) -> float:
        """Return the smallest total loss at a budget, from many starts, the given mixtures among them."""
        from scipy.optimize import minimize

        def total(v: np.ndarray) -> float:
            w = np.exp(v - v.max())
            return self.total(w / w.sum(), times)

        starts = [np.log(np.maximum(w, 1e-7)) for w in near]
        starts += [*np.random.default_rng(0).normal(0, 1, (4, len(self.domains)))]
        found = [minimize(total, v, method="L-BFGS-B", bounds=[(-20, 20)] * len(v)).fun for v in starts]
        return min([*found, *(self.total(w, times) for w in near)])

    def asked(self, times: int) -> np.ndarray:
        """Return (8, K) tokens of mixtures at a budget of which intervals are asked; never trained."""
        shares = np.random.default_rng([*self.setting.entropy, 0]).dirichlet(np.full(len(self.domains), 2.0), 8)
        return self.budget(times) * shares

    def covered(self, low_RJ: np.ndarray, high_RJ: np.ndarray, tokens_RK: np.ndarray) -> float:
        """Return the share of one new noisy run of each mixture that lies within its interval."""
        noise = np.random.default_rng([*self.setting.entropy, 10**6]).standard_normal(low_RJ.shape)
        measured = self.truth(tokens_RK) + self.sd * noise
        return float(((measured >= low_RJ) & (measured <= high_RJ)).mean())


@dataclass(frozen=True)
class Answer:
    """What a fit says at one budget: shares, the 95th percentile of the regret (nats), intervals of new runs."""

    shares_K: np.ndarray
    regret_p95: float = float("nan")
    intervals_cover: float = float("nan")


def answer(world: World, fit: mixlaw.Fit, times: int) -> Answer:
    """Ask a fit, through the package's public verbs and nothing else."""
    solution = mixlaw.solve(fit, world.budget(times), available=world.available)
    shares = np.array([solution.weights[d] for d in world.domains])
    tokens = world.asked(times)
    predicted = mixlaw.predict(fit, tokens)
    return Answer(shares, solution.expected_regret["p95"], world.covered(predicted.low, predicted.high, tokens))


def judge(world: World, times: int, answers: Mapping[str, Answer]) -> dict[str, dict]:
    """Return name -> regret (% of the lowest total loss), whether the 95th percentile holds it, intervals' coverage."""
    lowest = world.lowest(times, [one.shares_K for one in answers.values()])
    rows = {}
    for name, one in answers.items():
        regret = world.total(one.shares_K, times) - lowest
        rows[name] = {
            "regret_percent": round(100 * regret / lowest, 6),
            "covered": None if np.isnan(one.regret_p95) else bool(regret <= one.regret_p95 + 1e-9),
            "p95_percent": None if np.isnan(one.regret_p95) else round(100 * one.regret_p95 / lowest, 6),
            "intervals": None if np.isnan(one.intervals_cover) else round(one.intervals_cover, 4),
        }
    return rows
