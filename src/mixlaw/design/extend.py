"""The runs that a change of domains makes necessary: those that exist stay.

A domain added later has no tokens in any run. The parameters that touch it, all of its own target's law and its entries
in the laws of the other targets (`t[new]`), are as unknown as before the study; the others are not. New runs are chosen
one by one, each with the largest gain in log det of the information about those parameters, until the posterior
variance of none of them is more than a tenth above what the space-filling design of all domains would have left; at
least as many as a law of its own loss has parameters, at most four a domain and one.

A domain dropped needs no runs: what was learnt about the others stays true as long as the law keeps it as a source.

Source: Atkinson, Donev 1992, Optimum Experimental Designs, sections 10.3 (D_s: some of the parameters) and 19.2
(augmenting a design).

Shape letters: S draws, K domains, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens
from mixlaw.design.information import NOISE_NATS, known
from mixlaw.design.knowledge import Choice, Knowledge, Runs, laws_for
from mixlaw.design.perturbation import RATIOS
from mixlaw.design.posterior import Posterior
from mixlaw.design.ranges import total_tokens
from mixlaw.design.space_filling import space_filling_design
from mixlaw.laws.base import Law

_FEWEST_RUNS = 5
"""Runs in which an added domain's loss is measured: as many as its law has parameters (`transfer`). No data."""

_ENOUGH = 1.1
"""A parameter is determined well enough if its variance is at most this many times that under a whole new design.

No data.
"""


@dataclass(frozen=True)
class Extension:
    """What to train after a change of domains.

    Attributes:
        runs: (name, {domain: tokens}), only of domains there are.
        added: domains that no run had tokens of.
        dropped: domains that runs had tokens of and that are no more.
        before: posterior variance of a parameter that touches an added domain over that under the space-filling design
            of all domains, for the parameter where it is largest. Not a number where none was added.
        after: the same with the new runs.
        message: a sentence.
    """

    runs: list[tuple[str, dict[str, int]]]
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    before: float
    after: float
    message: str


def extend_design(
    domains: Sequence[str],
    done: Runs,
    available: Mapping[str, float],
    base_tokens: int,
    *,
    added: Sequence[str] | None = None,
    law: str = "auto",
    seed: int = 0,
    noise_nats: float = NOISE_NATS,
) -> Extension:
    """Return the runs that a study needs after its domains changed.

    Args:
        domains: the K domains there are now.
        done: runs that exist, domain -> tokens; they may have domains that are no more.
        available: domain -> distinct training tokens there are.
        base_tokens: n, the middle of every domain's range (in logarithms).
        added: the new domains; None: those of which no run has tokens. Named where some of their runs exist already.
        law: whose parameters the runs should determine; `auto` is `transfer`.
        seed: of candidates and draws.
        noise_nats: standard deviation of a measured loss.

    Raises:
        DesignError: an added domain is none of the domains, no domain is left, or there is no such law.
    """
    before = {name for run in done for name, tokens in run.items() if tokens > 0}
    new = tuple(sorted(set(domains) - before)) if added is None else tuple(sorted(added))
    dropped = tuple(sorted(before - set(domains)))
    if stray := sorted(set(new) - set(domains)):
        raise DesignError(
            f"{', '.join(map(repr, stray))} is to be added, but is not one of the domains {', '.join(domains)}.",
            "Add it to the domains, or leave it out.",
        )
    if not domains:
        raise DesignError("No domain is left to train on.", "Keep at least one domain.")
    if not new:
        gone = f" without {', '.join(map(repr, dropped))}" if dropped else ""
        return Extension([], new, dropped, np.nan, np.nan, f"The finished runs are enough{gone}, so no runs are added.")
    laws = laws_for(law, (*sorted(domains), *dropped), sorted(domains))
    knowledge = Knowledge(laws, base_tokens, done=done, noise_nats=noise_nats, seed=seed)
    choice = Choice.of(knowledge, available, domains=domains)
    caps = [available.get(name, np.inf) for name in domains]
    full = space_filling_design(domains, base_tokens, 1 + len(RATIOS) * len(domains), seed, caps)
    touching = [_Touching.of(choice, p, new, [run for _, run in full]) for p in range(len(laws))]
    at_first = _largest_ratio(touching)
    there = sum(any(run.get(name, 0) > 0 for name in new) for run in done)
    chosen = _choose(choice, touching, full, _FEWEST_RUNS - there, len(RATIOS) * len(new) + 1)
    first = 1 + there
    runs = []
    for i, n in enumerate(chosen, first):
        row = choice.mixture(n)
        runs.append((f"add-{new[0]}-{i}", {domain: row[domain] for domain in domains}))
    after = _largest_ratio(touching)
    spent = format_tokens(total_tokens(runs))
    message = (
        f"{', '.join(map(repr, new))} added: {len(runs)} new runs, {spent} tokens, instead of {len(full)}; "
        f"{'its' if len(new) == 1 else 'their'} parameters then have at most {after:.2g} times the variance of a "
        "whole new design."
    )
    return Extension(runs, new, dropped, at_first, after, message)


