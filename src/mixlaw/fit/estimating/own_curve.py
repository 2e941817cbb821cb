"""The runs of one perturbation design seen as curves: one domain moves, the others stay at the base mixture."""

from __future__ import annotations

import numpy as np

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable

_SAME = 0.02
"""Token counts that differ by a smaller part than this count as equal: samples of whole rows differ by less than one
conversation. No data."""


def own_curve_rows(runs: RunTable, domain: str) -> np.ndarray:
    """Return the indices of the runs in which only `domain` moves, ordered by its tokens.

    The base mixture is the one that most runs share all but one domain's tokens with.

    Raises:
        FitError: the runs hold no perturbation design.
    """
    tokens = runs.tokens_RK
    i = runs.domains.index(domain)
    base = _base_row(runs)
    same = np.abs(tokens - tokens[base]) <= _SAME * np.maximum(tokens[base], 1)
    others = np.delete(np.arange(len(runs.domains)), i)
    rows = np.flatnonzero(same[:, others].all(axis=1))
    if len(rows) < 3:
        raise FitError(
            f"Only {len(rows)} runs change '{domain}' while the other domains stay at the base mixture.",
            "This procedure needs the published perturbation design (plan: {design: perturbation}); "
            "the joint fit takes any design.",
        )
    return rows[np.argsort(tokens[rows, i], kind="stable")]


def _base_row(runs: RunTable) -> int:
    tokens = runs.tokens_RK
    same = np.abs(tokens[:, None] - tokens[None]) <= _SAME * np.maximum(tokens[None], 1)
    neighbours = (same.sum(axis=2) >= len(runs.domains) - 1).sum(axis=0)
    return int(np.argmax(neighbours))
