"""What must hold of the fit of every law: the answer does not depend on how the runs are written down."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from few_draws import few_draws
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.laws import find, names
from mixlaw.laws.pairwise import Pairwise
from two_folds import two_folds

DOMAINS = ("web", "maths", "code")
# C, n0, a, beta, E, then t, e and h of the two other domains.
TRUTH = (0.9, 0.05, 0.7, 0.2, 0.8, 0.1, 0.03, 0.0, 0.0, 0.0, 0.0)
MIXTURES = np.exp(np.random.default_rng(7).normal(0, 0.8, (18, 3)))
SAME = 2e-3
"""Nats; the losses spread over some 0.5. Optimisers stop at slightly different places on flat ridges."""


def table(tokens: np.ndarray = MIXTURES, shift: float = 0.0) -> RunTable:
    losses = np.column_stack([Pairwise(DOMAINS, d).predict(np.array(TRUTH), tokens) for d in DOMAINS]) + shift
    losses += 0.002 * np.sin(37 * np.arange(losses.size)).reshape(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(len(tokens))), DOMAINS, DOMAINS, tokens * 1e6, losses)


def predicted(fit: Fit, tokens: np.ndarray = MIXTURES) -> np.ndarray:
    """Return the law's losses at the reported parameters, of which these properties are said."""
    return fit.predict(tokens * 1e6, at="point").mean


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with two_folds(), few_draws():
        yield


@pytest.fixture(scope="module", params=[name for name in names() if find(name).law is not None])
def fitted(request: pytest.FixtureRequest) -> Fit:
    return fit_law(table(), law=request.param)


def test_shuffled_runs_change_nothing(fitted: Fit) -> None:
    order = np.random.default_rng(1).permutation(len(MIXTURES))
    other = fit_law(table().take(order), law=fitted.law)
    assert np.abs(predicted(other) - predicted(fitted)).max() < 1e-9


def test_permuted_domains_permute_the_answer(fitted: Fit) -> None:
    runs, order = table(), [2, 0, 1]
    names = tuple(DOMAINS[i] for i in order)
    other = fit_law(
        RunTable(runs.runs, names, names, runs.tokens_RK[:, order], runs.losses_RJ[:, order]), law=fitted.law
    )
    assert np.abs(predicted(other, MIXTURES[:, order]) - predicted(fitted)[:, order]).max() < SAME


def test_tokens_counted_in_thousands_rescale_only_what_has_a_unit(fitted: Fit) -> None:
    runs = table()
    other = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK * 1e-3, runs.losses_RJ), law=fitted.law)
    assert np.abs(predicted(other, MIXTURES * 1e-3) - predicted(fitted)).max() < SAME


def test_a_constant_added_to_all_losses_moves_only_the_floor(fitted: Fit) -> None:
    if fitted.law == "bivariate":
        pytest.skip("its floor is multiplied by the share: the equation has no additive constant")
    other = fit_law(table(shift=1.0), law=fitted.law)
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
