"""The exact solver: optimal against an independent solver, proven, feasible, and unmoved by names and order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.laws._shares import FLOOR
from mixlaw.laws.transfer import Transfer
from mixlaw.solve.allocation import allocate, refine
from mixlaw.solve.prior import Prior
from mixlaw.solve.separable import SeparableLosses

LAW = Transfer(("a", "b"), "a")


def problem(K: int, seed: int, budget: float, draws: int = 1) -> SeparableLosses:
    rng = np.random.default_rng(seed)
    ranges = [(0.3, 1.0), (0.0, 0.5), (0.1, 0.98), (0.05, 0.6), (0.0, 1.3)]
    theta = np.stack([rng.uniform(*r, (K, draws)) for r in ranges], axis=-1)
    return SeparableLosses(LAW, theta, rng.uniform(0.1, 2, K), budget, average=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 10**6), st.floats(-2, 4), st.integers(1, 3))
def test_every_answer_is_feasible_and_proven(K: int, seed: int, log_budget: float, draws: int) -> None:
    rng = np.random.default_rng(seed)
    lower = rng.uniform(0, 0.9 / K, K) * (rng.random(K) < 0.5)
    upper = np.minimum(1, lower + rng.uniform(0, 4 / K, K))
    upper[rng.integers(K)] = 1.0
    objective = problem(K, seed, 10**log_budget, draws)
    best = allocate(objective, lower, upper)
    weights = best.weights_KB[:, 0]
    assert abs(weights.sum() - 1) < 1e-12
    assert np.all((weights >= lower) & (weights <= upper))
    assert best.kkt_residual_B[0] < 1e-8
    assert best.gap_B[0] < 1e-9
    # No random feasible point does better.
    value = objective.value(best.weights_KB).sum()
    for _ in range(20 if K > 1 else 0):
        other = rng.dirichlet(np.ones(K))
        if np.all((other >= lower) & (other <= upper)):
            assert objective.value(other[:, None]).sum() >= value - 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_cvxpy_to_a_millionth(seed: int) -> None:
    cvxpy = pytest.importorskip("cvxpy")
    K, budget = 6, 10.0 ** (seed - 2)
    objective = problem(K, seed, budget)
    upper = np.full(K, 0.4)
    best = allocate(objective, np.zeros(K), upper)
    C, k, alpha, beta, _ = objective.theta_KSP[:, 0].T
    w = cvxpy.Variable(K)
    terms = []
    for i in range(K):
        worth = k[i] * budget ** (alpha[i] - 1) * cvxpy.power(1 - w[i] + FLOOR, alpha[i], approx=False)
        effective = w[i] + FLOOR + worth
        scale = objective.importance_K[i] * C[i] * budget ** -beta[i]
        terms.append(scale * cvxpy.power(effective, -beta[i], approx=False))
    problem_ = cvxpy.Problem(cvxpy.Minimize(sum(terms)), [cvxpy.sum(w) == 1, w >= 0, w <= upper])
    problem_.solve(solver=cvxpy.CLARABEL)
    floors = (objective.importance_K * objective.theta_KSP[:, 0, 4]).sum()
    assert objective.value(best.weights_KB).sum() == pytest.approx(problem_.value + floors, abs=1e-6)


@pytest.mark.parametrize("K", [2, 5, 30])
def test_the_optimum_takes_few_slopes(K: int) -> None:
    calls = []

    class Counted(SeparableLosses):
        def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            calls.append(1)
            return super().slope(weights_KB)

    asked = problem(K, 1, 10.0)
    each = Counted(asked.law, asked.theta_KSP, asked.importance_K, asked.budget, True)
    best = allocate(each, np.zeros(K), np.ones(K))
    # some ten prices of some ten steps each
    assert len(calls) < 150
    calls.clear()
    refine(each, best.weights_KB, np.zeros(K), np.ones(K))
    assert len(calls) <= 6


def test_a_price_and_its_residual_are_those_of_the_gains() -> None:
    objective = problem(5, 3, 10.0)
    best = allocate(objective, np.full(5, 0.05), np.full(5, 0.4))
    weights, gain = best.weights_KB[:, 0], -objective.slope(best.weights_KB)[0][:, 0]
    free = (weights > 0.05) & (weights < 0.4)
    assert gain[free] == pytest.approx(np.full(free.sum(), best.multiplier_B[0]), rel=1e-8)
    assert (gain[weights == 0.05] <= best.multiplier_B[0] * (1 + 1e-9)).all()
    assert (gain[weights == 0.4] >= best.multiplier_B[0] * (1 - 1e-9)).all()


def test_permuting_domains_permutes_the_answer() -> None:
    objective, order = problem(7, 3, 5.0), np.random.default_rng(0).permutation(7)
    permuted = replace(objective, theta_KSP=objective.theta_KSP[order], importance_K=objective.importance_K[order])
    first, second = (allocate(o, np.zeros(7), np.ones(7)).weights_KB[:, 0] for o in (objective, permuted))
    assert np.allclose(second, first[order], atol=1e-12)


def test_tightening_a_cap_never_improves_the_objective() -> None:
    objective, last = problem(5, 1, 20.0), -np.inf
    for cap in (1.0, 0.5, 0.35, 0.3, 0.25, 0.2):
        value = objective.value(allocate(objective, np.zeros(5), np.full(5, cap)).weights_KB).sum()
        assert value >= last - 1e-13
        last = value


def test_equal_domains_get_equal_weights() -> None:
    theta = np.tile(np.array([0.6, 0.2, 0.7, 0.2, 0.8]), (9, 1, 1))
    best = allocate(SeparableLosses(LAW, theta, np.ones(9), 3.0, average=True), np.zeros(9), np.ones(9))
    assert np.allclose(best.weights_KB, 1 / 9, atol=1e-12)


def test_a_domain_that_does_not_matter_gets_only_its_floor() -> None:
    objective = problem(3, 0, 10.0)
    objective.importance_K[1] = 0.0
    best = allocate(objective, np.array([0.0, 0.1, 0.0]), np.ones(3))
    assert best.weights_KB[1, 0] == pytest.approx(0.1, abs=1e-9)


def test_bounds_that_leave_one_point_give_it() -> None:
    fixed = np.array([0.2, 0.5, 0.3])
    best = allocate(problem(3, 0, 10.0), fixed, fixed)
    assert np.array_equal(best.weights_KB[:, 0], fixed)


def test_many_problems_at_once_give_what_each_gives_alone() -> None:
    each = problem(4, 2, 8.0, draws=5)
    together = replace(each, average=False)
    best = allocate(together, np.zeros(4), np.ones(4), problems=5).weights_KB
    for s in range(5):
        one = replace(each, theta_KSP=each.theta_KSP[:, s : s + 1])
        assert np.allclose(best[:, s], allocate(one, np.zeros(4), np.ones(4)).weights_KB[:, 0], atol=1e-10)


def test_slopes_are_the_derivatives_of_values() -> None:
    objective, w, step = problem(5, 4, 30.0, draws=3), np.full((5, 1), 0.2), 1e-6
    slope, curvature = objective.slope(w)
    around = [objective.value(w + d) for d in (-step, step)]
    assert np.allclose(slope, (around[1] - around[0]) / (2 * step), rtol=1e-6)
    beside = [objective.slope(w + d)[0] for d in (-step, step)]
    assert np.allclose(curvature, (beside[1] - beside[0]) / (2 * step), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6), st.floats(-1, 3))
def test_refining_a_near_answer_gives_the_exact_one_or_says_how_far_it_is(K: int, seed: int, log_budget: float) -> None:
    together = problem(K, seed, 10**log_budget, draws=4)
    each = replace(together, average=False)
    lower, upper = np.zeros(K), np.full(K, 0.8)
    near = np.repeat(allocate(together, lower, upper).weights_KB, 4, axis=1)
    found, exact = refine(each, near, lower, upper), allocate(each, lower, upper, problems=4)
    assert np.abs(found.weights_KB.sum(axis=0) - 1).max() < 1e-12
    over = each.value(found.weights_KB).sum(axis=0) - each.value(exact.weights_KB).sum(axis=0)
    assert np.all(over <= found.gap_B + 1e-10)


def test_a_pull_towards_a_prior_moves_from_the_free_optimum_to_the_prior() -> None:
    losses, share = problem(4, 2, 8.0), np.array([0.1, 0.2, 0.3, 0.4])
    distances = []
    for strength in (1e-6, 0.1, 1.0, 1e3):
        best = allocate(replace(losses, prior=Prior(share, strength)), np.zeros(4), np.ones(4))
        assert best.gap_B[0] < 1e-9 * max(1.0, strength)
        distances.append(float(np.abs(best.weights_KB[:, 0] - share).max()))
    free = allocate(losses, np.zeros(4), np.ones(4)).weights_KB[:, 0]
    assert distances[0] == pytest.approx(np.abs(free - share).max(), abs=1e-4)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3


def test_the_pull_has_the_slopes_of_its_terms() -> None:
    prior, w, step = Prior(np.array([0.2, 0.5, 0.3]), 0.7), np.array([0.1, 0.6, 0.3]), 1e-6
    slope, curvature = prior.slope(w)
    assert slope == pytest.approx((prior.terms(w + step) - prior.terms(w - step)) / (2 * step), rel=1e-6)
    assert curvature == pytest.approx((prior.slope(w + step)[0] - prior.slope(w - step)[0]) / (2 * step), rel=1e-6)
    assert prior.terms(np.array([0.0, 0.5, 0.5]))[0] == 0
