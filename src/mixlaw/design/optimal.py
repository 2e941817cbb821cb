"""Optimal exact designs for a law: the runs that determine its parameters, or its predictions, best.

    d_optimal    maximises   sum over targets of the mean over draws of log det M
    g_optimal    minimises   mean over draws of the log of the largest variance of a loss, over targets and mixtures

with M the information of `mixlaw.design.information`, priors and finished runs included. Two laws of one target, of
which either may hold, count half each: in a G-optimal design by the mean log of their largest variances. Both spend at
most a given number of tokens: without that limit every run would be as large as the data allow.

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

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens
from mixlaw.design.knowledge import Choice, Knowledge
from mixlaw.design.posterior import Posteriors
from mixlaw.design.ranges import named_runs

_PASSES = 12
"""How often each run in turn may be exchanged. Most searches end sooner. No data."""

_LEAST_IMPROVEMENT = 0.02
"""The search ends after a pass that lowers the logarithm of the largest variance by less than this. No data."""

_EXCHANGE_ATTEMPTS = 2
"""Attempts to exchange a run for one with a smaller largest variance, before the next. No data."""

_PRICE_STEPS = 10
"""Halvings of the range in which the price of a token lies. No data."""

_SPENT_ENOUGH = 0.98
"""The search for the price ends where this share of the tokens is spent. No data."""


def optimal_design(
    knowledge: Knowledge,
    runs: int,
    caps: Mapping[str, float] | None = None,
    *,
    criterion: Literal["D", "G"] = "D",
    most_tokens: float = np.inf,
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures as (name, {domain: tokens}), the nearest to the base mixture first.

    Args:
        knowledge: the laws, what is believed of them, and the runs that exist.
        runs: how many new ones.
        caps: domain -> most tokens of it (those there are); a domain left out has no cap.
        criterion: `D` for the parameters, `G` for the predictions.
        most_tokens: of all new runs together.

    Raises:
        DesignError: too few tokens for that many runs, or fewer candidates than runs.
    """
    choice = Choice.of(knowledge, caps)
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
        chosen = _lower_variance(posteriors, chosen, cost_N, most_tokens)
    away = np.abs(np.log(choice.tokens_NK[chosen] / choice.tokens_NK[0])).sum(axis=1)
    order = np.array(chosen)[np.lexsort((chosen, np.round(away, 9)))]
    return named_runs("optimal", knowledge.laws[0].domains, choice.names, choice.tokens_NK[order], base=False)


def _greedy(posteriors: Posteriors, runs: int, cost_N: np.ndarray, most_tokens: float) -> list[int]:
    """Return runs chosen one by one, with the smallest price a token that keeps them within the limit."""

    def at(price: float) -> list[int]:
        posteriors.restart(())
        chosen: list[int] = []
        for _ in range(runs):
            value = posteriors.gain() - price * cost_N
            value[chosen] = -np.inf
            chosen.append(int(np.argmax(value)))
            posteriors.add(chosen[-1])
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
    for _ in range(_PRICE_STEPS):
        middle = (low + high) / 2
        if cost_N[chosen := at(middle)].sum() > most_tokens:
            low = middle
        else:
            high, best = middle, chosen
            if cost_N[chosen].sum() > _SPENT_ENOUGH * most_tokens:
                break
    return best


def _lower_variance(posteriors: Posteriors, chosen: list[int], cost_N: np.ndarray, most_tokens: float) -> list[int]:
    """Return runs with a smaller largest variance of a loss: exchanges, each of which lowers it.

    An exchange is judged at the few mixtures where the variance has been the largest so far, then everywhere; where it
    fails there, the mixture at which it failed joins the few.
    """
    chosen = list(chosen)
    for _ in range(_PASSES):
        posteriors.restart(chosen)
        places = [np.zeros(0, int)] * len(posteriors.parts)
        least = began = posteriors.largest_variance()
        for r, now in enumerate(chosen):
            allowed = _allowed(chosen, r, cost_N, most_tokens)
            for _ in range(_EXCHANGE_ATTEMPTS):
                places = [np.union1d(*pair) for pair in zip(places, posteriors.worst(), strict=True)]
                posteriors.add(now, -1)
                after_N = posteriors.largest_variance_after(places)
                best = int(np.argmin(np.where(allowed, after_N, np.inf)))
                posteriors.add(best)
                largest = posteriors.largest_variance()
                if largest < least - 1e-6:
                    chosen[r], least = best, largest
                    break
                places = [np.union1d(*pair) for pair in zip(places, posteriors.worst(), strict=True)]
                posteriors.add(best, -1)
                posteriors.add(now)
        if least > began - _LEAST_IMPROVEMENT:
            break
    return chosen


def _exchange(posteriors: Posteriors, chosen: list[int], cost_N: np.ndarray, most_tokens: float) -> list[int]:
    """Return runs of which none can be exchanged for one that tells more."""
    chosen = list(chosen)
    for _ in range(_PASSES):
        posteriors.restart(chosen)
        moved = False
        for r, now in enumerate(chosen):
            posteriors.add(now, -1)
            gain = posteriors.gain()
            best = int(np.argmax(np.where(_allowed(chosen, r, cost_N, most_tokens), gain, -np.inf)))
            # Ties keep the run, so that rounding cannot exchange two runs for ever.
            if gain[best] > gain[now] + 1e-9 * (1 + abs(gain[now])):
                chosen[r], moved = best, True
            posteriors.add(chosen[r])
        if not moved:
            break
    return chosen


def _allowed(chosen: list[int], r: int, cost_N: np.ndarray, most_tokens: float) -> np.ndarray:
    """Return (N,) which candidates may replace the r-th run: itself, and others that are not chosen and affordable."""
    others = chosen[:r] + chosen[r + 1 :]
    allowed = cost_N <= most_tokens - cost_N[others].sum()
    allowed[others] = False
    allowed[chosen[r]] = True
    return allowed
