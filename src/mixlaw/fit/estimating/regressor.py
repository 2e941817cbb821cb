"""Regressors in the place of laws: refitted from the runs wherever they are needed, with the scatter of held-out runs.

A regressor has no parameters to store. It is deterministic, so `fit.json` keeps the runs, and the predictor is made
again on first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Curve, Scatter
from mixlaw.fit.estimating.estimator import Estimated, require_different
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind
from mixlaw.laws.base import Parameter, Predictor

_FOLDS = 5
"""Number of parts of the runs, each held out once, to measure how far runs lie from a regressor's prediction. Usual.
No data."""

_HELD, _NORMAL_HELD = 0.9, 1.645
"""Share of runs that intervals hold, and the normal quantile of it. Usual. No data."""


@dataclass(frozen=True)
class RegressorLaw:
    """A regressor fitted to one target's runs, with the members of a law: it predicts, without parameters.

    Attributes:
        kind: the regressor.
        domains: K names.
        target: the validation set.
        tokens_RK: of the runs, millions.
        losses_R: nats, without NaN.
    """

    kind: LawKind
    domains: tuple[str, ...]
    target: str
    tokens_RK: np.ndarray
    losses_R: np.ndarray
    parameters: tuple[Parameter, ...] = ()

    @staticmethod
    def of(kind: LawKind, runs: RunTable, target: str) -> RegressorLaw:
        """Return it for the runs that measured a target."""
        losses_R = runs.losses_RJ[:, runs.targets.index(target)]
        rows = np.isfinite(losses_R)
        return RegressorLaw(kind, runs.domains, target, runs.tokens_RK[rows] / MILLION, losses_R[rows])

    @property
    def name(self) -> str:
        """The regressor's."""
        return self.kind.name

    @cached_property
    def predictor(self) -> Predictor:
        """The fitted regressor."""
        assert self.kind.regressor is not None
        return self.kind.regressor().fit(self.tokens_RK, self.losses_R, 0)

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R) losses, nats (see `Law.predict`)."""
        losses_R = self.predictor.predict(tokens_RK)
        return np.broadcast_to(losses_R, (*theta_P.shape[:-1], len(losses_R)))

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 0): there are no parameters."""
        return np.zeros((*theta_P.shape[:-1], len(tokens_RK), 0))

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Raise FitError: a regressor has no derivatives."""
        raise FitError(
            f"'{self.name}' has no equation, so it has no parameters and no derivatives.",
            "Fit a law with an equation; `mixlaw laws` compares all.",
        )

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters: none."""
        return np.array(theta_P, float)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return the one start of no parameters."""
        return np.zeros((1, 0))


@dataclass(frozen=True)
class RegressorEstimator:
    """`mixlaw.fit.estimating.estimator.Estimator` of a regressor.

    Attributes:
        kind: the regressor.
        any_size: False: it knows one model size.
    """

    kind: LawKind
    any_size: bool = False

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> list[Estimated]:
        """See `Estimator.fit`; there are no draws but the prediction."""
        found = []
        for target in runs.targets:
            require_different(runs, target, self.kind.name)
            law = RegressorLaw.of(self.kind, runs, target)
            none = np.zeros(0)
            found.append(Estimated(Curve(law, none, none[None], scatter_of(law))))
        return found

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """See `Estimator.held_out`."""
        predicted = np.full(runs.losses_RJ.shape, np.nan)
        for fold in folds:
            rest, held_RK = runs.take(~fold), runs.tokens_RK[fold] / MILLION
            for j, target in enumerate(runs.targets):
                require_different(rest, target, self.kind.name)
                predicted[fold, j] = RegressorLaw.of(self.kind, rest, target).predictor.predict(held_RK)
        return predicted


def of_folds(law: RegressorLaw) -> Iterator[tuple[np.ndarray, RegressorLaw]]:
    """Yield the masks (R,) of five folds of whole mixtures, and the regressor of the other runs."""
    mixtures = np.unique(law.tokens_RK, axis=0, return_inverse=True)[1].ravel()
    folds = min(_FOLDS, int(mixtures.max()) + 1)
    for fold in range(folds):
        held_R = mixtures % folds == fold
        if held_R.any() and not held_R.all():
            yield held_R, replace(law, tokens_RK=law.tokens_RK[~held_R], losses_R=law.losses_R[~held_R])


def scatter_of(law: RegressorLaw) -> Scatter:
    """Return the spread of held-out runs around the predictor: the normal one with as many within 90 %.

    Where single runs lie far off, their root mean square would be an interval that holds nearly all.
    """
    away_R = np.zeros(len(law.losses_R))
    for held_R, rest in of_folds(law):
        away_R[held_R] = law.losses_R[held_R] - rest.predictor.predict(law.tokens_RK[held_R])
    return Scatter(float(np.quantile(np.abs(away_R), _HELD)) / _NORMAL_HELD + 1e-12)
