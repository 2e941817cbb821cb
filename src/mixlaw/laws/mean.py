"""The mean of the training losses, whatever the mixture: what every other law must beat.

    L = mean

Differs: nothing is published; a robust fit weights a run gone wrong down, so that the value is Huber's mean.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import MixtureLaw, as_tokens, scalars
from mixlaw.laws.base import Parameter


class Mean(MixtureLaw):
    """`L = mean` for any target."""

    name = "mean"
    any_size = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("mean", "nats", 0.0, np.inf),)

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the same loss for every mixture, nats (see `Law.predict`)."""
        (mean,) = scalars(theta_P, 0)
        return mean + np.zeros(len(tokens_RK))

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 1) ones."""
        return np.ones_like(self.predict(theta_P, tokens_RK))[..., None]

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) zeros."""
        tokens_RK, _ = as_tokens(tokens_RK)
        return np.zeros_like(self.predict(theta_P, tokens_RK))[..., None] * tokens_RK

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: the mixture does not matter (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: nothing changes the loss."""
        return True

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters unchanged: the mean knows no tokens."""
        return np.array(theta_P, dtype=np.float64)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return the mean, (1, 1)."""
        return np.array([[float(np.mean(losses_R))]])
