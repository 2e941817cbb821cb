"""What every law is: an equation for one target's loss, with named parameters.

A law is a value without state. Parameters travel as arrays whose last axis is P, in the order of `parameters`, so
that one call evaluates one parameter vector or a thousand posterior draws.

Shape letters: R runs, K domains, P parameters, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Parameter:
    """A named number of a law.

    Attributes:
        name: as in the equation.
        unit: its unit in words.
        lower: smallest value allowed.
        upper: largest value allowed.
    """

    name: str
    unit: str
    lower: float
    upper: float


class Law(Protocol):
    """An equation for the loss of one target, nats per supervised token."""

    name: str
    parameters: tuple[Parameter, ...]

    def predict(self, theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
        """Return the loss of R mixtures, nats.

        Args:
            theta_P: (..., P) parameters; leading axes broadcast against those of the tokens.
            own_R: (..., R) tokens of the target's own domain.
            others_R: (..., R) tokens of all other domains.
        """
        ...

    def jacobian(self, theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        ...
