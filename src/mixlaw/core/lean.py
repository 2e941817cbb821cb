"""How much a mixture leans on few of its domains: what the scatter of runs goes with.

Shape letters: R mixtures, K domains.
"""

from __future__ import annotations

import numpy as np


def lean(tokens_RK: np.ndarray) -> np.ndarray:
    """Return (R,) how much mixtures lean on few domains: 1 - entropy(w) / log K; 0 for equal shares, 1 for one domain.

    With one domain, or without tokens, 0.
    """
    totals_R, K = tokens_RK.sum(axis=1), tokens_RK.shape[1]
    if K < 2:
        return np.zeros(len(tokens_RK))
    shares_RK = tokens_RK / np.maximum(totals_R, 1e-300)[:, None]
    entropy_R = -(shares_RK * np.log(np.maximum(shares_RK, 1e-300))).sum(axis=1)
    return np.where(totals_R > 0, 1 - entropy_R / np.log(K), 0.0)
