"""Runs of several model sizes: which there are, and what a law makes of them.

    L = (L_1 - E) (P / P_1)^-gamma + E          P parameters; L_1 the law at the largest size among the runs, P_1

Source: Zhang, Liu, Cherry, Firat 2024, arXiv 2402.17193, Eq. 1.
"""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable


def largest_size(runs: RunTable) -> float:
    """Return the most parameters of a model among the runs; NaN where the table does not say."""
    if runs.params_R is None or not np.isfinite(runs.params_R).any():
        return float("nan")
    return float(np.nanmax(runs.params_R))


def log_sizes(runs: RunTable) -> np.ndarray | None:
    """Return (R,) logarithms of the sizes over the largest; None where all are alike or not known."""
    top = largest_size(runs)
    if not np.isfinite(top) or top <= 0 or runs.params_R is None:
        return None
    sizes = np.where(np.isfinite(runs.params_R) & (runs.params_R > 0), runs.params_R, top)
    return None if np.allclose(sizes, top, rtol=1e-3) else np.log(sizes / top)


def log_sizes_over(params_R: np.ndarray, params: float) -> np.ndarray:
    """Return (R,) logarithms of sizes over one; 0 where a size is not known."""
    return np.nan_to_num(np.log(np.maximum(params_R, 1e-300) / params))


def at_size(losses: np.ndarray, floor: np.ndarray | float, gamma: np.ndarray | float, log_size: np.ndarray | float):
    """Return losses of the largest size turned into those of another; everything broadcasts."""
    return floor + (losses - floor) * np.exp(-np.asarray(gamma) * log_size)
