"""Bounds and caps: what they come to, just where they can no longer be met, and what is said then."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.solve.constraints import Constraints

DOMAINS = ("a", "b", "c")
BUDGET = 10e6


def said(**wishes: object) -> Infeasible:
    with pytest.raises(Infeasible) as error:
        Constraints(**wishes).polytope(DOMAINS, BUDGET)  # type: ignore[arg-type]
    return error.value


def test_a_cap_is_the_least_of_the_share_and_of_what_the_epochs_allow() -> None:
    wishes = Constraints({"b": 0.1}, {"a": 0.5, "c": 0.9}, {"a": 1e6, "c": 4e6}, 2.0)
    lower, upper = wishes.bounds(DOMAINS, BUDGET)
    assert lower.tolist() == [0.0, 0.1, 0.0]
    assert upper.tolist() == pytest.approx([0.2, 1.0, 0.8])
    assert Constraints({}, {"a": 0.5}, {"a": 1e6}).bounds(DOMAINS, BUDGET)[1].tolist() == [0.5, 1.0, 1.0]
    assert Constraints({}, {"a": 0.5}, excluded=("a",)).bounds(DOMAINS, BUDGET)[1].tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("wishes", "met"),
    [
        ({"minimum": {"a": 0.6, "b": 0.4}}, True),
        ({"minimum": {"a": 0.6, "b": 0.4001}}, False),
        ({"maximum": {"a": 0.3, "b": 0.3, "c": 0.4}}, True),
        ({"maximum": {"a": 0.3, "b": 0.3, "c": 0.3999}}, False),
        ({"minimum": {"a": 0.4}, "maximum": {"a": 0.4}}, True),
        ({"minimum": {"a": 0.4001}, "maximum": {"a": 0.4}}, False),
        ({"available": {"a": 1e6, "b": 1e6, "c": 3e6}, "max_epochs": 2.0}, True),
        ({"available": {"a": 1e6, "b": 1e6, "c": 3e6}, "max_epochs": 1.999}, False),
    ],
)
def test_bounds_can_be_met_up_to_where_they_just_sum_to_one(wishes: dict, met: bool) -> None:
    if met:
        lower, upper = Constraints(**wishes).bounds(DOMAINS, BUDGET)
        assert lower.sum() <= 1 + 1e-9 and upper.sum() >= 1 - 1e-9 and (lower <= upper).all()
    else:
        said(**wishes)


def test_one_domain_binds_and_two_bind() -> None:
    one = said(available={"a": 1e6}, max_epochs=2.0, maximum={"b": 0.0, "c": 0.0}, excluded=())
    assert "'a' (1M available), and 'b' and 'c' at their largest share, bind." in one.message
    mixed = said(available={"a": 1e6}, max_epochs=2.0, maximum={"b": 0.3, "c": 0.3})
    assert mixed.binding == ("a", "b", "c")
    with pytest.raises(Infeasible, match=r"'a' \(1M available\) binds\."):
        Constraints(available={"a": 1e6}, max_epochs=2.0).polytope(("a",), BUDGET)
    with pytest.raises(Infeasible, match=r"and 'b' at their largest share, bind\."):
        Constraints(available={"a": 1e6}, max_epochs=2.0, maximum={"b": 0.3}).polytope(("a", "b"), BUDGET)


@pytest.mark.parametrize(
    ("supplies", "shares", "budget"),
    [
        # epochs alone: what there is, twice over
        ({"a": 1e6, "b": 1e6, "c": 1e6}, {}, "6M"),
        # c is capped at a half: a and b must supply the rest
        ({"a": 1e6, "b": 1e6, "c": 2.5e6}, {"c": 0.5}, "8M"),
        ({"a": 1e6, "b": 1e6}, {"c": 0.2}, "5M"),
    ],
)
def test_the_largest_budget_that_can_be_met_is_said_and_can(supplies: dict, shares: dict, budget: str) -> None:
    error = said(available=supplies, max_epochs=2.0, maximum=shares)
    assert f"Lower the budget to {budget}" in error.hint
    tokens = float(budget[:-1]) * 1e6
    wishes = Constraints({}, shares, supplies, 2.0)
    wishes.bounds(DOMAINS, tokens)
    with pytest.raises(Infeasible):
        wishes.bounds(DOMAINS, 1.001 * tokens)
    assert ("raise max_epochs" in error.hint) is not bool(shares)


def test_a_domain_that_may_have_nothing_does_not_overflow(recwarn: pytest.WarningsRecorder) -> None:
    bounds = Constraints({}, {"a": 0.0}, {"a": 2e9, "b": 1e3, "c": 1e3}, 1.0)
    with pytest.raises(Infeasible, match="Lower the budget to 2k"):
        bounds.bounds(("a", "b", "c"), 20e6)
    assert not [str(warning.message) for warning in recwarn]


def test_the_epochs_that_would_do_are_said_rounded_up() -> None:
    error = said(available={"a": 1e6, "b": 1e6, "c": 1e6}, max_epochs=2.0)
    assert "or raise max_epochs to 3.4." in error.hint
    assert "the domains supply 6M" in error.message


def test_no_tokens_anywhere_leave_no_budget_to_lower_to() -> None:
    error = said(available={"a": 0.0, "b": 0.0, "c": 0.0}, max_epochs=2.0)
    assert error.hint == "Give some domain more available tokens."
    capped = said(available={"a": 1e6}, max_epochs=2.0, maximum={"a": 0.4, "b": 0.1, "c": 0.1})
    assert capped.hint == "Raise a maximum."


def test_shares_that_sum_to_too_little_or_too_much_are_named_with_their_sum() -> None:
    low = said(maximum={"a": 0.3, "b": 0.3, "c": 0.3})
    assert "'a', 'b' and 'c', all shares sum to at most 0.9" in low.message
    assert low.binding == DOMAINS
    high = said(minimum={"a": 0.7, "c": 0.4})
    assert "'a' and 'c' sum to 1.1" in high.message
    assert high.binding == ("a", "c")
    crossed = said(minimum={"a": 0.5}, available={"a": 1e6}, max_epochs=2.0)
    assert "'a' must have a share of at least 0.5, but can have at most 0.2" in crossed.message
    assert "(1M available, at most 2 epochs)" in crossed.message
    by_share = said(minimum={"a": 0.5}, maximum={"a": 0.2}, available={"a": 1e7}, max_epochs=2.0)
    assert "epochs" not in by_share.message


def test_bounds_that_miss_by_little_are_said_in_digits_that_show_it() -> None:
    third = dict.fromkeys("abc", 0.3333333)
    for wishes, words in (
        ({"maximum": third}, "sum to at most 0.9999999; they must sum to 1"),
        ({"minimum": {**third, "a": 0.3333336}}, "sum to 1.0000002; shares sum to 1"),
        ({"minimum": {"a": 0.3000001}, "maximum": {"a": 0.3}}, "at least 0.3000001, but can have at most 0.3 at"),
    ):
        with pytest.raises(Infeasible, match=words):
            Constraints(**wishes).bounds(("a", "b", "c"), 20e6)


def test_many_domains_are_not_all_listed() -> None:
    names = tuple(f"d{i}" for i in range(12))
    with pytest.raises(Infeasible, match=r"'d0', .*'d6' and 5 more") as error:
        Constraints(maximum=dict.fromkeys(names, 0.05)).bounds(names, BUDGET)
    assert "'d7'" not in error.value.message
    eight = names[:8]
    with pytest.raises(Infeasible, match="'d6' and 'd7',"):
        Constraints(maximum=dict.fromkeys(eight, 0.05)).bounds(eight, BUDGET)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"minimum": {"z": 0.1}}, "min: there is no domain 'z'"),
        ({"minimum": {"a": -0.1}}, "between 0 and 1"),
        ({"maximum": {"a": 1.01}}, "between 0 and 1"),
        ({"available": {"a": -1.0}}, "number of tokens >= 0"),
        ({"available": {"a": float("inf")}}, "number of tokens >= 0"),
        ({"max_epochs": 0.0}, "must be positive"),
        ({"max_epochs": float("inf")}, "must be positive"),
    ],
)
def test_values_out_of_range_are_refused(wishes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Constraints(**wishes).check(DOMAINS)


def test_values_at_the_ends_of_their_range_are_taken() -> None:
    Constraints({"a": 0.0}, {"a": 1.0}, {"a": 0.0, "b": 1e15}, 1e-9).check(DOMAINS)


def test_groups_become_rows_with_their_signs() -> None:
    groups = ("a + b <= 0.5", "c >= 0.2", "a - 2 b == 0")
    polytope = Constraints(groups=groups).polytope(DOMAINS, BUDGET)
    assert polytope.rows_MK.tolist() == [[1, 1, 0], [0, 0, -1]]
    assert polytope.limits_M.tolist() == [0.5, -0.2]
    assert polytope.equal_EK.tolist() == [[1, -2, 0]]
    assert polytope.values_E.tolist() == [0.0]
    assert not polytope.box
    assert polytope.violation(np.array([0.3, 0.15, 0.55])) == pytest.approx(0)
    assert polytope.violation(np.array([0.5, 0.4, 0.1])) == pytest.approx(0.4)
