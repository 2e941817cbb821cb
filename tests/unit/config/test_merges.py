"""`plan: {merges: ...}`: what is read, and what belongs to merges alone."""

import pytest

from mixlaw.config import parse_config
from mixlaw.config.plan import MERGE_SCALE
from mixlaw.core.errors import ConfigError

BASE = {
    "study": "study",
    "model": {"name_or_path": "base"},
    "domains": {"chat": {"path": "chat.jsonl"}, "math": {"path": "math.jsonl"}},
    "budget_tokens": "20M",
}


def test_a_plan_merges_nothing_unless_it_is_asked_to():
    plan = parse_config(BASE).plan
    assert (plan.merges, plan.expert_tokens, plan.expert_general, plan.merge_scale) == (0, None, 0.0, MERGE_SCALE)


def test_experts_and_scale_are_read_with_the_number_of_merges():
    asked = {"merges": 40, "expert_tokens": "30k", "expert_general": 0.25, "merge_scale": 2}
    plan = parse_config({**BASE, "plan": asked}).plan
    assert (plan.merges, plan.expert_tokens, plan.expert_general, plan.merge_scale) == (40, 30_000, 0.25, 2.0)


@pytest.mark.parametrize("key, value", [("expert_tokens", "30k"), ("expert_general", 0.25), ("merge_scale", 2)])
def test_what_is_about_merges_needs_their_number(key, value):
    with pytest.raises(ConfigError, match=f"plan: .*{key} is about merged models; say how many with merges"):
        parse_config({**BASE, "plan": {key: value}})


@pytest.mark.parametrize("key, value", [("merges", -1), ("expert_general", 1), ("merge_scale", 0), ("merge_scale", 11)])
def test_numbers_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"plan.{key}"):
        parse_config({**BASE, "plan": {"merges": 3, key: value}})
