"""Runs of several model sizes: which there are, and what a law makes of them.

    L = C p^-gamma D^-(beta + gamma_beta log p) + E p^-gamma_E      p = P / P_1, P parameters

with the law C D^-beta + E at the largest size among the runs, P_1. Floors and amplitudes scale apart, and the exponent
of the tokens may move.

Source: Zhang, Liu, Cherry, Firat 2024, arXiv 2402.17193, Eq. 1. Differs: there E and beta are of all sizes.
"""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.laws.base import Law, places

SIZE = ("gamma", "gamma_E", "gamma_beta")
"""Names of the exponents of size."""

_LEAST_EXPONENT = 1e-3
"""Smallest exponent of tokens at any model size: larger models are assumed to learn from tokens, too. For safety. No
data."""


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


def at_size(law: Law, theta: np.ndarray, exponents: np.ndarray, log_size: float) -> np.ndarray:
    """Return the parameters of the law, (..., P), at another size, from those at the largest and (..., 3) exponents."""
    theta = theta.copy()
    gamma, of_floor, of_exponent = (exponents[..., [i]] for i in range(len(SIZE)))
    theta[..., places(law, "amplitude")] *= np.exp(-gamma * log_size)
    theta[..., places(law, "floor")] *= np.exp(-of_floor * log_size)
    power = places(law, "exponent")
    theta[..., power] = np.maximum(theta[..., power] + of_exponent * log_size, _LEAST_EXPONENT)
    return theta
