"""Runs for a domain added later, and none for one dropped."""

import numpy as np
import pytest

from mixlaw.core.errors import DesignError
from mixlaw.design import extend_design, space_filling_design

BASE = 660_000
OLD = ["code", "instruction", "math"]
DONE = [run for _, run in space_filling_design(OLD, BASE, 13)]


@pytest.mark.parametrize("law", ["transfer", "pairwise", "exponential", "additive"])
@pytest.mark.parametrize("new", [["legal"], ["legal", "science"]])
def test_an_added_domain_is_as_well_determined_by_a_few_runs_as_by_a_whole_new_design(law, new):
    found = extend_design(OLD + new, DONE, {}, BASE, law=law)
    assert found.added == tuple(new) and found.dropped == ()
    assert 1 <= len(found.runs) <= 4 * len(new) + 1 < 1 + 4 * (3 + len(new))
    assert found.before > 2 and found.after <= 1.1
    assert all(set(run) == {*OLD, *new} for _, run in found.runs)


def test_the_new_runs_cost_no_more_on_average_than_those_of_a_whole_new_design():
    found = extend_design([*OLD, "legal"], DONE, {}, BASE)
    whole = space_filling_design([*OLD, "legal"], BASE, 17)
    cost, usual = (np.mean([sum(run.values()) for _, run in runs]) for runs in (found.runs, whole))
    assert cost <= usual


def test_caps_hold_and_names_are_unique_and_go_on():
    found = extend_design([*OLD, "legal"], DONE, {"legal": 90_000}, BASE, law="pairwise")
    assert max(run["legal"] for _, run in found.runs) <= 90_000
    assert [name for name, _ in found.runs] == [f"add-legal-{i}" for i in range(1, len(found.runs) + 1)]
    more = extend_design(
        [*OLD, "legal"], [*DONE, found.runs[0][1]], {"legal": 90_000}, BASE, law="pairwise", added=["legal"]
    )
    assert more.before < found.before and more.runs[0][0] == "add-legal-2"


def test_a_dropped_domain_needs_no_runs():
    found = extend_design(["code", "math"], DONE, {}, BASE)
    assert found.runs == [] and found.dropped == ("instruction",)
    assert "enough without 'instruction'" in found.message
    assert extend_design(OLD, DONE, {}, BASE).runs == []


def test_a_domain_exchanged_for_another_needs_only_runs_of_the_new_one():
    found = extend_design(["code", "legal", "math"], DONE, {}, BASE)
    assert found.added == ("legal",) and found.dropped == ("instruction",)
    assert 1 <= len(found.runs) <= 5 and all("instruction" not in run for _, run in found.runs)
    assert "'legal' added" in found.message


def test_reordering_the_domains_changes_no_run():
    one = extend_design([*OLD, "legal"], DONE, {}, BASE)
    other = extend_design(["legal", *OLD[::-1]], DONE, {}, BASE)
    assert [dict(run) for _, run in one.runs] == [dict(run) for _, run in other.runs]


def test_without_runs_everything_is_new():
    found = extend_design(["a", "b"], [], {}, BASE)
    assert found.added == ("a", "b") and 5 <= len(found.runs) <= 9


def test_wrong_names_are_refused():
    with pytest.raises(DesignError, match="'legal' is to be added, but is not one of the domains"):
        extend_design(OLD, DONE, {}, BASE, added=["legal"])
    with pytest.raises(DesignError, match="No domain is left"):
        extend_design([], DONE, {}, BASE)
