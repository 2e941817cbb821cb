"""Optimal exact designs for a law: the runs that determine its parameters, or its predictions, best.

    d_optimal    maximises   sum over targets of the mean over draws of log det M
    g_optimal    minimises   mean over draws of the log of the largest variance of a loss, over targets and mixtures

with M the information of `mixlaw.design.information`, priors and finished runs included. Both spend at most a given
number of tokens: without that limit every run would be as large as the data allow.

The search is over the candidates of `mixlaw.design.candidates`. Runs are added one by one, each with the largest gain
less a price on its tokens, the smallest price with which the runs stay within the limit; then each run in turn is
exchanged for the best candidate that the limit allows, until no exchange helps. A G-optimal design starts from the
D-optimal one. No mixture is chosen twice.

Source: Fedorov 1972, Theory of Optimal Experiments, chapter 3; the exchange run by run is Cook, Nachtsheim 1980,
Technometrics 22:315-324 (modified Fedorov); criteria averaged over a prior: Chaloner, Verdinelli 1995, Statist. Sci.
10:273-304; Atkinson, Donev 1992, Optimum Experimental Designs, chapters 10, 11 and 15.
Differs: the limit on tokens. Fedorov exchanges the best pair of all; run by run costs a fraction of it.

Shape letters: S draws, R runs, N candidates, K domains, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens
from mixlaw.design.candidates import candidate_tokens
from mixlaw.design.information import NOISE_NATS, Posterior, information, known, prior_draws
from mixlaw.design.ranges import by_name, named_runs
from mixlaw.laws import find
from mixlaw.laws.base import Law

Runs = Sequence[Mapping[str, float]]
"""Finished runs: domain -> tokens; a domain left out has none."""

MILLION = 1e6
_DRAWS = 16
_CANDIDATES = 800
_MOST_NUMBERS = 2e7
"""Floats of all factors together, 160 MB; draws are fewer where laws have many parameters."""

_PASSES = 12
_LITTLE = 0.02
"""A pass that lowers the log of the largest variance by less is the last."""

_TRIES = 2
"""Attempts to exchange a run for one with a smaller largest variance, before the next run is looked at."""

_PRICES = 10


@dataclass(frozen=True)
class Choice:
    """What an optimal design chooses among.

    Attributes:
        names: K domains, sorted.
        tokens_NK: whole tokens of the candidates.
        laws: one a target.
        draws: parameters of each law, (S, P), in units of `unit`.
        unit: tokens of a typical run.
        factors: of each law, (S, N, P); see `mixlaw.design.information.information`.
        known: of each law, (S, P, P): what prior and finished runs tell.
    """

    names: list[str]
    tokens_NK: np.ndarray
    laws: Sequence[Law]
    draws: list[np.ndarray]
    unit: float
    factors: list[np.ndarray]
    known: list[np.ndarray]

    @staticmethod
    def of(
        laws: Sequence[Law],
        base_tokens: float,
        *,
        seed: int = 0,
        caps: Mapping[str, float] | None = None,
        domains: Sequence[str] | None = None,
        draws: Sequence[np.ndarray] | None = None,
        done: Runs = (),
        noise_nats: float = NOISE_NATS,
        candidates: Runs | None = None,
    ) -> Choice:
        """Return the candidates and what is known before them.

        Args:
            laws, base_tokens, seed, caps, draws, done, noise_nats: see `optimal_design`.
            domains: that candidates have tokens of; None: all of the laws'.
            candidates: the mixtures to choose from; None: those of `mixlaw.design.candidates`.
        """
        caps, domains = caps or {}, laws[0].domains if domains is None else domains
        names, most = by_name(domains, [caps.get(name, np.inf) for name in domains])
        unit = float(base_tokens) * len(names)
        if candidates is None:
            tokens = candidate_tokens(base_tokens, most, _CANDIDATES, seed)
        else:
            tokens = np.array([[run.get(name, 0) for name in names] for run in candidates], float)
        parameters = sum(len(law.parameters) for law in laws)
        size = int(np.clip(_MOST_NUMBERS / parameters / len(tokens), 2, _DRAWS))
        if draws is None:
            thetas = [prior_draws(law, size, seed) for law in laws]
        else:
            few = np.linspace(0, len(draws[0]) - 1, min(size, len(draws[0]))).astype(int)
            thetas = [law.rescale(theta[few], MILLION / unit) for law, theta in zip(laws, draws, strict=True)]
        asked = [dict(zip(names, row, strict=True)) for row in tokens.tolist()]
        choice = Choice(names, tokens, laws, thetas, unit, [], [])
        for law, theta in zip(laws, thetas, strict=True):
            finished = information(law, theta, choice.in_units(law, done), noise_nats)
            choice.factors.append(information(law, theta, choice.in_units(law, asked), noise_nats))
            choice.known.append(known(law, finished))
        return choice

    def in_units(self, law: Law, runs: Runs) -> np.ndarray:
        """Return the tokens of runs as a law takes them, (R, K)."""
        tokens = np.array([[run.get(domain, 0) for domain in law.domains] for run in runs], float)
        return tokens.reshape(-1, len(law.domains)) / self.unit

    @property
    def shares(self) -> list[float]:
        """How much each law counts: two laws of one target, of which either may hold, half each."""
        targets = [law.target for law in self.laws]
        return [1 / targets.count(target) for target in targets]

    def posteriors(self) -> list[Posterior]:
        """Return what is known of each law, without any candidate run."""
        return [Posterior(factors, known) for factors, known in zip(self.factors, self.known, strict=True)]


def laws_for(name: str, domains: Sequence[str], targets: Sequence[str]) -> list[Law]:
    """Return a law of each target; `auto` is `transfer`. Raise DesignError for one without an equation."""
    kind = find("transfer" if name == "auto" else name)
    if kind.law is None:
        raise DesignError(f"'{kind.name}' has no parameters that runs could determine.", "Name a law with an equation.")
    return [kind.law(tuple(domains), target) for target in targets]


def optimal_design(
    laws: Sequence[Law],
    base_tokens: int,
    runs: int,
    seed: int = 0,
    caps: Mapping[str, float] | None = None,
    *,
    criterion: Literal["D", "G"] = "D",
    draws: Sequence[np.ndarray] | None = None,
    done: Runs = (),
    most_tokens: float = np.inf,
    noise_nats: float = NOISE_NATS,
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures as (name, {domain: tokens}), the nearest to the base mixture first.

    Args:
        laws: one a target, all of the same domains.
        base_tokens: n, the middle of every domain's range (in logarithms).
        runs: how many new ones.
        seed: of candidates and draws.
        caps: domain -> most tokens of it (those there are); a domain left out has no cap.
        criterion: `D` for the parameters, `G` for the predictions.
        draws: of each law's parameters, (S, P), tokens in millions, the same number for each; at most 16 evenly
            spaced ones are used. None: from its priors.
        done: runs that exist; the new ones add to what they tell.
        most_tokens: of all new runs together.
        noise_nats: standard deviation of a measured loss.

    Raises:
        DesignError: too few tokens for that many runs, or fewer candidates than runs.
    """
    choice = Choice.of(laws, base_tokens, seed=seed, caps=caps, draws=draws, done=done, noise_nats=noise_nats)
    cost_N = choice.tokens_NK.sum(axis=1).astype(float)
    if runs > len(cost_N):
        raise DesignError(
            f"plan.runs is {runs}; the data hold only {len(cost_N)} mixtures to choose from.",
            f"Lower plan.runs to {len(cost_N)}, or raise plan.base_tokens.",
        )
    if (least := np.sort(cost_N)[:runs].sum()) > most_tokens:
        raise DesignError(
            f"{runs} runs take at least {format_tokens(least)} tokens; plan.proxy_tokens allows "
            f"{format_tokens(most_tokens)}.",
            "Raise plan.proxy_tokens, or lower plan.runs or plan.base_tokens.",
        )
    posteriors = choice.posteriors()
    chosen = _greedy(posteriors, runs, cost_N, most_tokens)
    chosen = _exchange(posteriors, chosen, cost_N, most_tokens)
    if criterion == "G":
        chosen = _less_variance(posteriors, chosen, cost_N, most_tokens)
    away = np.abs(np.log(choice.tokens_NK[chosen] / choice.tokens_NK[0])).sum(axis=1)
    order = np.array(chosen)[np.lexsort((chosen, np.round(away, 9)))]
    return named_runs("optimal", laws[0].domains, choice.names, choice.tokens_NK[order], base=False)


