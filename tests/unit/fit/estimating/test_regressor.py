"""A regressor in the place of a law: no parameters, and the scatter of runs that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating.regressor import RegressorEstimator, RegressorLaw
from mixlaw.laws import LawKind

DOMAINS = ("a", "b")


@dataclass
class Middle:
    """Predicts the mean of its runs."""

    name = "middle"
    mean: float = 0.0

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> Middle:
        assert np.isfinite(losses_R).all()
        assert tokens_RK.max() < 100  # millions
        return Middle(float(np.mean(losses_R)))

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        return np.full(len(tokens_RK), self.mean)


KIND = LawKind("middle", None, Middle)


def table(R: int, copies: int = 1) -> RunTable:
    rng = np.random.default_rng(0)
    tokens = np.repeat(np.exp(rng.normal(0, 1, (R, 2))) * 1e6, copies, axis=0)
    losses = 2 + rng.random((R * copies, 2))
    return RunTable(tuple(f"r{i}" for i in range(R * copies)), DOMAINS, DOMAINS, tokens, losses)


@pytest.mark.parametrize(("R", "copies", "folds"), [(15, 1, 5), (3, 4, 3), (10, 2, 5)])
def test_the_scatter_is_that_of_runs_whose_mixture_was_held_out(R: int, copies: int, folds: int) -> None:
    runs = table(R, copies)
    found = RegressorEstimator(KIND).fit(runs)[1]
    mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel() % folds
    losses = runs.losses_RJ[:, 1]
    residuals = [losses[mixtures == f] - losses[mixtures != f].mean() for f in range(folds)]
    # The normal distribution with as many within its 90 %: single runs far off do not widen all intervals.
    within = np.quantile(np.abs(np.concatenate(residuals)), 0.9)
    assert found.curve.scatter.sd_nats == pytest.approx(within / 1.645)


def test_runs_without_a_loss_are_left_out_and_predicted() -> None:
    runs = table(12)
    runs.losses_RJ[2, 0] = np.nan
    fold = np.arange(12) < 4
    found = RegressorEstimator(KIND).held_out(runs, [fold])
    assert found[:4, 0] == pytest.approx(runs.losses_RJ[4:, 0].mean())
    assert found[:4, 1] == pytest.approx(runs.losses_RJ[4:, 1].mean())
    assert np.isnan(found[4:]).all()


def test_it_has_the_members_of_a_law_without_parameters() -> None:
    law = RegressorLaw.of(KIND, table(6), "b")
    tokens = np.ones((3, 2))
    assert law.name == "middle"
    assert law.parameters == ()
    assert law.starts(tokens, np.ones(3), 4).shape == (1, 0)
    assert law.jacobian(np.zeros((4, 0)), tokens).shape == (4, 3, 0)
    assert law.predict(np.zeros(0), tokens).shape == (3,)
    assert law.predict(np.zeros((4, 0)), tokens).shape == (4, 3)
    assert law.rescale(np.zeros((4, 0)), 10.0).shape == (4, 0)
    with pytest.raises(FitError, match="'middle' has no equation"):
        law.gradient(np.zeros(0), tokens)


def test_the_curve_has_the_prediction_as_its_one_draw() -> None:
    curve = RegressorEstimator(KIND).fit(table(6))[0].curve
    assert curve.theta_P.shape == (0,)
    assert curve.draws_SP.shape == (1, 0)
    assert curve.losses(np.ones((2, 2))) == pytest.approx(table(6).losses_RJ[:, 0].mean())
