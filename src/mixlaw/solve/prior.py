"""A pull of the weights towards a mixture that is preferred for reasons no loss shows.

Shape letters: K domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prior:
    """A pull towards a mixture: `strength KL(w || share) = strength sum_i w_i log(w_i / share_i)`.

    Domains without a share have no term: the caller keeps their weights at 0.

    Attributes:
        share_K: the mixture, sum 1.
        strength: nats.
    """

    share_K: np.ndarray
    strength: float

    def terms(self, weights: np.ndarray) -> np.ndarray:
        """Return the terms of the sum, (..., K)."""
        ratio = np.where(self._some(weights), weights, 1.0) / np.where(self.share_K > 0, self.share_K, 1.0)
        return self.strength * np.where(self._some(weights), weights * np.log(ratio), 0.0)

    def slope(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivatives of the terms, both (..., K); a weight of 0 counts as 1e-16."""
        held = np.maximum(weights, 1e-16)
        first = self.strength * (np.log(held / np.where(self.share_K > 0, self.share_K, 1.0)) + 1)
        return np.where(self.share_K > 0, first, 0.0), np.where(self.share_K > 0, self.strength / held, 0.0)

    def _some(self, weights: np.ndarray) -> np.ndarray:
        return (weights > 0) & (self.share_K > 0)