def _greedy(posteriors: Sequence[Posterior], runs: int, cost_N: np.ndarray, most_tokens: float) -> list[int]:
    """Return runs chosen one by one, with the smallest price a token that keeps them within the limit."""

    def at(price: float) -> list[int]:
        for posterior in posteriors:
            posterior.restart(())
        chosen: list[int] = []
        for _ in range(runs):
            value = _gain(posteriors) - price * cost_N
            value[chosen] = -np.inf
            chosen.append(int(np.argmax(value)))
            _add(posteriors, chosen[-1])
        return chosen

    chosen = at(0.0)
    if cost_N[chosen].sum() <= most_tokens:
        return chosen
    low, high = 0.0, 1.0 / float(cost_N.mean())
    while cost_N[chosen := at(high)].sum() > most_tokens:
        if high > 1e12:
            return [int(n) for n in np.argsort(cost_N, kind="stable")[:runs]]
        low, high = high, 4 * high
    best = chosen
    for _ in range(_PRICES):
        middle = (low + high) / 2
        if cost_N[chosen := at(middle)].sum() > most_tokens:
            low = middle
        else:
            high, best = middle, chosen
            if cost_N[chosen].sum() > 0.98 * most_tokens:
                break
    return best


def _less_variance(
    posteriors: Sequence[Posterior], chosen: list[int], cost_N: np.ndarray, most_tokens: float
) -> list[int]:
    """Return runs with a smaller largest variance of a loss: exchanges, each of which lowers it.

    An exchange is judged at the few mixtures where the variance has been the largest so far, then everywhere; where it
    fails there, the mixture at which it failed joins the few.
    """
    chosen = list(chosen)
    for _ in range(_PASSES):
        for posterior in posteriors:
            posterior.restart(chosen)
        places = [np.zeros(0, int)] * len(posteriors)
        least = began = largest_variance(posteriors)
        for r, now in enumerate(chosen):
            allowed = _allowed(chosen, r, cost_N, most_tokens)
            for _ in range(_TRIES):
                places = _with_largest(posteriors, places)
                _add(posteriors, now, -1)
                after = [p.leverage_after(at) for p, at in zip(posteriors, places, strict=True)]
                worst = np.log(np.max(after, axis=0)).mean(axis=0)
                best = int(np.argmin(np.where(allowed, worst, np.inf)))
                _add(posteriors, best)
                largest = largest_variance(posteriors)
                if largest < least - 1e-6:
                    chosen[r], least = best, largest
                    break
                places = _with_largest(posteriors, places)
                _add(posteriors, best, -1)
                _add(posteriors, now)
        if least > began - _LITTLE:
            break
    return chosen


