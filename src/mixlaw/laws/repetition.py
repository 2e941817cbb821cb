"""Tokens beyond the first epoch count for less, and a law that is told so.

    N' = U + U R* (1 - exp(-(N / U - 1) / R*))          N > U;  N' = N otherwise

N training tokens of a domain of which U are distinct are worth N' fresh ones; R*, the decay, is how many repeats it
takes until the next one is worth 1/e of a fresh one. Fine-tuning sets are small and are passed over several times, so
a law that takes repeats for fresh tokens recommends too much of a small domain.

Source: Muennighoff et al. 2023, arXiv 2305.16264, Eq. 5 (R* = 15.4 for pre-training, section 6).
Differs: domain by domain; the decay is fitted to the runs or given.

Shape letters: R runs, K domains, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.base import Convex, Law, Parameter


def count_tokens(tokens_RK: np.ndarray, unique_RK: np.ndarray, decay: float) -> np.ndarray:
    """Return what the tokens are worth in fresh ones, in the same unit.

    Args:
        tokens_RK: training tokens, repeats included.
        unique_RK: distinct tokens among them, or those that there are; broadcast against `tokens_RK`.
        decay: R* > 0; infinite where a repeat is as good as a fresh token.
    """
    if np.isinf(decay):
        return np.asarray(tokens_RK, float)
    repeats, first = _repeats(tokens_RK, unique_RK)
    return first * (1 + decay * -np.expm1(-repeats / decay))


def count_slope(tokens_RK: np.ndarray, unique_RK: np.ndarray, decay: float) -> np.ndarray:
    """Return the worth of one more token in fresh ones: 1 within the first epoch, then falling to 0."""
    return np.exp(-_repeats(tokens_RK, unique_RK)[0] / decay)


def _repeats(tokens_RK: np.ndarray, unique_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return passes beyond the first, and the tokens of the first."""
    first = np.minimum(tokens_RK, unique_RK)
    return np.where(first > 0, tokens_RK / np.where(first > 0, first, 1.0) - 1, 0.0), first


@dataclass(frozen=True)
class Repeated:
    """A law whose tokens are counted by `count_tokens` first; all else, its parameters too, is the inner law's.

    Attributes:
        law: of fresh tokens.
        unique_K: distinct tokens that there are, in the unit of the tokens; infinite where never repeated.
        decay: R*.
    """

    law: Law
    unique_K: np.ndarray
    decay: float

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

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R) losses, nats (see `Law.predict`)."""
        return self.law.predict(theta_P, self._counted(tokens_RK))

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        return self.law.jacobian(theta_P, self._counted(tokens_RK))

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        slope = count_slope(tokens_RK, self.unique_K, self.decay)
        return self.law.gradient(theta_P, self._counted(tokens_RK)) * slope

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return whether the inner law is convex and falls with all tokens, whose count is concave."""
        return isinstance(self.law, Convex) and self.law.convex(theta_SP) and self.law.falling(theta_SP)

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return whether the inner law falls."""
        return isinstance(self.law, Convex) and self.law.falling(theta_SP)

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the inner law's rescaled parameters; the distinct tokens keep their unit."""
        return self.law.rescale(theta_P, factor)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return the inner law's starting points."""
        return self.law.starts(self._counted(tokens_RK), losses_R, count)

    def _counted(self, tokens_RK: np.ndarray) -> np.ndarray:
        return count_tokens(tokens_RK, self.unique_K, self.decay)
