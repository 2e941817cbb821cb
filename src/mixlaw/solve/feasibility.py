"""Which linear constraints cannot be met together: few enough that each of them matters.

First an elastic program finds a small set: every constraint may give way at a price, those that do are made hard, and
so on until the hard ones cannot be met. From that set one after the other is dropped for good where the rest still
cannot be met. What remains is irreducible: any one less, and there is a mixture.

Source: Chinneck, Dravnieks 1991, ORSA J. Computing 3(2):157-168 (elastic filter, then deletion filter).

Shape letters: K domains, C constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TOLERANCE = 1e-9
"""How far all constraints together may be missed and still count as met: rounding. No data."""


@dataclass(frozen=True)
class Limit:
    """One constraint: `row . w <= value`, or `==`.

    Attributes:
        name: what a message calls it.
        row_K: coefficients.
        value: right side.
        equal: whether it is an equality.
        domain: the domain whose bound it is; empty for a group.
    """

    name: str
    row_K: np.ndarray
    value: float
    equal: bool = False
    domain: str = ""


def conflict(limits: Sequence[Limit]) -> list[Limit]:
    """Return an irreducible set that no w >= 0 with a sum of 1 meets; empty where all can be met together."""
    if _excess(limits, ()).sum() <= _TOLERANCE:
        return []
    hard: list[int] = []
    while True:
        chosen = [limits[c] for c in hard]
        soft = [c for c in range(len(limits)) if c not in hard]
        given = _excess([limits[c] for c in soft], chosen)
        if not given.size or np.isinf(given[0]):
            break
        giving = [c for c, amount in zip(soft, given, strict=True) if amount > _TOLERANCE]
        if not giving:
            break
        hard += giving
    kept = [limits[c] for c in hard]
    for limit in list(kept):
        rest = [other for other in kept if other is not limit]
        if _excess(rest, ()).sum() > _TOLERANCE:
            kept = rest
    return sorted(kept, key=lambda limit: next(c for c, other in enumerate(limits) if other is limit))


def _excess(soft: Sequence[Limit], hard: Sequence[Limit]) -> np.ndarray:
    """Return (C,) amounts by which the soft constraints give way, as little as possible; infinite: the hard fail."""
    from scipy.optimize import linprog

    if not soft and not hard:
        return np.zeros(0)
    K, C = len((*soft, *hard)[0].row_K), len(soft)
    rows, values, equal, equals = [], [], [np.concatenate([np.ones(K), np.zeros(2 * C)])], [1.0]
    for c, limit in enumerate((*soft, *hard)):
        give = np.zeros(2 * C)
        if c < C:
            give[c], give[C + c] = -1.0, 1.0 if limit.equal else 0.0
        size = max(float(np.abs(limit.row_K).max()), 1e-300)
        row = np.concatenate([limit.row_K / size, give])
        (equal if limit.equal else rows).append(row)
        (equals if limit.equal else values).append(limit.value / size)
    cost = np.concatenate([np.zeros(K), np.ones(2 * C)])
    found = linprog(
        cost, np.array(rows) if rows else None, values or None, np.array(equal), equals, (0, None),
        options={"primal_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    if found.x is None:
        return np.full(max(C, 1), np.inf)
    return found.x[K : K + C] + found.x[K + C :]
