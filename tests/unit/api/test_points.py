"""Which runs of a plan have points, and what these cost."""

from types import SimpleNamespace

import pytest

from mixlaw.api.changed_domains import comparable
from mixlaw.api.points import points_of, said_of_points
from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import Counted, RunRecord, RunSpec, TargetLoss
from mixlaw.design.affordable import Planner
from mixlaw.design.spending import LEAST_POINT_TOKENS, Spending, points_along

BASE = {
    "study": "study",
    "model": {"name_or_path": "base"},
    "domains": {"chat": {"path": "chat.jsonl"}, "math": {"path": "math.jsonl"}},
    "budget_tokens": "20M",
    "plan": {"points": [0.25, 0.5]},
}


def project(**changes):
    return SimpleNamespace(config=parse_config(BASE | changes))


@pytest.mark.parametrize("tokens, points", [(4, (0.25, 0.5, 1.0)), (2, (0.5, 1.0)), (1, (1.0,))])
def test_a_point_needs_some_tokens(tokens, points):
    assert points_of(project(), {"chat": tokens * LEAST_POINT_TOKENS}) == points  # type: ignore[arg-type]


def test_runs_that_do_not_feed_the_fit_have_the_same_schedule_and_no_points():
    assert points_of(project()) == (1.0,)  # type: ignore[arg-type]
    assert points_of(project(plan={}), {"chat": 10**6}) == ()  # type: ignore[arg-type]


def test_a_trainer_that_cannot_says_so_before_anything_is_trained():
    with pytest.raises(ConfigError, match="the trainer 'trl' cannot evaluate a run on its way"):
        points_of(project(train={"trainer": "trl"}), {"chat": 10**6})  # type: ignore[arg-type]


def test_the_plan_says_how_many_points_there_are():
    specs = [RunSpec(f"r{i}", {"chat": 10}, 0, points=points) for i, points in enumerate([(0.25, 0.5, 1.0), (1.0,)])]
    assert said_of_points(specs)[0].startswith("points: 2 points along 1 of the runs, from 5k tokens on")
    assert said_of_points([RunSpec("r", {"chat": 10}, 0)]) == []


def test_evaluations_on_the_way_are_part_of_what_runs_cost():
    spending = Spending(1e6, 1_000, 1e7, points=(0.25, 0.5))
    assert points_along(spending.points, 3 * LEAST_POINT_TOKENS) == (0.5,)
    assert spending.cost([{"chat": 100_000}, {"chat": 5_000}]) == 105_000 + 3_000 + 1_000
    merged = Spending(1e6, 1_000, 1e7, merged=True)
    assert merged.cost([{"chat": 100_000}]) == 102_000 and merged.most_evaluations == 2_000


def test_a_plan_with_points_keeps_to_the_limit():
    available = dict.fromkeys(("chat", "math", "code"), 10_000_000)
    limit = 2_000_000.0
    plans = [
        Planner(available, 20e6, Spending(limit, 30_000, 20e6, given=True, points=points)).start()
        for points in ((), (0.25, 0.5))
    ]
    for plan, points in zip(plans, ((), (0.25, 0.5)), strict=True):
        spending = Spending(limit, 30_000, 20e6, points=points)
        assert spending.cost([tokens for _, tokens in plan.mixtures]) <= 1.05 * limit
    assert plans[1].base_tokens < plans[0].base_tokens  # smaller runs pay for the evaluations


def test_runs_with_another_schedule_are_not_fitted_together():
    inputs = {"model": "m", "validation:chat": "v"}
    losses = {"chat": TargetLoss(1.0, 1)}
    plain, along = (RunSpec("r", {"chat": 10}, 0, inputs, points=points) for points in ((), (0.5, 1.0)))
    point = Counted(1, {"chat": 5}, {"chat": 5}, {"chat": 5}, losses)
    records = [RunRecord(plain, {}, {}, {}, losses, 2, 1), RunRecord(along, {}, {}, {}, losses, 2, 1, (point,))]
    assert comparable(records, inputs) == records[:1]
    assert comparable(records, inputs, True) == records[1:]
