"""A law of one's own: a token of each source has its own worth, and the loss falls with the sum of what they are worth.

L = E + D^-b          D = sum_i v_i N_i
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws.base import Parameter


class Worth:
    """`L = E + (sum_i v_i N_i)^-b` for any target."""

    name = "worth"

    def __init__(self, domains: tuple[str, ...], target: str) -> None:
        self.domains, self.target = tuple(domains), target
        self.parameters = (
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
            # A fine-tuning exponent is about 0.2: exp(log 0.2 -+ 2 x 0.7) is 0.05 to 0.8.
            Parameter("b", "1", 1e-3, 5.0, "log", (np.log(0.2), 0.7), role="exponent"),
            *(Parameter(f"v[{i}]", "tokens^-1", 0.0, np.inf, "log", (0.0, 3.0), source=i) for i in self.domains),
        )

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses, (..., R) nats."""
        E, b, D = self._parts(theta_P, tokens_RK)
        return E + D**-b

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        _, b, D = self._parts(theta_P, tokens_RK)
        by_worth = (-b * D ** (-b - 1))[..., None] * tokens_RK
        return np.concatenate([np.ones((*D.shape, 1)), (-np.log(D) * D**-b)[..., None], by_worth], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens."""
        _, b, D = self._parts(theta_P, tokens_RK)
        return (-b * D ** (-b - 1))[..., None] * theta_P[..., None, 2:]

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for tokens that are `factor` times as many in the new unit."""
        theta = np.array(theta_P, float)
        theta[..., 2:] /= factor
        return theta

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return a start for each of some floors and exponents: with them, v is a linear regression."""
        from scipy.optimize import nnls

        found = []
        for share, b in ((0.8, 0.2), (0.5, 0.2), (0.8, 0.5), (0.9, 0.1), (0.2, 0.1))[:count]:
            E = share * float(losses_R.min())
            # Each run counts by what it should be worth: a relative error is an error of the logarithm.
            v = nnls(tokens_RK * ((losses_R - E) ** (1 / b))[:, None], np.ones(len(losses_R)))[0]
            found.append([E, b, *np.maximum(v, 1e-3 * v.max())])
        return np.array(found)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: a falling power of a sum. With this (it is optional) `solve` proves the optimum."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: no token does harm."""
        return True

    def _parts(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        theta = np.asarray(theta_P, float)
        return theta[..., 0, None], theta[..., 1, None], theta[..., 2:] @ tokens_RK.T
