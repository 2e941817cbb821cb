"""Laws that couple the domains: agreement with the exact solver, certificates, bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.posterior.extrapolation import part_outside
from mixlaw.laws import find, names
from mixlaw.laws.pairwise import Pairwise
from mixlaw.solve import solve_mixture
from mixlaw.solve.allocation import allocate
from mixlaw.solve.coupled import _Program, _starts, best_by_draw, minimise
from mixlaw.solve.coupled_objective import CoupledObjective, Losses
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.separable import SeparableLosses
from planted_fits import planted_fit, two_runs
from quick_fits import draws_kept, none_held_out, short_draws

DOMAINS = ("a", "b", "c")


def planted(law: str, thetas: list, draws: int = 20) -> Fit:
    rng, points = np.random.default_rng(3), dict(zip(DOMAINS, thetas, strict=True))
    spread = {
        domain: np.array(theta) * (1 + 0.03 * rng.standard_normal((draws, len(theta))))
        for domain, theta in points.items()
    }
    return planted_fit(law, two_runs(DOMAINS, DOMAINS), points, spread)


THETA = [[0.6, 0.1, 0.7, 0.2, 1.0], [0.4, 0.3, 0.6, 0.15, 0.8], [0.9, 0.2, 0.8, 0.1, 0.5]]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.2, 1), st.floats(0.02, 0.5), st.floats(0.3, 0.95), st.floats(0.05, 0.4)),
        min_size=3,
        max_size=3,
    ),
    st.floats(0.5, 50),
)
def test_it_agrees_with_the_exact_solver_where_the_problem_is_separable(rows: list, budget: float) -> None:
    fit = planted("transfer", [[*row, 1.0] for row in rows])
    exact = solve_mixture(fit, budget * 1e6)
    objective = CoupledObjective.of(fit, dict.fromkeys(DOMAINS, 1.0), budget * 1e6)
    found = minimise(objective, Polytope(np.zeros(3), np.ones(3)))
    best = np.array([exact.weights[d] for d in DOMAINS])
    # The law as a Law raises tokens by a millionth; nats, where the objective is some 3 and varies by tenths.
    assert objective.value(found.weights_K) - objective.value(best) < 1e-6
    assert found.proof.gap < 1e-4
    assert found.convex


def test_the_gradient_is_that_of_the_value() -> None:
    objective = CoupledObjective.of(planted("transfer", THETA), dict.fromkeys(DOMAINS, 1.0), 5e6)
    w, step = np.array([0.2, 0.5, 0.3]), 1e-6
    numeric = [(objective.value(w + step * e) - objective.value(w - step * e)) / (2 * step) for e in np.eye(3)]
    assert np.allclose(objective.slope(w), numeric, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.0, 0.3), st.floats(0.35, 1.0), st.floats(0.0, 0.3))
def test_weights_meet_the_bounds(low: float, high: float, other: float) -> None:
    fit = planted("pairwise", [[0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.05, 0.0, 0.0, 0.02, 0.02]] * 3)
    solution = solve_mixture(fit, 3e6, min={"a": low, "b": other}, max={"c": high})
    weights = np.array([solution.weights[d] for d in DOMAINS])
    assert abs(weights.sum() - 1) < 1e-9
    assert weights[0] >= low - 1e-9
    assert weights[1] >= other - 1e-9
    assert weights[2] <= high + 1e-9


def test_a_solution_says_what_its_certificate_proves_and_nothing_beats_it() -> None:
    fit = planted("pairwise", [[0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.05, 0.0, 0.0, 0.02, 0.02]] * 3)
    solution = solve_mixture(fit, 3e6)
    objective = CoupledObjective.of(fit, dict.fromkeys(DOMAINS, 1.0), 3e6)
    sample = np.random.default_rng(0).dirichlet(np.ones(3), 4000)
    weights = np.array([solution.weights[d] for d in DOMAINS])
    assert objective.by_draw(sample).mean(axis=0).min() > objective.value(weights) - 1e-6
    assert solution.certificate.kind == "stationary"  # there is interference
    assert solution.certificate.gap < 1e-5
    # What each draw's own best mixture would save, found among many near by; the runs are all of the equal mixture.
    part = part_outside(weights, fit.runs.tokens_RK)
    assert 0 < part == pytest.approx(np.abs(weights - 1 / 3).sum() / 2)
    objective = replace(objective, losses=Losses.of(fit, list(DOMAINS), 3e6, doubt=part))
    each = objective.by_draw(0.9 * weights + 0.1 * sample)
    saved = objective.by_draw(weights[None])[:, 0] - each.min(axis=1)
    assert solution.expected_regret["mean"] == pytest.approx(saved.mean(), rel=0.1)
    assert solution.expected_regret["p95"] == pytest.approx(np.quantile(saved, 0.95), rel=0.1)
    assert solution.baselines["equal"]["total_loss"] >= solution.total_loss - 1e-3
    assert solution.marginal["a"] == pytest.approx(solution.marginal["b"], rel=1e-3)


def test_only_a_target_of_interest_is_served() -> None:
    theta = [0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.05, 0.0, 0.0, 0.0, 0.0]
    fit = planted("pairwise", [theta] * 3)
    solution = solve_mixture(fit, 3e6, target_weight={"b": 1.0})
    assert solution.weights["b"] > 0.5


@pytest.mark.parametrize(
    "law", [name for name in names() if find(name).law is not None and name not in ("mean", "chinchilla")]
)
def test_every_law_with_weights_in_it_is_solved(law: str) -> None:
    tokens = np.exp(np.random.default_rng(5).normal(0, 0.7, (16, 3)))
    theta = np.array([0.9, 0.05, 0.6, 0.2, 0.8, 0.2, 0.05, 0.0, 0.0, 0.0, 0.0])
    losses = np.column_stack([Pairwise(DOMAINS, d).predict(theta, tokens) for d in DOMAINS])
    runs = RunTable(tuple(f"r{i}" for i in range(16)), DOMAINS, DOMAINS, tokens * 1e6, losses)
    with none_held_out(), short_draws(), draws_kept(40):
        fit = fit_law(runs, law=law)
    solution = solve_mixture(fit, 3e6)
    sample = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    objective = CoupledObjective.of(fit, dict.fromkeys(DOMAINS, 1.0), 3e6)
    weights = np.array([solution.weights[d] for d in DOMAINS])
    assert objective.value(weights) <= objective.by_draw(sample).mean(axis=0).min() + 1e-4


def test_the_search_starts_in_the_middle_at_each_domain_and_at_the_best_of_many_mixtures() -> None:
    objective = CoupledObjective.of(planted("transfer", THETA), {"a": 1.0, "b": 0.1}, 5e6)
    starts = _starts(objective, Polytope(np.zeros(3), np.ones(3)))
    assert len(starts) == 6
    assert starts[0] == pytest.approx(np.full(3, 1 / 3))
    for domain, start in enumerate(starts[1:4]):
        assert start == pytest.approx(np.where(np.arange(3) == domain, 0.6 + 0.4 / 3, 0.4 / 3))
    values = objective.by_draw(np.random.default_rng(1).dirichlet(np.full(3, 0.7), 2000)).mean(axis=0)
    for start in starts[4:]:
        assert start.sum() == pytest.approx(1)
        assert objective.value(start) < np.quantile(values, 0.05)
    assert not np.array_equal(starts[4], starts[5])


def test_starts_meet_the_constraints_and_many_domains_have_fewer() -> None:
    region = Polytope(
        np.array([0.1, 0.0, 0.0]), np.array([1.0, 0.5, 1.0]), np.array([[0.0, 1.0, 1.0]]), np.array([0.6])
    )
    for start in _starts(CoupledObjective.of(planted("transfer", THETA), dict.fromkeys(DOMAINS, 1.0), 5e6), region):
        assert region.violation(start) < 1e-9


def test_each_draws_own_best_mixture_is_the_exact_one() -> None:
    fit = planted("transfer", THETA)
    objective = CoupledObjective.of(fit, dict.fromkeys(DOMAINS, 1.0), 5e6)
    region = Polytope(np.zeros(3), np.ones(3))
    draws, values = best_by_draw(objective, np.full(3, 1 / 3), region, 4)
    assert draws.tolist() == [0, 6, 12, 19]
    for draw, value in zip(draws, values, strict=True):
        theta = np.stack([fit.targets[d].curve.draws_SP[draw : draw + 1] for d in DOMAINS])
        law = fit.targets["a"].curve.law
        exact = allocate(SeparableLosses(law, theta, np.ones(3), 5.0, True), np.zeros(3), np.ones(3))
        assert value == pytest.approx(objective.take([int(draw)]).value(exact.weights_KB[:, 0]), abs=1e-7)


def test_the_program_has_the_slope_of_its_value_whatever_the_targets_weigh() -> None:
    objective = CoupledObjective.of(planted("transfer", THETA), {"a": 3.0, "b": 0.5, "c": 2.0}, 5e6)
    program, w = _Program(objective, Polytope(np.zeros(3), np.ones(3))), np.array([0.2, 0.5, 0.3])
    numeric = [(program.value(w + d) - program.value(w - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    assert program.slope(w) == pytest.approx(numeric, rel=1e-5)
