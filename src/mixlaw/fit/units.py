"""The units that tokens are counted in while a law is fitted.

Run tables count tokens. Parameters are reported for millions, as the paper does. Priors and starting points are in
units of a typical run's total, so that they need no knowledge of whether a study has thousands or billions of tokens.
"""

from __future__ import annotations

import numpy as np

MILLION = 1e6
"""Tokens per unit in which parameters are reported. Source: Li, Liu, Xing 2025, Table 1."""


def typical_total(tokens_RK: np.ndarray) -> float:
    """Return the geometric mean of the totals of the runs that have any tokens, in the unit of the tokens."""
    totals_R = tokens_RK.sum(axis=1)
    return float(np.exp(np.mean(np.log(totals_R[totals_R > 0])))) if (totals_R > 0).any() else 1.0
