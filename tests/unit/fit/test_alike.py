"""Beyond the runs, what a domain gains from tokens of its own is drawn towards what the others gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.alike import FEWEST, beliefs_at, half_as_they_were, in_order, orders_at
from mixlaw.laws.base import Law
from mixlaw.solve import solve_mixture
from mixlaw.solve.coupled_objective import Losses
from planted_fits import planted_fit

NAMES = ("a", "b", "c", "d", "e")
DRAWS = 200
FAR = 4.0


def fit(gains: Sequence[float], spreads: Sequence[float], targets: tuple[str, ...] = NAMES) -> Fit:
    """Return a fit of domains that do not help each other; C, and with it the gain, is known to within a factor."""
    tokens = 1e6 * np.array([[1, 1, 1, 1, 1.0], [2, 1, 1, 1, 1], [1, 1, 2, 1, 1], [1, 1, 1, 1, 2]])
    runs = RunTable(("w", "x", "y", "z"), NAMES, targets, tokens, np.full((4, len(targets)), 2.0))
    points, draws = {}, {}
    for i, (target, gain, spread) in enumerate(zip(targets, gains, spreads, strict=True)):
        rest = len(NAMES) - (target in NAMES)
        points[target] = np.array([gain, 0.001, 1.0, 0.3, 0.7, *[1e-6] * rest, *[0.0] * 2 * rest])
        draws[target] = np.tile(points[target], (DRAWS, 1))
        draws[target][:, 0] *= np.exp(spread * np.random.default_rng(i).standard_normal(DRAWS))
    return planted_fit("pairwise", runs, points, draws)


def log_gains(fitted: Fit, distance: float) -> dict[str, np.ndarray]:
    beliefs = beliefs_at(fitted, distance)
    return {name: np.log(belief.curve.draws_SP[:, 0]) for name, belief in beliefs.items()}


WIDE = (1.0, 1.0, 1.0, 1.0, 1.0)


def test_a_gain_that_is_hardly_known_becomes_like_the_others_and_one_that_is_known_stays() -> None:
    fitted = fit((0.3, 1.0, 1.0, 1.0, 1.0), (1.0, 0.05, 0.05, 0.05, 0.05))
    before, after = log_gains(fitted, 0.0), log_gains(fitted, FAR)
    assert before["a"].mean() < -1.0 and -0.3 < after["a"].mean() < 0
    assert after["a"].std() < 0.7 * before["a"].std()
    for name in "bcde":
        assert after[name].mean() == pytest.approx(before[name].mean(), abs=0.02)
    known = fit((0.1, 1.0, 1.0, 1.0, 1.0), (0.05,) * 5)
    assert log_gains(known, FAR)["a"].mean() == pytest.approx(np.log(0.1), abs=0.05)


def test_the_spread_is_learnt_gains_that_are_known_to_differ_stay_apart() -> None:
    fitted = fit((0.05, 0.3, 1.0, 3.0, 10.0), (0.3,) * 5)
    before, after = log_gains(fitted, 0.0), log_gains(fitted, FAR)
    for name in NAMES:
        assert after[name].mean() == pytest.approx(before[name].mean(), abs=0.12)


def test_within_the_runs_nothing_changes_and_beyond_it_begins_slowly() -> None:
    fitted = fit((0.3, 1.0, 1.0, 1.0, 1.0), WIDE)
    plain = {name: fitted.targets[name].belief for name in NAMES}
    assert all(beliefs_at(fitted, 0.0)[name] is plain[name] for name in NAMES)
    moved = [log_gains(fitted, x)["a"].mean() - log_gains(fitted, 0.0)["a"].mean() for x in (0.05, 0.1, 0.5, FAR)]
    assert 0 < moved[0] < 0.5 * moved[-1] and moved == sorted(moved)


def test_predictions_and_solutions_of_a_total_rest_on_the_same_draws() -> None:
    fitted = fit((0.1, 1.0, 0.8, 1.2, 0.5), WIDE)
    budget = 6e6 * np.exp(FAR)
    solution = solve_mixture(fitted, budget)
    found = fitted.predict([solution.tokens])
    assert found.mean[0] == pytest.approx([solution.predicted[name]["mean"] for name in NAMES], rel=1e-9)
    assert solution.objective_value == pytest.approx(solution.total_loss, rel=1e-9)
    # One mixture says the same beside others of other totals.
    both = fitted.predict([{"a": 1e6, "b": 1e6}, solution.tokens])
    np.testing.assert_allclose(both.draws[:, 1], found.draws[:, 0], rtol=1e-9)


def test_the_domain_whose_first_steps_showed_nothing_gets_more() -> None:
    fitted = fit((0.1, 1.0, 1.0, 1.0, 1.0), (1.0, 0.3, 0.3, 0.3, 0.3))
    near = solve_mixture(fitted, 6e6).weights["a"]
    assert solve_mixture(fitted, 6e6 * np.exp(FAR)).weights["a"] > near + 0.02


def test_runs_that_insist_keep_their_draws() -> None:
    fitted = fit((1e-3, 1.0, 1.0, 1.0, 1.0), (0.5, 0.05, 0.05, 0.05, 0.05))
    left = log_gains(fitted, FAR)["a"]
    assert len(np.unique(left)) >= FEWEST and left.mean() < np.log(0.02)


@pytest.mark.parametrize(
    "targets", [("a",), ("metric:exam", "x"), ("a", "x", "y")], ids=["one", "no domains", "one domain"]
)
def test_targets_without_others_of_their_kind_stay(targets: tuple[str, ...]) -> None:
    fitted = fit((0.1, 1.0, 1.0)[: len(targets)], (1.0,) * len(targets), targets)
    beliefs = beliefs_at(fitted, FAR)
    assert all(beliefs[name] is fitted.targets[name].belief for name in targets)


def test_laws_without_a_gain_and_regressors_stay() -> None:
    fitted = fit((1.0,) * 5, WIDE)
    flat = {n: replace(t, belief=t.belief.with_laws(lambda law: _Flat(law))) for n, t in fitted.targets.items()}
    beliefs = beliefs_at(replace(fitted, targets=flat), FAR)
    assert all(beliefs[name] is flat[name].belief for name in NAMES)


class _Flat:
    """A law whose loss is the same whatever the tokens."""

    def __init__(self, law: Law, value: float = 1.0) -> None:
        self.target, self.parameters, self.value = law.target, law.parameters, value

    def predict(self, theta: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return np.full((len(theta), len(tokens_RK)), self.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_law_without_a_number_far_out_leaves_its_target_and_the_others_alone(value: float) -> None:
    fitted = fit((0.3, 1.0, 1.0, 1.0, 1.0), WIDE)
    broken = replace(fitted.targets["e"], belief=fitted.targets["e"].belief.with_laws(lambda law: _Flat(law, value)))
    beliefs = beliefs_at(replace(fitted, targets={**fitted.targets, "e": broken}), FAR)
    assert beliefs["e"] is broken.belief
    assert beliefs["a"] is not fitted.targets["a"].belief and np.isfinite(beliefs["a"].curve.draws_SP).all()


def test_regrets_rest_half_on_draws_as_they_were_and_what_is_decided_does_not() -> None:
    fitted = fit((0.3, 1.0, 1.0, 1.0, 1.0), WIDE)
    budget = fitted.largest_run * np.exp(FAR)
    (order,) = orders_at(fitted, FAR)["a"]
    (half,) = half_as_they_were((order,))
    stayed, moved = half == np.arange(DRAWS), half == order
    assert np.all(stayed | moved)
    for step in (1, 2, 5, 10):  # whatever evenly spaced draws are looked at
        told = (order != np.arange(DRAWS))[::step]
        assert 0.4 <= np.mean(stayed[::step][told]) <= 0.6
    decided, doubted = (Losses.of(fitted, ["a"], budget, doubt=doubt) for doubt in (None, 0.0))
    for losses, places in ((decided, order), (doubted, half)):
        drawn = in_order(fitted.targets["a"].belief, (places,)).drawn(float(fitted.distance(budget)))
        np.testing.assert_array_equal(losses.drawn[0].parts[0][1], drawn.parts[0][1])


@pytest.mark.filterwarnings("error")
def test_one_domain_alone_has_none_to_be_drawn_to() -> None:
    runs = RunTable(("x", "y"), ("a",), ("a",), np.array([[1e6], [2e6]]), np.array([[2.0], [1.9]]))
    point = np.full(3, 0.4)
    fitted = planted_fit("chinchilla", runs, {"a": point}, {"a": np.tile(point, (DRAWS, 1))})
    assert np.isfinite(fitted.predict({"a": 50e6}).mean).all()
