"""What must hold of the fit of every law: the answer does not depend on how the runs are written down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.laws import find, names
from mixlaw.laws.pairwise import Pairwise
from quick_fits import few_folds, points_only, short_draws

DOMAINS, TARGETS = ("web", "maths", "code"), ("web", "code")
# C, n0, a, beta, E, then t, e and h of the two other domains.
TRUTH = (0.9, 0.05, 0.7, 0.2, 0.8, 0.1, 0.03, 0.0, 0.0, 0.0, 0.0)
MIXTURES = np.exp(np.random.default_rng(7).normal(0, 0.8, (18, 3)))
SAME = 2e-3
"""Nats; the losses spread over some 0.5. Optimisers stop at slightly different places on flat ridges."""


def table(tokens: np.ndarray = MIXTURES, shift: float = 0.0) -> RunTable:
    losses = np.column_stack([Pairwise(DOMAINS, d).predict(np.array(TRUTH), tokens) for d in TARGETS]) + shift
    losses += 0.002 * np.sin(37 * np.arange(losses.size)).reshape(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(len(tokens))), DOMAINS, TARGETS, tokens * 1e6, losses)


def predicted(fit: Fit, tokens: np.ndarray = MIXTURES) -> np.ndarray:
    """Return the law's losses at the reported parameters, of which these properties are said."""
    return fit.predict(tokens * 1e6, at="point").mean


def parameters(runs: RunTable, law: str) -> Fit:
    """Return a fit of which only the parameters are asked."""
    with points_only():
        return fit_law(runs, law=law)


@pytest.fixture(scope="module", params=[name for name in names() if find(name).law is not None])
def fitted(request: pytest.FixtureRequest) -> Fit:
    with few_folds(2), short_draws():
        return fit_law(table(), law=request.param)


def test_shuffled_runs_change_nothing(fitted: Fit) -> None:
    order = np.random.default_rng(1).permutation(len(MIXTURES))
    other = parameters(table().take(order), fitted.law)
    assert np.abs(predicted(other) - predicted(fitted)).max() < 1e-9


def test_permuted_domains_permute_the_answer(fitted: Fit) -> None:
    runs, order = table(), [2, 0, 1]
    names, targets = tuple(DOMAINS[i] for i in order), TARGETS[::-1]
    permuted = RunTable(runs.runs, names, targets, runs.tokens_RK[:, order], runs.losses_RJ[:, ::-1])
    other = parameters(permuted, fitted.law)
    assert np.abs(predicted(other, MIXTURES[:, order]) - predicted(fitted)[:, ::-1]).max() < SAME


def test_tokens_counted_in_thousands_rescale_only_what_has_a_unit(fitted: Fit) -> None:
    runs = table()
    other = parameters(replace(runs, tokens_RK=runs.tokens_RK * 1e-3), fitted.law)
    assert np.abs(predicted(other, MIXTURES * 1e-3) - predicted(fitted)).max() < SAME


def test_a_constant_added_to_all_losses_moves_only_the_floor(fitted: Fit) -> None:
    if fitted.law == "bivariate":
        pytest.skip("its floor is multiplied by the share: the equation has no additive constant")
    other = parameters(table(shift=1.0), fitted.law)
    # Laws with a floor at 0 before the shift may use the room below; the losses they predict stay near.
    assert np.abs(predicted(other) - 1 - predicted(fitted)).max() < 0.02


def test_json_round_trip(fitted: Fit) -> None:
    again = Fit.from_json(json.loads(json.dumps(fitted.to_json())))
    for part in ("mean", "low", "high", "mean_low", "mean_high"):
        assert np.array_equal(
            getattr(again.predict(MIXTURES * 1e6), part), getattr(fitted.predict(MIXTURES * 1e6), part)
        )


def test_intervals_hold_the_mean_and_stay_where_losses_can_be(fitted: Fit) -> None:
    far = np.array([[1e-9, 1e9, 1.0], [0, 0, 1e3], [1e3, 0, 0], [1e-6, 1e-6, 1e-6]])
    prediction = fitted.predict(far * 1e6)
    assert np.all(np.isfinite(prediction.mean))
    assert np.all((prediction.low <= prediction.mean) & (prediction.mean <= prediction.high))
    floors = [fitted.targets[target].parameters.get("E", 0.0) for target in fitted.targets]
    if fitted.law != "bivariate":  # its floor is multiplied by the share
        assert np.all(predicted(fitted, far) >= np.array(floors) - 1e-12)
    assert prediction.mean.min() >= 0
    assert prediction.mean.max() <= 2 * table().losses_RJ.max() + 1e-12
