"""Mixture designs: the points of a simplex lattice and the centroids of its faces, at one or more totals.

    {K, m} lattice    every share is one of 0, 1/m, 2/m, ..., 1
    centroids         equal shares of some of the domains, none of the others

Pure runs and runs of few domains tell what each domain does alone; laws in shares are fitted on exactly these points.

Source: Scheffe 1958, J. R. Stat. Soc. B 20:344-360, section 2 (lattice); Scheffe 1963, J. R. Stat. Soc. B 25:235-263,
section 1 (centroids).
Differs: several totals, without which no exponent in tokens is determined. Fewer runs than points are chosen one by
one, each the farthest from those before it. Beyond eight domains only the centroids of all and of all but one are
added.

Shape letters: R runs, K domains, T totals, N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement
from math import comb

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.design.ranges import by_name, farthest_points, named_runs, raised_shares, whole, within_caps

_ALL_CENTROIDS = 8
"""With more domains than this, only the centroids of all domains and of all but one are used. No data."""

_MOST_POINTS = 100_000
"""Largest number of points of a lattice, over all totals; finer ones are not tried. No data."""


def simplex_lattice_design(
    domains: Sequence[str],
    totals: Sequence[float],
    runs: int,
    caps: Sequence[float] | None = None,
    min_share: float = 0.0,
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures as (name, {domain: tokens}); the first has equal shares at the middle of the totals.

    The lattice is the coarsest (m >= 2) that has enough points.

    Args:
        domains: K names.
        totals: T tokens of a run; each mixture may appear at each.
        runs: how many.
        caps: most tokens of each domain (those there are), or None; see `mixlaw.design.ranges.within_caps`.
        min_share: least share of every domain; 0 allows runs without some domains.

    Raises:
        DesignError: the totals are not positive, `min_share` is too large, or there are fewer mixtures than runs.
    """
    totals_T = np.unique(np.asarray(totals, float))
    if not len(totals_T) or not (np.isfinite(totals_T) & (totals_T >= 1)).all():
        raise DesignError(f"plan.run_tokens is {list(totals)}; totals must be at least 1 token.", "Write it like 2M.")
    names, most = by_name(domains, caps)
    K = len(names)
    middle = float(np.exp(np.log(totals_T).mean()))
    base = whole(within_caps(raised_shares(np.full((1, K), 1 / K), min_share), np.array([middle]), most), most)
    degree, found = 2, np.zeros((0, K), np.int64)
    while comb(K + degree - 1, degree) * len(totals_T) <= _MOST_POINTS and degree <= max(2, runs):
        shares = raised_shares(_points(K, degree), min_share)
        tokens = within_caps(np.repeat(shares, len(totals_T), axis=0), np.tile(totals_T, len(shares)), most)
        places = np.array([_place(row, totals_T) for row in np.vstack([base, whole(tokens, most)])])
        chosen = farthest_points(places[1:], runs - 1, places[0])
        found = whole(tokens, most)[chosen]
        if len(found) == runs - 1 or K == 1:
            break
        degree += 1
    if len(found) < runs - 1:
        raise DesignError(
            f"plan.runs is {runs}; a simplex lattice of {K} {'domain' if K == 1 else 'domains'} at {len(totals_T)} "
            f"{'total' if len(totals_T) == 1 else 'totals'} has {len(found) + 1} different mixtures in these data.",
            f"Lower plan.runs to {len(found) + 1}, or give more totals in plan.run_tokens.",
        )
    return named_runs("lattice", domains, names, np.vstack([base, found]))


def _points(K: int, degree: int) -> np.ndarray:
    """Return (N, K) shares: centroids from the largest face down, then the lattice; each once."""
    faces = range(K, 0, -1) if K <= _ALL_CENTROIDS else (K, K - 1)
    rows = [np.isin(np.arange(K), face) / len(face) for size in faces for face in combinations(range(K), size)]
    for parts in combinations_with_replacement(range(K), degree):
        rows.append(np.bincount(parts, minlength=K) / degree)
    return np.array(list(dict.fromkeys(tuple(np.round(row, 12)) for row in rows)))


def _place(tokens_K: np.ndarray, totals_T: np.ndarray) -> np.ndarray:
    """Return the shares and the logarithm of the total, as far apart from end to end as 1."""
    total = max(float(tokens_K.sum()), 1.0)
    width = max(float(np.log(totals_T.max() / totals_T.min())), 1e-9)
    return np.append(tokens_K / total, np.log(total / totals_T.min()) / max(width, 1.0))
