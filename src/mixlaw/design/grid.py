"""Factorial designs: every domain's tokens take a few levels, equal steps apart in logarithms.

With L levels and K domains the full factorial has L^K mixtures. A smaller number of runs is a fraction of it in which
each level of a domain occurs equally often and any two domains are as nearly orthogonal as that number of runs allows.
For the numbers of runs that have an orthogonal array (9 or 27 with three levels, say) the search usually finds one.

Source: the fraction minimises J2, the sum over pairs of runs of the squared number of levels that they share, after Xu
2002, Technometrics 44:356-368, Eq. 3 and section 3 (columns one by one, pairs of levels exchanged).
Differs: the best exchange instead of the first; the base mixture, as a centre point, is always the first run.

Shape letters: R runs, K domains, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.seeds import generator
from mixlaw.design.ranges import SPAN, by_name, farthest_points, named_runs, whole

_SEARCHES = 8
"""How many searches for a fraction of the grid are made; the best one is used. No data."""


def grid_design(
    domains: Sequence[str],
    base_tokens: int,
    runs: int,
    seed: int = 0,
    caps: Sequence[float] | None = None,
    levels: Sequence[float] | None = None,
) -> list[tuple[str, dict[str, int]]]:
    """Return `runs` mixtures of a grid as (name, {domain: tokens}); the first is the base mixture.

    Args:
        domains: K names.
        base_tokens: n, the tokens at level 1. A domain whose cap the highest level exceeds gets its whole grid scaled
            down to it, so that the levels stay as far apart.
        runs: how many.
        seed: of the search for a fraction.
        caps: most tokens of each domain (those there are), or None.
        levels: tokens of a domain over n, such as (1/3, 1, 3); None: from 1/3 to 3, three of them, or as many as the
            runs need.

    Raises:
        DesignError: a level is not positive, there are fewer than two, or the grid has fewer mixtures than runs.
    """
    names, most = by_name(domains, caps)
    values_L = _levels(levels, runs, len(names))
    # The base mixture is a point of the grid where 1 is a level, otherwise an extra point in the middle.
    centre = np.flatnonzero(np.isclose(values_L, 1.0))
    size = len(values_L) ** len(names) + (len(centre) == 0)
    if runs > size:
        raise DesignError(
            f"plan.runs is {runs}; a grid of {len(values_L)} levels in {len(names)} domains has {size} mixtures.",
            f"Lower plan.runs to {size}, or give more plan.levels.",
        )
    base = (int(centre[0]),) * len(names) if len(centre) else None
    if runs == size:
        cells = np.array([cell for cell in product(range(len(values_L)), repeat=len(names)) if cell != base])
    else:
        cells = _fraction(runs - 1, len(names), len(values_L), base, generator("grid", seed))
    middle = np.minimum(base_tokens, most / values_L.max())
    tokens = np.vstack([middle, middle * values_L[cells.reshape(-1, len(names))]])
    return named_runs("grid", domains, names, whole(tokens, most, 1))


def _levels(levels: Sequence[float] | None, runs: int, domains: int) -> np.ndarray:
    """Return (L,) different levels in rising order."""
    if levels is None:
        count = 3
        while count**domains < runs:
            count += 1
        return SPAN ** np.linspace(-1, 1, count)
    values = np.unique(np.asarray(levels, float))
    if len(values) < 2 or not (np.isfinite(values) & (values > 0)).all():
        raise DesignError(
            f"plan.levels is {list(levels)}; a grid needs at least two different levels, all above 0.",
            "Write multiples of base_tokens, such as [0.333, 1, 3].",
        )
    return values


def _fraction(
    runs: int, domains: int, levels: int, base: tuple[int, ...] | None, rng: np.random.Generator
) -> np.ndarray:
    """Return (R, K) levels of different cells, none of which is the base mixture; the best of a few searches."""
    found, least = np.zeros((0, domains), int), np.inf
    for _ in range(_SEARCHES):
        cells, shared = nearly_orthogonal(runs, domains, levels, rng)
        if shared < least and len(np.unique(cells, axis=0)) == runs and base not in set(map(tuple, cells.tolist())):
            found, least = cells, shared
    if len(found) == runs:
        return found
    # So many of the grid's cells are wanted that balanced columns keep repeating one: the most scattered ones, then.
    cells = np.array([cell for cell in product(range(levels), repeat=domains) if cell != base])
    return cells[farthest_points(cells / (levels - 1), runs, np.full(domains, 0.5))]


def nearly_orthogonal(runs: int, domains: int, levels: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a nearly orthogonal array of levels, (R, K), and its J2."""
    array = np.empty((runs, domains), int)
    shared_RR = np.zeros((runs, runs))
    for k in range(domains):
        array[:, k] = _column(shared_RR, levels, rng)
        shared_RR += array[:, k, None] == array[:, k]
        np.fill_diagonal(shared_RR, 0)
    return array, float((shared_RR**2).sum() / 2)


def _column(shared_RR: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Return a balanced column that adds the least to J2: runs alike so far get different levels."""
    runs = len(shared_RR)
    column = rng.permutation(rng.permutation(levels)[np.arange(runs) % levels])
    while True:
        # by_level_RR[a, b]: what run a shares with the runs at the level of run b.
        by_level_RR = (shared_RR @ (column[:, None] == np.arange(levels)))[:, column]
        now = np.diag(by_level_RR)
        change = by_level_RR + by_level_RR.T - now[:, None] - now - 2 * shared_RR
        change[column[:, None] == column] = 0
        if not runs or change.min() >= 0:
            return column
        pair = np.array(np.unravel_index(np.argmin(change), change.shape))
        column[pair] = column[pair[::-1]]
