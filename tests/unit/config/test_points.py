"""`plan: {points: ...}`: what is read."""

import pytest

from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError

BASE = {
    "study": "study",
    "model": {"name_or_path": "base"},
    "domains": {"chat": {"path": "chat.jsonl"}, "math": {"path": "math.jsonl"}},
    "budget_tokens": "20M",
}


def test_runs_have_no_points_unless_they_are_asked_for():
    assert parse_config(BASE).plan.points is None


def test_points_are_read_in_rising_order():
    assert parse_config({**BASE, "plan": {"points": [0.5, 0.25, 0.5]}}).plan.points == [0.25, 0.5]


@pytest.mark.parametrize(
    "points, said",
    [
        ([0.25, 1.0], "1 is not between 0 and 1"),
        ([0], "0 is not between 0 and 1"),
        ([0.9], "0.9 is too near to 1: at most 0.8"),
        ([0.45, 0.5], "0.45 is too near to 0.5: at most 0.4"),
        (0.5, "list"),
        (["half"], "number"),
    ],
)
def test_points_that_cannot_be_are_one_error(points, said):
    with pytest.raises(ConfigError, match=f"(?s)plan.points.*{said}"):
        parse_config({**BASE, "plan": {"points": points}})
