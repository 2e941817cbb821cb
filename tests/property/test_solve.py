"""What every solution has in common, whatever is minimised and whatever is asked of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats.mstats import hdquantiles

from mixlaw.core.linear_constraint import LinearConstraint
from mixlaw.fit import Fit
from mixlaw.fit.alike import beliefs_at
from mixlaw.fit.posterior.extrapolation import part_outside
from mixlaw.solve import solve_mixture
from planted_fits import names_of, planted_fit, two_runs

DOMAINS = ("a", "b", "c", "d")
BUDGET = 5e6

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


RANGES = {"C": (0.3, 1), "k": (0.05, 0.4), "alpha": (0.4, 0.9), "beta": (0.1, 0.4), "E": (0.4, 1.2)}
RANGES |= {"n0": (0.02, 0.3), "a": (0.4, 0.9), "t": (0.05, 0.3), "e": (0, 0), "h": (0, 0)}


def planted(law: str, seed: int, domains: tuple[str, ...] = DOMAINS, draws: int = 6) -> Fit:
    """Return a fit; its parameters depend on the names of the domains, not on their order."""
    points, drawn = {}, {}
    for domain in domains:
        points[domain], columns = {}, []
        for name in names_of(law, domains, domain):
            rng = np.random.default_rng([seed, ord(domain), *map(ord, name)])
            points[domain][name] = rng.uniform(*RANGES[name.partition("[")[0]])
            columns.append(points[domain][name] * np.exp(0.03 * rng.standard_normal(draws)))
        drawn[domain] = np.column_stack(columns)
    return planted_fit(law, two_runs(domains, domains), points, drawn)


def weights_of(solution: Any, domains: tuple[str, ...] = DOMAINS) -> np.ndarray:
    return np.array([solution.weights[d] for d in domains])


@st.composite
def wishes(draw: Any) -> dict[str, Any]:
    """Constraints that some mixture meets, because they were put around one."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    inside = rng.dirichlet(np.ones(4))
    given: dict[str, Any] = {"objective": draw(st.sampled_from(["mean", "max"]))}
    if draw(st.booleans()):
        given["maximum"] = {"a": min(1.0, inside[0] + rng.uniform(0, 0.2))}
        given["minimum"] = {"b": inside[1] * rng.uniform(0, 1)}
    groups = []
    for _ in range(draw(st.integers(0, 2))):
        terms = dict(zip(DOMAINS, map(float, rng.integers(-1, 2, 4)), strict=True))
        terms["c"] = 1.0
        middle = float(sum(terms[d] * inside[i] for i, d in enumerate(DOMAINS)))
        groups.append(LinearConstraint(terms, "<=", middle + rng.uniform(0, 0.1)))
    given["groups"] = groups
    if draw(st.booleans()):
        given["prior"], given["prior_strength"] = "equal", draw(st.sampled_from([0.01, 0.3]))
    if draw(st.booleans()):
        given["no_worse"] = {"d": draw(st.floats(0, 5))}
        given["reference"] = dict(zip(DOMAINS, map(float, inside), strict=True))
        if draw(st.booleans()):
            given["certainty"] = draw(st.sampled_from([60, 90]))
    return given


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
@quick
@given(st.integers(0, 50), wishes())
def test_weights_sum_to_one_and_obey_every_constraint(law: str, seed: int, given: dict[str, Any]) -> None:
    fit = planted(law, seed)
    solution = solve_mixture(fit, BUDGET, **given)
    w = weights_of(solution)
    assert abs(w.sum() - 1) <= 1e-12
    assert w.min() >= 0
    assert all(solution.weights[d] <= high + 1e-9 for d, high in given.get("maximum", {}).items())
    assert all(solution.weights[d] >= low - 1e-9 for d, low in given.get("minimum", {}).items())
    for group in given["groups"]:
        assert sum(factor * solution.weights[d] for d, factor in group.terms.items()) <= group.bound + 1e-9
    for target, percent in given.get("no_worse", {}).items():
        reference = np.array([given["reference"][d] for d in DOMAINS])
        drawn = beliefs_at(fit, distance := float(fit.distance(BUDGET)))[target].drawn(distance)
        here, there = (drawn.predict(x[None] * BUDGET / 1e6)[:, 0] for x in (w, reference))
        over = here - (1 + percent / 100) * there
        sure = given.get("certainty")
        assert (over.mean() if sure is None else float(hdquantiles(over, [sure / 100])[0])) <= 1e-9
    assert solution.certificate.kind == ("stationary" if "certainty" in given else "global")
    assert solution.certificate.gap < 1e-6


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
@pytest.mark.parametrize("seed", range(3))
def test_the_regret_is_what_each_draw_would_save_at_its_own_best_mixture(law: str, seed: int) -> None:
    fit = planted(law, seed)
    solution = solve_mixture(fit, BUDGET)
    w = weights_of(solution)
    some = np.random.default_rng(seed).dirichlet(np.ones(4), 4000)
    near = np.vstack([0.9 * w + 0.1 * some, 0.7 * w + 0.3 * some])
    distance, mixtures = float(fit.distance(BUDGET)), np.vstack([w, near]) * BUDGET / 1e6
    part = part_outside(w, fit.runs.tokens_RK)
    beliefs = beliefs_at(fit, distance)
    losses_SR = np.sum([beliefs[d].drawn(distance, part).predict(mixtures) for d in DOMAINS], axis=0)
    saved = losses_SR[:, 0] - losses_SR.min(axis=1)
    # The best of some thousand mixtures is a little worse than the best of all.
    assert saved.mean() <= solution.expected_regret["mean"] <= 1.3 * saved.mean()
    assert solution.expected_regret["p95"] >= np.quantile(saved, 0.95)


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
@quick
@given(st.integers(0, 50), wishes(), st.permutations(DOMAINS))
def test_permuting_domains_permutes_the_answer(law: str, seed: int, given: dict[str, Any], order: list[str]) -> None:
    first = solve_mixture(planted(law, seed), BUDGET, **given)
    second = solve_mixture(planted(law, seed, tuple(order)), BUDGET, **given)
    assert second.objective_value == pytest.approx(first.objective_value, rel=1e-7)
    if given["objective"] == "mean":  # the worst loss can leave other weights free
        assert weights_of(second) == pytest.approx(weights_of(first), abs=1e-4)


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
@quick
@given(st.integers(0, 50), wishes())
def test_one_more_constraint_never_lowers_the_objective_and_one_that_does_not_bind_changes_nothing(
    law: str, seed: int, given: dict[str, Any]
) -> None:
    fit = planted(law, seed)
    free = solve_mixture(fit, BUDGET, objective=given["objective"])
    pulled = {key: given[key] for key in ("prior", "prior_strength") if key in given}
    held = solve_mixture(fit, BUDGET, **{k: v for k, v in given.items() if k not in pulled})
    assert held.objective_value >= free.objective_value - 1e-8
    best = solve_mixture(fit, BUDGET, **given)
    room = LinearConstraint({"a": 1.0, "b": 1.0}, "<=", best.weights["a"] + best.weights["b"] + 0.05)
    loose = {**given, "groups": [*given["groups"], room]}
    again = solve_mixture(fit, BUDGET, **loose)
    assert again.objective_value == pytest.approx(best.objective_value, abs=1e-8)