@dataclass(frozen=True)
class _Touching:
    """One target's law and those of its parameters that touch an added domain.

    Attributes:
        places: of these parameters.
        posterior: of all parameters.
        rest: of the others alone, as if these were known; its gain is no gain in these. None where there are none.
        variance_SP: of these, under the whole new design.
    """

    places: np.ndarray
    posterior: Posterior
    rest: Posterior | None
    variance_SP: np.ndarray

    @staticmethod
    def of(choice: Choice, p: int, added: tuple[str, ...], full: Runs) -> _Touching:
        law, factors, before = choice.knowledge.laws[p], choice.factors[p], choice.known[p]
        places = np.array(_touching_places(law, added), int)
        rest = np.setdiff1d(np.arange(len(law.parameters)), places)
        return _Touching(
            places,
            Posterior(factors, before),
            Posterior(factors[..., rest], before[:, rest][:, :, rest]) if len(rest) and len(places) else None,
            np.diagonal(np.linalg.inv(known(law, choice.information(p, full))), axis1=1, axis2=2)[:, places],
        )

    def gain(self) -> np.ndarray:
        """Return (N,) what each candidate adds to log det of the information about these parameters alone."""
        return self.posterior.gain() - (self.rest.gain() if self.rest else 0.0)

    def add(self, n: int) -> None:
        """Add a candidate as a run."""
        self.posterior.add(n)
        if self.rest:
            self.rest.add(n)

    def log_ratios(self) -> np.ndarray:
        """Return, of each of these parameters, the log of its variance over that under the whole new design."""
        variance = np.diagonal(self.posterior.covariance_SPP, axis1=1, axis2=2)[:, self.places]
        return np.log(variance / self.variance_SP).mean(axis=0)


def _touching_places(law: Law, added: tuple[str, ...]) -> list[int]:
    """Return the places of the parameters that touch an added domain."""
    endings = tuple(f"[{name}]" for name in added)
    return [p for p, q in enumerate(law.parameters) if law.target in added or q.name.endswith(endings)]


def _largest_ratio(touching: Sequence[_Touching]) -> float:
    return float(np.exp(np.concatenate([one.log_ratios() for one in touching]).max()))


def _choose(
    choice: Choice, touching: Sequence[_Touching], full: Sequence[tuple[str, Mapping[str, int]]], least: int, most: int
) -> list[int]:
    """Return the places of the new runs, between least and most of them.

    On average they are no larger than those of the whole new design.
    """
    active = [one for one in touching if len(one.places)]
    cost_N = choice.tokens_NK.sum(axis=1).astype(float)
    typical = total_tokens(full) / len(full)
    chosen: list[int] = []
    while len(chosen) < min(most, len(cost_N)) and (len(chosen) < least or _largest_ratio(touching) > _ENOUGH):
        gain = np.sum([one.gain() for one in active], axis=0)
        gain[chosen] = -np.inf
        allowed = max((len(chosen) + 1) * typical - cost_N[chosen].sum(), np.delete(cost_N, chosen).min())
        gain[cost_N > allowed] = -np.inf
        chosen.append(int(np.argmax(gain)))
        for one in active:
            one.add(chosen[-1])
    return chosen
