"""How a check speaks: a claim that fails raises AssertionError with a sentence and the size of the deviation."""

from __future__ import annotations

import numpy as np


def claim_that(holds: bool, who: str, claim: str) -> None:
    """Raise AssertionError unless the claim holds.

    Args:
        holds: whether it does.
        who: what is checked, "law 'mean'".
        claim: a sentence about it without its subject.
    """
    if not holds:
        raise AssertionError(f"The {who} does not conform: {claim}.")


def claim_small(away: np.ndarray, who: str, claim: str, tolerance: float) -> None:
    """Raise AssertionError unless no deviation exceeds the tolerance; nan does."""
    size = float(np.max(np.abs(away), initial=0.0))
    if not size <= tolerance:
        raise AssertionError(f"The {who} deviates: {claim}, but is off by {size:.2g} (at most {tolerance:g}).")


def claim_close(value: np.ndarray, expected: np.ndarray, who: str, claim: str, tolerance: float) -> None:
    """Raise AssertionError unless all values are those expected, relative to their size."""
    size = float(np.abs(expected).max()) or 1.0
    claim_small(np.abs(value - expected) / (np.abs(expected) + 1e-3 * size), who, claim, tolerance)
