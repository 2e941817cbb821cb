"""Sets of 64-bit hashes as arrays: which are in another, which come twice, what several have in common.

Each takes little more memory than its result, for tens of millions of hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_AT_ONCE = 1 << 20


def is_in(hashes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return (R,) whether each of some hashes is among the wanted ones.

    Args:
        hashes: (R,) uint64, in any order.
        wanted: (W,) uint64, sorted.
    """
    found = np.zeros(len(hashes), bool)
    if len(wanted):
        for first in range(0, len(hashes), _AT_ONCE):
            part = np.ascontiguousarray(hashes[first : first + _AT_ONCE])
            places = np.searchsorted(wanted, part)
            found[first : first + len(part)] = wanted[np.minimum(places, len(wanted) - 1)] == part
    return found


def repeated(hashes: np.ndarray) -> np.ndarray:
    """Return the sorted hashes that come more than once."""
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def later_copies(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return (R,) whether an earlier row has the same hash of two halves."""
    found = np.zeros(len(high), bool)
    # Of few rows the first half comes twice: only those are sorted by both.
    some = np.flatnonzero(is_in(high, repeated(high)))
    if len(some):
        order = some[np.lexsort((some, low[some], high[some]))]
        same = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
        found[order[1:][same]] = True
    return found


def in_common(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return (S, S) how many hashes two sets have in common; on the diagonal how many a set has.

    Args:
        sets: (S,) sorted uint64 arrays without repeats; they may lie in files.
    """
    count = len(sets)
    found = np.zeros((count, count), np.int64)
    found[np.arange(count), np.arange(count)] = [len(s) for s in sets]
    # Ranges of hashes, one after the other: no more is in memory than a few million of them.
    ranges = 1 + sum(map(len, sets)) // (4 * _AT_ONCE)
    bounds = (np.arange(1, ranges, dtype=np.float64) * (2.0**64 / ranges)).astype(np.uint64)
    places = [np.concatenate([[0], np.searchsorted(s, bounds), [len(s)]]).astype(np.int64) for s in sets]
    for r in range(ranges):
        parts = [s[at[r] : at[r + 1]] for s, at in zip(sets, places, strict=True)]
        hashes = np.concatenate([np.asarray(part, np.uint64) for part in parts])
        owners = np.repeat(np.arange(count), [len(part) for part in parts])
        order = np.argsort(hashes, kind="stable")
        hashes, owners = hashes[order], owners[order]
        # Equal hashes lie side by side, each of another set: those k places apart are pairs while there are any.
        for k in range(1, count):
            same = np.flatnonzero(hashes[k:] == hashes[:-k])
            if not len(same):
                break
            np.add.at(found, (owners[same], owners[same + k]), 1)
    upper = np.triu(found, 1)
    return upper + upper.T + np.diag(np.diag(found))
