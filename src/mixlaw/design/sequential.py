"""The sequential design: small runs all over the range first, which determine any law; the rest is for the decision.

Later batches are chosen by `mixlaw.design.decision`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mixlaw.design.perturbation import RATIOS
from mixlaw.design.ranges import total_tokens
from mixlaw.design.space_filling import space_filling_design

_SMALLER = 5
"""The first batch of `sequential` uses this many times fewer tokens per domain, so that most tokens are left for chosen
runs.

The noise of a loss hardly depends on the tokens of its run, so many small runs tell more than few large ones; the large
ones are needed for the budget. Chosen on: earlier planted worlds of one kind.
"""

_BATCH_DIVISORS = (1, 3, 9)
"""Candidates of later batches of `sequential` are centred at the base tokens divided by these. Chosen on: as
`_SMALLER`."""

_LEAST_TOKENS = 10_000
"""Least tokens of a domain in the middle of smaller runs: a run of only a few steps follows no law. No data."""


def amounts(base_tokens: float) -> list[float]:
    """Return the tokens per domain that the candidates of later batches are around.

    The base amount, a third and a ninth of it; the last only where it is 10,000 or more: a run of a few steps follows
    no law.
    """
    least = min(base_tokens / _BATCH_DIVISORS[1], _LEAST_TOKENS)
    return [base_tokens / divisor for divisor in _BATCH_DIVISORS if base_tokens / divisor >= least]


def most_runs(count: int) -> int:
    """Return how many runs a sequential design of so many domains may have: tokens are what is scarce, so many."""
    return 2 * (1 + len(RATIOS) * count)


def sequential_tokens(
    domains: Sequence[str], base_tokens: int, runs: int, proxy_tokens: float | None, caps: Sequence[float]
) -> float:
    """Return the most tokens that all runs of a sequential design may cost together.

    Where `proxy_tokens` does not say it: those of the space-filling design, with the usual number of runs or the most
    there may be.
    """
    if proxy_tokens is not None:
        return proxy_tokens
    usual = space_filling_design(domains, base_tokens, min(runs, most_runs(len(domains)) // 2), 0, caps)
    return float(total_tokens(usual))


def first_batch(
    domains: Sequence[str], base_tokens: float, runs: int, limit: float, seed: int, caps: Sequence[float]
) -> list[tuple[str, dict[str, int]]]:
    """Return the first batch as (name, {domain: tokens}): small runs, at most half of what all may cost.

    Args:
        domains: K names.
        base_tokens: n.
        runs: the most that there may ever be.
        limit: most tokens of all runs of the design together.
        seed: of the scrambling.
        caps: most tokens of each domain.
    """
    few = min(max(7, len(domains) + 3), runs)
    middle = base_tokens / (_SMALLER if base_tokens >= _SMALLER * _LEAST_TOKENS else _BATCH_DIVISORS[1])
    batch = space_filling_design(domains, max(middle, 1), few, seed, caps)
    cost = total_tokens(batch)
    if cost <= limit / 2:
        return batch
    return space_filling_design(domains, max(middle * limit / 2 / cost, 1), few, seed, caps)
