"""Random mixtures around a prior one, from nearly that mixture to nearly a single domain.

    w ~ Dirichlet(s p),   p_i ~ prior_i^temperature,   log s ~ Uniform(log 0.1, log 5)

The temperature, 1/2, evens out a skewed prior; the strength s says how near to p a run stays.

Source: Liu et al., "RegMix: Data Mixture as Regression for Language Model Pre-training", 2024, arXiv 2407.01492,
section 3.1, and the values of its published code: temperature 0.5, strengths 0.1 to 5, shares below 0.0002 set to 0.
Differs: strengths from a continuous range instead of 15 steps; a domain that has too few tokens for its share gives the
rest to the others, where the code rejects the mixture; totals may vary; the prior itself is the first run. Each domain
draws from a stream of its own name.

Shape letters: R runs, K domains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.seeds import generator
from mixlaw.design.ranges import by_name, named_runs, raised_shares, whole, within_caps

TEMPERATURE = 0.5
"""Power of the prior's shares. Source: RegMix's code."""

STRENGTHS = (0.1, 5.0)
"""Smallest and largest s. Source: RegMix's code."""

_LEAST_SHARE = 2e-4
"""A smaller share is set to 0. Source: RegMix's code."""

_DRAWS_PER_RUN = 20
"""How many mixtures are drawn for each one wanted, since equal ones are dropped. No data."""


def dirichlet_design(
    domains: Sequence[str],
    totals: tuple[float, float],
    runs: int,
    seed: int = 0,
    caps: Sequence[float] | None = None,
    prior: Mapping[str, float] | None = None,
    min_share: float = 0.0,
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures as (name, {domain: tokens}); the first is the prior at the middle of the totals.

    Args:
        domains: K names.
        totals: fewest and most tokens of a run, log-uniform between; equal for a constant total.
        runs: how many.
        seed: of the draws.
        caps: most tokens of each domain (those there are), or None; see `mixlaw.design.ranges.within_caps`.
        prior: domain -> share, in any unit; None: the natural mixture where there are caps, equal shares otherwise.
        min_share: least share of every domain; 0 allows runs without some domains.

    Raises:
        DesignError: the totals or the prior are not positive, `min_share` is too large, or the mixtures do not differ.
    """
    if not (np.isfinite(totals).all() and 1 <= totals[0] <= totals[1]):
        raise DesignError(
            f"plan.run_tokens is {list(totals)}; it must be the fewest and the most tokens of a run, at least 1.",
            "Write it like [500k, 4M], or one number for a constant total.",
        )
    names, most = by_name(domains, caps)
    share_K = _prior(names, most, prior)
    tempered = share_K**TEMPERATURE / (share_K**TEMPERATURE).sum()
    count = _DRAWS_PER_RUN * runs
    log_totals = generator("dirichlet total", seed).uniform(*map(math.log, totals), size=count)
    strengths = np.exp(generator("dirichlet strength", seed).uniform(*map(math.log, STRENGTHS), size=count))
    shares = _dirichlet(names, tempered * strengths[:, None], seed)
    if min_share == 0:
        shares = np.where(shares < _LEAST_SHARE, 0.0, shares)
        shares = shares / shares.sum(axis=1, keepdims=True)
    everything = np.vstack([share_K, shares])
    middle = float(np.exp(np.log(totals).mean()))
    total_R = np.append(middle, np.exp(log_totals))
    tokens = whole(within_caps(raised_shares(everything, min_share), total_R, most), most)
    distinct = np.array(list(dict.fromkeys(map(tuple, tokens.tolist()))))[:runs]
    if len(distinct) < runs:
        raise DesignError(
            f"plan.runs is {runs}; only {len(distinct)} different mixtures were drawn in {count} attempts.",
            f"Lower plan.runs to {len(distinct)}, or give plan.run_tokens a range.",
        )
    return named_runs("dirichlet", domains, names, distinct)


def _prior(names: list[str], most: np.ndarray, prior: Mapping[str, float] | None) -> np.ndarray:
    """Return (K,) shares of the prior mixture."""
    if prior is None:
        values = most if np.isfinite(most).all() else np.ones(len(names))
    else:
        values = np.array([prior.get(name, np.nan) for name in names], float)
    for name, value in zip(names, values, strict=True):
        if not (np.isfinite(value) and value > 0):
            raise DesignError(
                f"The prior share of '{name}' is {value:g}; the Dirichlet design needs a share above 0 for every "
                "domain.",
                "Give each domain a share, or leave out the prior, to use the natural mixture.",
            )
    return values / values.sum()


def _dirichlet(names: list[str], concentration_RK: np.ndarray, seed: int) -> np.ndarray:
    """Return (R, K) Dirichlet shares: gamma variates over their sum, in logarithms, since small ones underflow."""
    log_gamma = np.empty_like(concentration_RK)
    for k, name in enumerate(names):
        rng, shape = generator("dirichlet", seed, name), concentration_RK[:, k]
        # Marsaglia and Tsang 2000, section 6: G(a) is G(a + 1) U^(1/a).
        log_gamma[:, k] = np.log(rng.gamma(shape + 1)) + np.log1p(-rng.random(len(shape))) / shape
    weights = np.exp(log_gamma - log_gamma.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
