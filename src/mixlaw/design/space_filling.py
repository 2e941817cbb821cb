"""A design in which every domain and the total move in every run: Sobol points in the logarithms of the tokens.

Each domain has its own axis from n/3 to 3 n, so the tokens of the other domains, and their sum, vary independently of
its own: k and alpha are determined, and so is the exponent, because the totals span up to a factor of nine. On planted
laws with K = 3, 13 runs and noise of 0.001 nats the mean regret is several times smaller than with the published
design at about the same cost (bench/planted).

Source: Sobol 1967, scrambled after Owen 1998, as in `scipy.stats.qmc`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixlaw.core.seeds import seed_from
from mixlaw.design.ranges import token_range


def space_filling_design(
    domains: Sequence[str], base_tokens: float, runs: int, seed: int = 0, caps: Sequence[float] | None = None
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures as (name, {domain: tokens}); the first is the base mixture.

    Args:
        domains: K names.
        base_tokens: n, the middle of every domain's range (in logarithms).
        runs: how many.
        seed: of the scrambling.
        caps: most tokens of each domain (those there are), or None.
    """
    from scipy.stats import qmc

    K = len(domains)
    most = np.full(K, np.inf) if caps is None else np.asarray(caps, float)
    low, high = token_range(base_tokens, most)
    points = max(runs - 1, 0)
    sobol = qmc.Sobol(K, scramble=True, rng=np.random.default_rng(seed_from("space filling", seed)))
    # Drawn up to the next power of two, where the sequence is balanced, and cut.
    cube = sobol.random(1 << max(points - 1, 0).bit_length())[:points]
    # Stretched to the ends of the range: the law is fitted better from wide runs than from merely well-spread ones.
    if points > 1:
        cube = (cube - cube.min(axis=0)) / np.maximum(np.ptp(cube, axis=0), 1e-12)
    tokens = np.exp(np.log(low) + cube * (np.log(high) - np.log(low)))
    width = len(str(max(points, 1)))
    base = {domain: max(1, round(min(base_tokens, cap))) for domain, cap in zip(domains, most, strict=True)}
    mixtures = [("base", base)]
    for i, row in enumerate(tokens, 1):
        mixtures.append((f"fill-{i:0{width}d}", {d: max(1, round(t)) for d, t in zip(domains, row, strict=True)}))
    return mixtures[:runs]
