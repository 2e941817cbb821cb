"""What a law around another law shares with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.base import Law, Parameter


@dataclass(frozen=True)
class Wrapped:
    """Everything but the losses is the inner law's; parameters pass through.

    Attributes:
        law: the inner one.
    """

    law: Law

    @property
    def name(self) -> str:
        """The inner law's."""
        return self.law.name

    @property
    def domains(self) -> tuple[str, ...]:
        """The inner law's."""
        return self.law.domains

    @property
    def target(self) -> str:
        """The inner law's."""
        return self.law.target

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The inner law's."""
        return self.law.parameters

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the inner law's rescaled parameters; what the wrapping holds keeps its unit."""
        return self.law.rescale(theta_P, factor)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return the inner law's starting points."""
        return self.law.starts(tokens_RK, losses_R, count)
