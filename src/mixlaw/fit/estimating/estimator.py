"""What estimates a law's parameters from runs, and what it returns for one target before that is judged.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Curve
from mixlaw.fit.estimating.information import Information
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.units import MILLION


@dataclass(frozen=True)
class Estimated:
    """One target's estimate.

    Attributes:
        curve: the law with its parameters, their draws and the scatter of runs; tokens in millions.
        at_bound: names of parameters that ended at a bound.
        information: what the runs say about the parameters.
        convergence: whether the draws suffice; None where there are none.
    """

    curve: Curve
    at_bound: tuple[str, ...] = ()
    information: Information | None = None
    convergence: Convergence | None = None


class Estimator(Protocol):
    """Fits one law to every target of a table; targets may share strength.

    Attributes:
        any_size: whether it takes runs of several model sizes.
    """

    @property
    def any_size(self) -> bool: ...

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> Sequence[Estimated]:
        """Return the targets' estimates in their order.

        Args:
            runs: with repeated tokens counted already; a loss may be NaN.
            seed: of the posterior draws.
            draws: how many to return; 0 for the point alone, which is faster.

        Raises:
            TooFewRuns: a target was measured at too few different mixtures.
            FitError: a target is not a domain where the law needs it.
        """
        ...

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """Return (R, J) losses predicted for each fold (a mask of runs) from the others; NaN for runs in no fold.

        Raises:
            MixlawError: as `fit`, for all runs or without a fold.
        """
        ...


def predicted_by_refitting(estimator: Estimator, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
    """Return `Estimator.held_out` by fitting anew without each fold."""
    predicted = np.full(runs.losses_RJ.shape, np.nan)
    for fold in folds:
        held_RK = runs.tokens_RK[fold] / MILLION
        for j, one in enumerate(estimator.fit(runs.take(~fold), 0, 0)):
            predicted[fold, j] = one.curve.losses(held_RK)
    return predicted
