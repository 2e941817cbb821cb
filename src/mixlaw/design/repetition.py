"""Repetition as in the real run: proxy runs draw from a part of a domain, and so repeat it as the budget would.

With weights w a domain of U tokens is read w N / U times at the budget N. A run of n tokens in all that has the same
weights reads it that often when it draws from

    pool = U n / N

of its tokens, whatever the weights are. Otherwise the proxies would only see fresh rows, and the law would promise of
the hundredth million what it has learnt from the first.

Source: that repeats are worth less, Muennighoff et al. 2023, arXiv 2305.16264, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mixlaw.core.run import RunSpec


def matched_pools(
    tokens: Mapping[str, int], available: Mapping[str, int], budget_tokens: int, max_epochs: float | None = None
) -> dict[str, int]:
    """Return domain -> distinct tokens that a run should draw from, where the budget repeats a domain.

    Args:
        tokens: domain -> training tokens of the run.
        available: domain -> distinct tokens that there are.
        budget_tokens: N.
        max_epochs: no mixture will be asked to repeat a domain more often, so no run does; None for no limit.
    """
    scale = sum(tokens.values()) / budget_tokens
    pools = {}
    for name, count in tokens.items():
        there = available[name]
        pool = math.ceil(max(there * scale, count / (max_epochs or math.inf)))
        if pool < min(count, there):
            pools[name] = pool
    return pools


def repetition_notes(runs: Iterable[RunSpec]) -> list[str]:
    """Return a sentence about every domain that some of the runs repeat on purpose."""
    most: dict[str, float] = {}
    for run in runs:
        for name, pool in run.pools.items():
            most[name] = max(most.get(name, 0.0), run.tokens[name] / pool)
    return [
        f"'{name}' would be repeated at the budget, so runs draw from a part of it and repeat it as often "
        f"(up to {epochs:.2g} times)."
        for name, epochs in most.items()
    ]
