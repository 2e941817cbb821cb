"""What every design shares: the range of each domain's tokens, whole tokens within what there is, names.

Designs work on the domains sorted by name, so that reordering a configuration moves no run.

Shape letters: R runs, K domains, N points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.rounding import down, shown

SPAN = 3.0
"""Tokens of a domain run from base / SPAN to base * SPAN. Source: Li 2025, Algorithm 1."""


def by_name(domains: Sequence[str], caps: Sequence[float] | None = None) -> tuple[list[str], np.ndarray]:
    """Return the domains sorted by name, and the most whole tokens of each, (K,); infinite without caps."""
    most = dict.fromkeys(domains, np.inf) if caps is None else dict(zip(domains, caps, strict=True))
    names = sorted(domains)
    return names, np.maximum(np.floor([most[name] for name in names]), 1.0)


def token_range(base_tokens: float, caps_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most tokens of each domain, (K,): as wide a range where a cap shifts it down."""
    return np.minimum(base_tokens / SPAN, caps_K / SPAN**2), np.minimum(base_tokens * SPAN, caps_K)


def within_caps(shares_RK: np.ndarray, totals_R: np.ndarray, caps_K: np.ndarray) -> np.ndarray:
    """Return (R, K) tokens of shares of totals, in which no domain exceeds what there is of it.

    What a domain lacks is given to the others in proportion to their shares, in equal parts where they have none, so
    that a run keeps its total; it is smaller only where all domains together do not hold it.
    """
    tokens = shares_RK * np.asarray(totals_R, float)[:, None]
    for _ in range(len(caps_K)):
        missing = np.maximum(tokens - caps_K, 0).sum(axis=1, keepdims=True)
        tokens = np.minimum(tokens, caps_K)
        room = tokens < caps_K
        if not (missing > 0).any() or not room.any():
            break
        takers = shares_RK * room
        takers = np.where(takers.sum(axis=1, keepdims=True) > 0, takers, room)
        tokens = tokens + missing * takers / np.maximum(takers.sum(axis=1, keepdims=True), 1e-300)
    return np.minimum(tokens, caps_K)


def raised_shares(shares_RK: np.ndarray, min_share: float) -> np.ndarray:
    """Return (R, K) shares of at least `min_share`: w = min_share + (1 - K min_share) w'.

    Raises:
        DesignError: K shares of at least that sum to more than 1.

    Source: Crosier 1984, Technometrics 26:209-216 (L-pseudocomponents).
    """
    K = shares_RK.shape[1]
    if not 0 <= min_share * K < 1:
        raise DesignError(
            f"plan.min_share is {min_share:g}; the smallest shares of {K} domains must sum to less than 1.",
            f"Lower it below {shown(down(1 / K))}.",
        )
    return min_share + (1 - K * min_share) * shares_RK


def farthest_points(points_NM: np.ndarray, count: int, first_M: np.ndarray) -> list[int]:
    """Return up to `count` places of points, each the farthest from `first_M` and those before it.

    Points that coincide with an earlier one are left out. Ties go to the point that stands first.

    Source: Kennard, Stone 1969, Technometrics 11:137-148.
    """
    distance = np.linalg.norm(points_NM - first_M, axis=1)
    chosen: list[int] = []
    while len(chosen) < count and distance.max(initial=0.0) > 1e-9:
        # Rounded, so that equally far points stay tied whatever the order of their sums was.
        chosen.append(int(np.argmax(np.round(distance, 9))))
        distance = np.minimum(distance, np.linalg.norm(points_NM - points_NM[chosen[-1]], axis=1))
    return chosen


def whole(tokens_RK: np.ndarray, caps_K: np.ndarray, fewest: int = 0) -> np.ndarray:
    """Return (R, K) whole tokens within the caps, at least `fewest` of each domain."""
    return np.clip(np.round(tokens_RK), fewest, caps_K).astype(np.int64)


def total_tokens(mixtures: Iterable[tuple[str, Mapping[str, int]]]) -> int:
    """Return the tokens of all of some named mixtures together."""
    return sum(sum(tokens.values()) for _, tokens in mixtures)


def named_runs(
    kind: str, domains: Sequence[str], names: Sequence[str], tokens_RK: np.ndarray, base: bool = True
) -> list[tuple[str, dict[str, int]]]:
    """Return the runs as (name, {domain: tokens}), with the domains in the order given.

    Args:
        kind: the runs are called `<kind>-<number>`.
        domains: K names in the order of the result.
        names: K names in the order of the columns.
        tokens_RK: whole tokens.
        base: whether the first run is the base mixture, called so.

    Raises:
        DesignError: two runs have the same mixture.
    """
    different = len(np.unique(tokens_RK, axis=0))
    if different < len(tokens_RK):
        raise DesignError(
            f"Only {different} of the design's {len(tokens_RK)} mixtures differ, because they have too few tokens.",
            f"Lower plan.runs to {different}, raise plan.base_tokens, or remove the smallest domain.",
        )
    columns = {name: i for i, name in enumerate(names)}
    width = len(str(max(len(tokens_RK) - base, 1)))
    runs = []
    for r, row in enumerate(tokens_RK):
        name = "base" if base and r == 0 else f"{kind}-{r + (not base):0{width}d}"
        runs.append((name, {domain: int(row[columns[domain]]) for domain in domains}))
    return runs
