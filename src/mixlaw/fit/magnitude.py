"""How large losses are: by what errors are divided, and the least of them, both unmoved by a loss of (nearly) nothing.

A value that was not measured may stand in a table as 0, and a metric's distance from its best may really be 0.
"""

from __future__ import annotations

import numpy as np

_PART = 0.1
"""Least size by which an error is divided, as a part of the target's median: below it one run would decide. No data."""

_NOTHING = 0.01
"""A loss of less than this part of the median is (nearly) nothing: it says nothing of the floor, and its error is in
parts of the median. For safety. No data."""


def magnitudes(losses: np.ndarray) -> np.ndarray:
    """Return what to divide errors by, in the shape of the losses, (R,) or (R, J): their absolute values, and not less
    than a tenth of their target's median, or all of it where they are (nearly) nothing; NaN where a loss is."""
    absolute = np.abs(losses)
    middle = np.maximum(_median(absolute), 1e-12)
    return np.where(absolute < _NOTHING * middle, middle, np.maximum(absolute, _PART * middle))


def least(losses_R: np.ndarray) -> float:
    """Return the smallest loss that is not (nearly) nothing beside the others; at least 0."""
    some = losses_R[losses_R >= _NOTHING * _median(np.abs(losses_R))]
    return max(float(np.min(some if len(some) else losses_R)), 0.0)


def _median(absolute: np.ndarray) -> np.ndarray:
    """Return the median of what is larger than 0, 0 where nothing is, over the first axis."""
    if absolute.ndim > 1:
        return np.array([_median(column) for column in absolute.T])
    some = absolute[absolute > 0]
    return np.asarray(np.median(some) if len(some) else 0.0)
