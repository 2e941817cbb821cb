"""Which mixtures to merge from experts: those of the true runs, which vouch for merges, and others between them.

Beside the true runs' shares, merges lie evenly in the simplex above the runs' smallest share, beyond which no run
vouches for them: every domain takes one of `count` steps of an exponential variate, in an order of its own, and shares
are these over their sum (uniform, as a Dirichlet's with all parameters 1). With experts that saw a share g of their
tokens from all domains alike, the merge with weights w stands for the mixture (1 - g) w + g / K; a mixture with little
of a domain is met by a weight a little below 0.

Shape letters: M merges, K domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.seeds import generator

_DIGITS = 6
"""Decimals of a merge's weights, which are part of its identity. No data."""

EXPERT_PART = 0.25
"""Tokens of an expert over those of a run in the middle of the plan, unless the plan says how many. No data:
on the demo a quarter was tried alone (docs/lab.md)."""

_SAME = 0.002
"""Mixtures whose shares differ by less are one. No data."""


@dataclass(frozen=True)
class MergedMixture:
    """One merge.

    Attributes:
        name: unique in the plan.
        weights: domain -> weight of its expert; they sum to 1.
        tokens: domain -> tokens of the mixture that it stands for; their total is that of all experts.
    """

    name: str
    weights: Mapping[str, float]
    tokens: Mapping[str, int]


def expert_mixtures(domains: Sequence[str], expert_tokens: int, general: float) -> dict[str, dict[str, int]]:
    """Return domain -> tokens of each domain in its expert's run.

    Args:
        domains: K names.
        expert_tokens: of each expert, all domains together.
        general: share of these that all domains give alike, 0 to below 1.
    """
    shared = round(expert_tokens * general / len(domains))
    own = expert_tokens - shared * len(domains)
    return {name: {d: shared + own * (d == name) for d in domains if shared or d == name} for name in domains}


def usual_expert_tokens(totals: Iterable[float]) -> int:
    """Return the tokens of an expert where the plan does not say them.

    Args:
        totals: tokens of each run of the first batch.
    """
    ordered = sorted(totals)
    return max(1, round(EXPERT_PART * ordered[len(ordered) // 2]))


def vouching(domains: Sequence[str], runs: Iterable[Mapping[str, int]]) -> list[np.ndarray]:
    """Return the different shares of the runs, (K,) each, domains by name: of each of these there is a merge."""
    kept: list[np.ndarray] = []
    for shares_K in _shares(runs, sorted(domains)):
        if all(np.abs(shares_K - other).max() >= _SAME for other in kept):
            kept.append(shares_K)
    return kept


def merged_mixtures(
    domains: Sequence[str],
    true: Iterable[Mapping[str, int]],
    count: int,
    expert_tokens: int,
    general: float = 0.0,
    seed: int = 0,
    further: Iterable[Mapping[str, int]] = (),
) -> list[MergedMixture]:
    """Return the merges: first those of the true runs' shares, then `count` others.

    Args:
        domains: K names.
        true: domain -> tokens of each run of the first batch.
        count: how many merges there are beside those of the true runs.
        expert_tokens: of each expert.
        general: share of an expert's tokens that all domains give alike.
        seed: of the others.
        further: domain -> tokens of each run of further batches; they move no other merge.
    """
    names, K = sorted(domains), len(domains)
    first = list(true)
    kept = vouching(domains, [*first, *further])
    least = min((float(shares_K.min()) for shares_K in _shares(first, names)), default=0.0)
    steps = -np.log((np.arange(count) + 0.5) / max(count, 1))
    order = [generator("merges", seed, name).permutation(count) for name in names]
    weights_MK = np.column_stack([steps[place] for place in order]).reshape(-1, K)
    weights_MK /= np.maximum(weights_MK.sum(axis=1, keepdims=True), 1e-300)
    shares_MK = least + (1 - K * least) * weights_MK
    every = [*(("merge-of", shares_K) for shares_K in kept), *(("merge", shares_K) for shares_K in shares_MK)]
    found, total, numbers = [], K * expert_tokens, {"merge-of": 0, "merge": 0}
    for kind, shares_K in every:
        numbers[kind] += 1
        weights_K = (shares_K - general / K) / (1 - general)
        tokens = dict(zip(names, np.rint(shares_K * total).astype(int).tolist(), strict=True))
        weights = dict(zip(names, np.round(weights_K, _DIGITS).tolist(), strict=True))
        name = f"{kind}-{numbers[kind]:02d}"
        found.append(MergedMixture(name, {d: weights[d] for d in domains}, {d: tokens[d] for d in domains}))
    return found


def _shares(runs: Iterable[Mapping[str, int]], names: Sequence[str]) -> np.ndarray:
    """Return the (R, K) shares of the runs that have tokens."""
    tokens_RK = np.array([[run.get(name, 0) for name in names] for run in runs], float).reshape(-1, len(names))
    tokens_RK = tokens_RK[tokens_RK.sum(axis=1) > 0]
    return tokens_RK / tokens_RK.sum(axis=1, keepdims=True)