def _with_largest(posteriors: Sequence[Posterior], places: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the places of each law with those where the variance is the largest now, one a draw."""
    return [np.union1d(at, p.leverage_SN.argmax(axis=1)) for p, at in zip(posteriors, places, strict=True)]


def largest_variance(posteriors: Sequence[Posterior]) -> float:
    """Return the mean over draws of the log of the largest variance of a loss, in units of the noise variance."""
    return float(np.log(np.max([p.leverage_SN.max(axis=1) for p in posteriors], axis=0)).mean())


def _exchange(posteriors: Sequence[Posterior], chosen: list[int], cost_N: np.ndarray, most_tokens: float) -> list[int]:
    """Return runs of which none can be exchanged for one that tells more."""
    chosen = list(chosen)
    for _ in range(_PASSES):
        for posterior in posteriors:
            posterior.restart(chosen)
        moved = False
        for r, now in enumerate(chosen):
            _add(posteriors, now, -1)
            gain = _gain(posteriors)
            best = int(np.argmax(np.where(_allowed(chosen, r, cost_N, most_tokens), gain, -np.inf)))
            # Ties keep the run, so that rounding cannot exchange two runs for ever.
            if gain[best] > gain[now] + 1e-9 * (1 + abs(gain[now])):
                chosen[r], moved = best, True
            _add(posteriors, chosen[r])
        if not moved:
            break
    return chosen


def _gain(posteriors: Sequence[Posterior]) -> np.ndarray:
    return np.sum([posterior.gain() for posterior in posteriors], axis=0)


def _add(posteriors: Sequence[Posterior], n: int, times: int = 1) -> None:
    for posterior in posteriors:
        posterior.add(n, times)


def _allowed(chosen: list[int], r: int, cost_N: np.ndarray, most_tokens: float) -> np.ndarray:
    """Return (N,) which candidates may replace the r-th run: itself, and others that are not chosen and affordable."""
    others = chosen[:r] + chosen[r + 1 :]
    allowed = cost_N <= most_tokens - cost_N[others].sum()
    allowed[others] = False
    allowed[chosen[r]] = True
    return allowed
