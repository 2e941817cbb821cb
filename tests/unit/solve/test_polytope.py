"""Linear constraints: the nearest and the cheapest weights, and which constraints cannot be met together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.core.linear_constraint import LinearConstraint
from mixlaw.solve.constraints import Constraints
from mixlaw.solve.feasibility import Limit, conflict
from mixlaw.solve.polytope import Polytope

DOMAINS = ("a", "b", "c", "d")


def around(seed: int, groups: bool) -> Polytope:
    """Return a region with at least one point."""
    rng = np.random.default_rng(seed)
    K = int(rng.integers(2, 9))
    inside = rng.dirichlet(np.ones(K))
    lower = inside * rng.uniform(0, 1, K) * (rng.random(K) < 0.5)
    upper = np.minimum(1, inside + rng.uniform(0, 0.5, K) * (rng.random(K) < 0.8))
    if not groups:
        return Polytope(lower, upper)
    M, E = int(rng.integers(1, 4)), int(K > 3)
    rows, equal = rng.integers(-1, 2, (M, K)).astype(float), rng.integers(-1, 2, (E, K)).astype(float)
    return Polytope(lower, upper, rows, rows @ inside + rng.uniform(0, 0.1, M), equal, equal @ inside)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_nearest_weights_meet_every_constraint_and_no_direction_is_nearer(seed: int, groups: bool) -> None:
    region = around(seed, groups)
    start = np.random.default_rng(seed + 1).dirichlet(np.full(len(region.lower_K), 0.5))
    nearest = region.project(start)
    assert region.violation(nearest) < 1e-11
    # Optimality of a projection: the way back makes no acute angle with any way into the region.
    other = region.cheapest(nearest - start)
    assert (start - nearest) @ (other - nearest) <= 1e-8
    assert np.abs(region.project(nearest) - nearest).max() < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_cheapest_weights_are_as_cheap_without_groups_as_by_a_linear_program(seed: int) -> None:
    region = around(seed, groups=False)
    slope = np.random.default_rng(seed).standard_normal(len(region.lower_K))
    greedy, program = region.cheapest(slope), region._cheapest_by_program(slope)
    assert slope @ greedy == pytest.approx(slope @ program, abs=1e-8)


def brute_force_feasible(limits: list[Limit]) -> bool:
    from scipy.optimize import linprog

    below, equal = ([x for x in limits if x.equal is kind] for kind in (False, True))
    K = len(DOMAINS)
    found = linprog(
        np.zeros(K),
        [x.row_K for x in below] or None,
        [x.value for x in below] or None,
        np.array([np.ones(K), *(x.row_K for x in equal)]),
        [1.0, *(x.value for x in equal)],
        (0, None),
    )
    return found.status == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_what_clashes_cannot_be_met_and_without_any_one_of_it_can(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [row for row in rng.integers(-1, 3, (7, 4)).astype(float) if row.any()]
    limits = [Limit(str(c), row, float(rng.uniform(-0.3, 0.6)), bool(rng.random() < 0.2)) for c, row in enumerate(rows)]
    clash = conflict(limits)
    assert bool(clash) == (not brute_force_feasible(limits))
    if clash:
        places = [next(c for c, limit in enumerate(limits) if limit is one) for one in clash]
        assert places == sorted(places)  # as the user gave them
        assert not brute_force_feasible(clash)
        for left_out in clash:
            assert brute_force_feasible([limit for limit in clash if limit is not left_out])


@pytest.mark.parametrize(
    ("wishes", "binding", "words"),
    [
        ({"groups": ["a + b <= 0.2"], "minimum": {"a": 0.3}}, {"a + b <= 0.2", "a"}, "smallest share 0.3 of 'a'"),
        ({"groups": ["a + b <= 0.5", "c + d <= 0.4"]}, {"a + b <= 0.5", "c + d <= 0.4"}, "'a \\+ b <= 0.5'"),
        ({"groups": ["a + b >= 0.5"], "maximum": {"a": 0.1, "b": 0.1, "c": 0.6}}, {"a + b >= 0.5", "a", "b"}, "'b'"),
        ({"groups": ["a >= 1.5"]}, {"a >= 1.5"}, "shares lie between 0 and 1"),
        ({"groups": ["a == 0.3", "a - b == 0.4"]}, {"a == 0.3", "a - b == 0.4"}, "together"),
        (
            {"groups": ["c + d == 0.5"], "available": {"c": 1e6, "d": 1e6}, "max_epochs": 2},
            {"c + d == 0.5", "c", "d"},
            "at most 2 epochs",
        ),
        ({"groups": ["b >= 0.2"], "excluded": ("b",)}, {"b >= 0.2", "b"}, "the prior has none of it"),
    ],
)
def test_constraints_that_cannot_be_met_are_named_and_no_others(wishes: dict, binding: set[str], words: str) -> None:
    others = {"minimum": {"d": 0.01}, "maximum": {"d": 0.9}}
    merged = {**wishes, **{k: {**others[k], **wishes.get(k, {})} for k in others}}
    with pytest.raises(Infeasible, match=words) as error:
        Constraints(**merged).polytope(DOMAINS, 10e6)
    assert set(error.value.binding) == binding
    assert error.value.hint


def test_a_group_as_a_value_means_what_its_text_means() -> None:
    texts = ("a + b <= 0.4", "0.5 c + d >= 0.2", "a == 0.1")
    first = Constraints(groups=texts).polytope(DOMAINS, 1e6)
    second = Constraints(groups=[LinearConstraint.parse(text) for text in texts]).polytope(DOMAINS, 1e6)
    assert np.array_equal(first.rows_MK, second.rows_MK)
    assert np.array_equal(first.values_E, second.values_E)
    with pytest.raises(ConfigError, match="no domain 'z'"):
        Constraints(groups=[LinearConstraint({"z": 1.0}, "<=", 0.5)]).polytope(DOMAINS, 1e6)
