"""What a fitter returns for one target, before it is judged: parameters, draws, and the scatter of runs around them.

Shape letters: R runs, P parameters, S draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixlaw.fit.information import Information
from mixlaw.laws.base import Law


@dataclass(frozen=True)
class Scatter:
    """How far runs lie from the law: a standard deviation that may grow with the loss.

        sd(L) = sd_nats ((max(L - base, 0) / span + 0.1) / 0.6)^power

    Runs that have seen almost nothing of a domain scatter more than those that have: their loss depends on what little
    transfer there is.

    Attributes:
        sd_nats: standard deviation in the middle of the measured losses.
        power: 0 where the scatter is the same everywhere.
        base: smallest measured loss, nats.
        span: largest minus smallest measured loss, nats.
    """

    sd_nats: float
    power: float = 0.0
    base: float = 0.0
    span: float = 1.0

    def at(self, losses: np.ndarray) -> np.ndarray:
        """Return the standard deviation of a run's loss where the law says `losses`, nats; any shape."""
        height = (np.maximum(losses - self.base, 0) / max(self.span, 1e-300) + 0.1) / 0.6
        return self.sd_nats * height**self.power


@dataclass(frozen=True)
class Fitted:
    """One target's estimate.

    Attributes:
        law: the law, made for the domains and this target.
        theta_P: point estimate, tokens in millions, in the order of `law.parameters`.
        draws_SP: posterior draws of it; one row, the estimate, where none were asked for.
        scatter: of runs around the law.
        at_bound: names of parameters that ended at a bound.
        information: what the runs say about the parameters.
        gamma: exponent of the model's size and its draws, where runs are of several sizes.
    """

    law: Law
    theta_P: np.ndarray
    draws_SP: np.ndarray
    scatter: Scatter
    at_bound: tuple[str, ...] = ()
    information: Information | None = None
    gamma: tuple[float, np.ndarray] | None = None


class Fitter(Protocol):
    """Fits one law to every target of a table; targets may share strength."""

    def __call__(
        self,
        domains: tuple[str, ...],
        targets: tuple[str, ...],
        tokens_RK: np.ndarray,
        losses_RJ: np.ndarray,
        seed: int,
        draws: int,
    ) -> Sequence[Fitted]:
        """Return the targets' estimates in their order.

        Args:
            domains: K names.
            targets: J names.
            tokens_RK: tokens, millions.
            losses_RJ: nats; NaN where a run did not measure a target.
            seed: of the posterior draws.
            draws: how many to return; 0 for the estimate alone, which is faster.

        Raises:
            TooFewRuns: a target was measured at too few different mixtures.
            FitError: a target is not a domain where the law needs it.
        """
        ...
