"""A law plus a Gaussian process on what it leaves: near the runs the process corrects, far from them it is 0.

    L(N) = law(N) + f(N)          f ~ GP(0, k) of `mixlaw.laws.gp`, fitted to measured minus predicted losses

Source: Kennedy and O'Hagan 2001, J. R. Stat. Soc. B 63:425-464, section 4 (a discrepancy term on a model of the world).

Shape letters: R runs, K domains, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.base import Law
from mixlaw.laws.gp import GaussianProcess, GaussianProcessPredictor
from mixlaw.laws.wrapped import Wrapped


@dataclass(frozen=True)
class Corrected(Wrapped):
    """A law with a correction that does not depend on its parameters.

    Attributes:
        law: the equation.
        correction: what the runs leave of it, nats; tokens in the unit of the fit.
    """

    correction: GaussianProcessPredictor

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R) losses, nats (see `Law.predict`)."""
        return self.law.predict(theta_P, tokens_RK) + self.correction.predict(tokens_RK)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter: the law's."""
        return self.law.jacobian(theta_P, tokens_RK)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        return self.law.gradient(theta_P, tokens_RK) + self.correction.gradient(tokens_RK)


def correct(law: Law, theta_P: np.ndarray, tokens_RK: np.ndarray, losses_R: np.ndarray) -> Corrected:
    """Return the law corrected by the residuals of R runs; a NaN loss is left out."""
    known = np.isfinite(losses_R)
    left = losses_R[known] - law.predict(theta_P, tokens_RK[known])
    return Corrected(law, GaussianProcess(centred=False).fit(tokens_RK[known], left, 0))
