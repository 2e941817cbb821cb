"""What estimates a law's parameters from runs, and what it returns for one target before that is judged.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixlaw.core.errors import TooFewRuns
from mixlaw.core.plurals import plural
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
        shock: standard deviation of what runs of a batch have in common, over a typical loss; None where that was not
            asked, or the runs have no batches.
    """

    curve: Curve
    at_bound: tuple[str, ...] = ()
    information: Information | None = None
    convergence: Convergence | None = None
    shock: float | None = None


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


@dataclass(frozen=True)
class OfTrainedRuns:
    """`Estimator` of a law that says nothing of runs without tokens: they are left out.

    Attributes:
        inner: of the law.
    """

    inner: Estimator

    @property
    def any_size(self) -> bool:
        """The inner one's."""
        return self.inner.any_size

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> Sequence[Estimated]:
        """See `Estimator.fit`.

        Raises:
            TooFewRuns: no run has any tokens.
        """
        return self.inner.fit(trained(runs), seed, draws)

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """See `Estimator.held_out`; NaN for runs without tokens."""
        some, predicted = runs.totals_R > 0, np.full(runs.losses_RJ.shape, np.nan)
        predicted[some] = self.inner.held_out(trained(runs), [fold[some] for fold in folds])
        return predicted


def trained(runs: RunTable) -> RunTable:
    """Return the runs that have any tokens.

    Raises:
        TooFewRuns: there are none.
    """
    some = runs.totals_R > 0
    if not some.any():
        raise TooFewRuns(
            "No run has any tokens, so nothing shows the effect of training.", "Add runs that were trained."
        )
    return runs if some.all() else runs.take(some)


def require_different(runs: RunTable, target: str, law: str) -> None:
    """Raise TooFewRuns where a target was measured at fewer than two mixtures: nothing says what they change."""
    known = np.isfinite(runs.losses_RJ[:, runs.targets.index(target)])
    distinct = len(np.unique(runs.tokens_RK[known], axis=0))
    if distinct < 2:
        raise TooFewRuns(
            f"Target '{target}' was measured at {plural(distinct, 'mixture')}; law '{law}' needs 2.",
            "Add runs with other mixtures (1 + 4 K are a good number), or delete its column.",
        )


def predicted_by_refitting(estimator: Estimator, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
    """Return `Estimator.held_out` by fitting anew without each fold."""
    predicted = np.full(runs.losses_RJ.shape, np.nan)
    for fold in folds:
        held_RK = runs.tokens_RK[fold] / MILLION
        for j, one in enumerate(estimator.fit(runs.take(~fold), 0, 0)):
            predicted[fold, j] = one.curve.losses(held_RK)
    return predicted
