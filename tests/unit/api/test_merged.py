"""Which plans can have merged models."""

from types import SimpleNamespace

import pytest

from mixlaw.api.merged import trained, with_merges
from mixlaw.api.plan import Plan
from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import BASE as BASE_ROLE
from mixlaw.core.run import EXPERT, RunSpec
from mixlaw.study.status import RunStatus

BASE = {
    "study": "study",
    "model": {"name_or_path": "base"},
    "domains": {"chat": {"path": "chat.jsonl"}, "math": {"path": "math.jsonl"}},
    "budget_tokens": "20M",
    "plan": {"merges": 6},
}
RUNS = [RunSpec(f"run-{n}", {"chat": n, "math": 3 * n}, 0, {"model": "m"}) for n in (1_000, 2_000, 4_000)]


def project(**changes):
    return SimpleNamespace(config=parse_config(BASE | changes), trainer_config=SimpleNamespace(inputs={"model": "m"}))


def test_experts_get_a_quarter_of_a_run_in_the_middle_and_merges_count_no_tokens():
    specs, notes = with_merges(project(), RUNS)  # type: ignore[arg-type]
    assert specs[:3] == RUNS == trained(specs)
    experts = [spec for spec in specs if spec.role == EXPERT]
    assert [(spec.name, dict(spec.tokens)) for spec in experts] == [
        ("expert-chat", {"chat": 2_000}),
        ("expert-math", {"math": 2_000}),
    ]
    merges = [spec for spec in specs if spec.merge is not None]
    assert len(merges) == 1 + 6  # the runs have the same shares
    assert all(spec.merge.experts == {"chat": experts[0].id, "math": experts[1].id} for spec in merges)
    assert sum(spec.trained_tokens for spec in merges) == 0
    assert notes[0].startswith("merges: 7 merged models of 2 experts, 2k tokens each")


def test_further_runs_train_no_expert_anew_and_move_no_merge():
    further = [RunSpec(f"next-{n}", {"chat": n, "math": 50 * n}, 0, {"model": "m"}) for n in (40_000, 80_000)]
    first, _ = with_merges(project(), RUNS)  # type: ignore[arg-type]
    later, _ = with_merges(project(), RUNS, further)  # type: ignore[arg-type]
    assert {spec.id for spec in first} < {spec.id for spec in later}
    assert [spec.name for spec in later if spec not in first] == ["next-40000", "next-80000", "merge-of-02"]


def test_a_plan_without_merges_is_as_it_was():
    assert with_merges(project(plan={}), RUNS) == (RUNS, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"train": {"trainer": "trl"}}, "the trainer 'trl' cannot merge models"),
        ({"executor": {"kind": "ray"}}, "workers of executor 'ray' may not see"),
        ({"domains": {"chat": {"path": "chat.jsonl"}}}, "needs two domains or more; there is one"),
    ],
)
def test_what_cannot_merge_says_so_before_anything_is_trained(changes, said):
    with pytest.raises(ConfigError, match=said):
        with_merges(project(**changes), RUNS)  # type: ignore[arg-type]


def test_the_plans_table_has_a_column_a_domain_for_every_kind_of_run():
    specs, _ = with_merges(project(), RUNS)  # type: ignore[arg-type]
    specs.append(RunSpec("base-model", dict.fromkeys(RUNS[0].tokens, 0), 0, {"model": "m"}, BASE_ROLE))
    statuses = [RunStatus(spec.name, spec.name, "pending", spec.trained_tokens) for spec in specs]
    title, columns, rows, _ = Plan(specs, statuses, [], None).table()
    assert title == "3 runs, 2 experts, 7 merged models and the base model, 32k training tokens"
    assert columns == ["run", "chat", "math", "total", "state"]
    assert {len(row) for row in rows} == {len(columns)}
    assert ["expert-math", "0", "2k", "2k", "pending"] in rows
