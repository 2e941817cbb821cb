"""Repeated tokens count for less: the formula, the decay found in runs, and what a fit makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing import repetition
from mixlaw.fit.choosing.held_out import by_run
from mixlaw.fit.choosing.repetition import find_decay
from mixlaw.laws import find
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.repetition import Repeated, count_slope, count_tokens
from mixlaw.laws.transfer import transfer_losses
from mixlaw.testing import LAW_CHECKS
from quick_fits import none_held_out, points_only, short_draws

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.2, 0.7, 0.2, 0.9], [0.7, 0.1, 0.8, 0.3, 1.1], [0.4, 0.3, 0.6, 0.15, 0.6]])
POOL = np.array([0.3e6, 0.5e6, 20e6])


@pytest.fixture
def points():
    with points_only():
        yield


@pytest.fixture
def quick():
    with none_held_out(), short_draws():
        yield


def runs_that_repeat(decay: float, noise: float = 0.0005, seed: int = 0) -> RunTable:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(0.1e6), np.log(4e6), (24, 3)))
    unique = np.minimum(tokens, POOL)
    worth = count_tokens(tokens, unique, decay) / 1e6
    others = worth.sum(axis=1, keepdims=True) - worth
    losses = np.column_stack([transfer_losses(THETA[i], worth[:, i], others[:, i]) for i in range(3)])
    losses += noise * rng.standard_normal(losses.shape)
    names = tuple(f"r{i}" for i in range(24))
    return RunTable(names, DOMAINS, DOMAINS, tokens, losses, unique_RK=unique)


def test_the_formula_at_known_values() -> None:
    tokens = np.array([0.5, 1.0, 2.0, 5.0, 1e9])
    worth = count_tokens(tokens, np.ones(5), 15.4)
    assert worth[:2] == pytest.approx([0.5, 1.0])
    # four epochs are almost as good as fresh tokens, and however many there are, no more than U (1 + R*) in all
    assert 4.4 < worth[3] < 5.0
    assert worth[4] == pytest.approx(16.4)
    assert np.array_equal(count_tokens(tokens, np.ones(5), np.inf), tokens)
    assert np.array_equal(count_tokens(np.zeros(2), np.zeros(2), 3.0), np.zeros(2))


def test_the_slope_is_the_derivative() -> None:
    tokens = np.array([0.4, 1.7, 3.0, 11.0])
    step = 1e-6
    numeric = (count_tokens(tokens + step, np.ones(4), 4.0) - count_tokens(tokens - step, np.ones(4), 4.0)) / (2 * step)
    assert count_slope(tokens, np.ones(4), 4.0) == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("check", LAW_CHECKS, ids=lambda check: check.__name__)
def test_a_law_that_counts_repeats_is_a_law(check) -> None:
    if "rescale" in check.__name__ or "unit" in check.__name__:
        pytest.skip("the distinct tokens have a unit of their own")
    check(lambda domains, target: Repeated(Pairwise(domains, target), np.full(len(domains), 1e9), 4.0))


@pytest.mark.usefixtures("points")
def test_the_decay_is_found_and_makes_better_predictions() -> None:
    runs, fresh = runs_that_repeat(2.0), runs_that_repeat(2.0, seed=1)
    fit = fit_law(runs, law="transfer")
    assert 1.0 <= fit.decay <= 4.0
    assert "R* =" in fit.choice
    plain = fit_law(runs, law="transfer", repetition="off")
    errors = [np.abs(f.predict(fresh).mean - fresh.losses_RJ).mean() for f in (fit, plain)]
    assert errors[0] < 0.3 * errors[1]
    given = fit_law(runs, law="transfer", repetition=2.0)
    assert given.decay == 2.0
    mixture = {"a": 2e6, "b": 1e6, "c": 1e6}
    pools = dict(zip(DOMAINS, POOL, strict=True))
    assert given.predict(mixture, pools).mean[0, 0] > given.predict(mixture).mean[0, 0] + 0.01


@pytest.mark.parametrize("sign", [1, -1])
def test_one_target_that_no_law_follows_does_not_decide_for_all(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, rng = runs_that_repeat(2.0), np.random.default_rng(5)
    plain = np.abs(rng.normal(0, [0.01, 0.01, 1.0], (24, 3)))
    # Two targets gain a fifth in every run; what the third gains or loses is luck, and fifty times as much.
    luck = plain * [0.8, 0.8, 1.0] + [0.0, 0.0, 0.05] * (sign * 0.5 + rng.standard_normal((24, 1)))

    def errors(table: RunTable, law: object) -> np.ndarray:
        return plain if np.array_equal(table.tokens_RK, runs.tokens_RK) else luck

    monkeypatch.setattr("mixlaw.fit.choosing.repetition.relative_errors", errors)
    assert np.isfinite(find_decay(runs, find("transfer"), "auto")[0])


def test_errors_are_weighed_by_the_plain_ones_of_their_target() -> None:
    plain = np.array([[0.01, 1.0], [0.03, 3.0], [np.nan, 2.0], [np.nan, np.nan]])
    assert by_run(plain, plain)[:3] == pytest.approx([0.5, 1.5, 1.0])
    assert np.isnan(by_run(plain, plain)[3])
    halved = plain * [0.5, 1.0]
    assert by_run(halved, plain)[:3] == pytest.approx([0.375, 1.125, 1.0])


@pytest.mark.parametrize(("repeating", "looked"), [(2, False), (3, True)])
def test_a_decay_is_looked_for_where_three_runs_repeat(
    repeating: int, looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, asked = runs_that_repeat(2.0), []
    unique = runs.tokens_RK.copy()
    unique[:repeating, 1] /= 4
    monkeypatch.setattr(repetition, "relative_errors", lambda runs, law: asked.append(law) or np.ones((24, 3)))
    decay, sentence = find_decay(replace(runs, unique_RK=unique), find("transfer"), "auto")
    assert np.isinf(decay) and bool(asked) == looked
    assert ("to tell" in sentence) != looked


@pytest.mark.usefixtures("points")
def test_where_repeats_are_as_good_as_fresh_tokens_nothing_changes() -> None:
    fit = fit_law(runs_that_repeat(np.inf), law="transfer")
    assert np.isinf(fit.decay)
    np.testing.assert_array_equal(fit.counted_RK, fit.runs.tokens_RK / 1e6)
    without = fit_law(replace(runs_that_repeat(np.inf), unique_RK=None), law="transfer")
    assert fit.parameters == without.parameters


@pytest.mark.usefixtures("quick")
def test_the_decay_survives_the_file(tmp_path) -> None:
    runs = runs_that_repeat(2.0)
    fit = fit_law(runs, law="pairwise", repetition=3.0)
    fit.save(tmp_path / "fit.json")
    again = Fit.load(tmp_path / "fit.json")
    assert again.decay == 3.0
    assert np.array_equal(again.predict(runs).mean, fit.predict(runs).mean)


def test_bad_wishes() -> None:
    runs = runs_that_repeat(2.0)
    with pytest.raises(ConfigError, match="auto, off"):
        fit_law(runs, repetition="sometimes")
    with pytest.raises(ConfigError, match="above 0"):
        fit_law(runs, repetition=-1.0)
    with pytest.raises(DataError, match="distinct"):
        fit_law(replace(runs, unique_RK=None), repetition=4.0)


@pytest.mark.parametrize(("name", "convex", "falling"), [("transfer", True, True), ("exponential", False, False)])
def test_counting_repeats_keeps_a_loss_convex_only_where_no_token_does_harm(name, convex: bool, falling: bool) -> None:
    law = Repeated(find(name).law(DOMAINS, "a"), np.full(3, 1.0), 4.0)
    theta = law.starts(np.ones((4, 3)) + np.eye(4, 3), np.array([2.0, 2.2, 2.1, 1.9]), 1)
    assert law.convex(theta) is convex
    assert law.falling(theta) is falling


def test_a_law_that_says_nothing_of_its_shape_is_not_taken_for_convex() -> None:
    class Silent:
        parameters = ()

    law = Repeated(Silent(), np.full(3, 1.0), 4.0)  # type: ignore[arg-type]
    assert law.convex(np.zeros((1, 0))) is False
    assert law.falling(np.zeros((1, 0))) is False
