"""Draws of two laws as the draws of one: what decides where left-out runs cannot tell the two apart.

    L = L_first(theta_first)      where the first parameter, `second`, is 0
    L = L_second(theta_second)    where it is 1

A mean over such draws is the average of both laws' means, so that weights chosen by it hedge between them, and a
percentile of a regret contains that either may be the true one.

Source: Bayesian model averaging, Hoeting, Madigan, Raftery, Volinsky 1999, Statist. Sci. 14:382-417, Eq. 1.
Differs: both laws count alike; their posterior probabilities would need proper priors on every parameter.

Shape letters: S draws, R mixtures, K domains, P parameters of both laws and one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.laws.base import Law, Parameter


@dataclass(frozen=True)
class Either:
    """A law whose first parameter says which of two laws a draw is of.

    Attributes:
        first: one law.
        second: another of the same domains and target.
    """

    first: Law
    second: Law

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name} or {self.second.name}"

    @property
    def domains(self) -> tuple[str, ...]:
        """Of both."""
        return self.first.domains

    @property
    def target(self) -> str:
        """Of both."""
        return self.first.target

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Which law it is, then the first one's and the second one's, each after its law's name."""
        return (
            Parameter("second", "1", 0.0, 1.0),
            *(replace(p, name=f"{law.name}.{p.name}") for law in (self.first, self.second) for p in law.parameters),
        )

    @property
    def _middle(self) -> int:
        """Where the second law's parameters begin."""
        return 1 + len(self.first.parameters)

    def together(self, first_SP: np.ndarray, second_SP: np.ndarray) -> np.ndarray:
        """Return the draws of both laws as draws of this one; the other law's parameters are held at its first draw."""
        of_first = np.column_stack([np.zeros(len(first_SP)), first_SP, np.tile(second_SP[0], (len(first_SP), 1))])
        of_second = np.column_stack([np.ones(len(second_SP)), np.tile(first_SP[0], (len(second_SP), 1)), second_SP])
        return np.vstack([of_first, of_second])

    def parts(self, theta_SP: np.ndarray) -> tuple[tuple[Law, np.ndarray, np.ndarray], ...]:
        """Return each law with the rows that are its own, (S,), and their parameters."""
        is_second, middle = theta_SP[:, 0] >= 0.5, self._middle
        return (
            (self.first, ~is_second, theta_SP[~is_second, 1:middle]),
            (self.second, is_second, theta_SP[is_second, middle:]),
        )

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses of R mixtures, (..., R), nats (see `Law.predict`)."""
        return self._each(theta_P, (len(tokens_RK),), lambda law, theta: law.predict(theta, tokens_RK))

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens."""
        return self._each(theta_P, tokens_RK.shape, lambda law, theta: law.gradient(theta, tokens_RK))

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict`: 0 by `second` and by the other law's parameters."""
        R, P, middle = len(tokens_RK), len(self.parameters), self._middle

        def padded(law: Law, theta: np.ndarray) -> np.ndarray:
            whole = np.zeros((len(theta), R, P))
            whole[..., slice(1, middle) if law is self.first else slice(middle, P)] = law.jacobian(theta, tokens_RK)
            return whole

        return self._each(theta_P, (R, P), padded)

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for tokens that are `factor` times as many in the new unit."""
        first, second = theta_P[..., 1 : self._middle], theta_P[..., self._middle :]
        return np.concatenate(
            [theta_P[..., :1], self.first.rescale(first, factor), self.second.rescale(second, factor)], axis=-1
        )

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return starting points of both laws, together; it is not fitted as one."""
        return self.together(*(law.starts(tokens_RK, losses_R, count) for law in (self.first, self.second)))

    def _each(
        self, theta_P: np.ndarray, shape: tuple[int, ...], compute: Callable[[Law, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the results of both laws' draws, (..., *shape)."""
        theta_SP = theta_P.reshape(-1, theta_P.shape[-1])
        found = np.empty((len(theta_SP), *shape))
        for law, rows, theta in self.parts(theta_SP):
            if rows.any():
                found[rows] = compute(law, theta)
        return found.reshape(*theta_P.shape[:-1], *shape)
