"""An edit of mix.yaml that makes finished runs useless is said before anything is trained."""

import pytest

import mixlaw
from mixlaw.api.project import Project
from mixlaw.core.run import RunRecord, TargetLoss
from unit.cli.test_study_files import write_inputs


@pytest.fixture
def config(tmp_path):
    """A study with three finished runs."""
    config = write_inputs(tmp_path)
    mixlaw.plan(config)
    study = Project.open(config).study
    for spec in study.load_plan()[:3]:
        losses = {name: TargetLoss(200.0, 100, 300) for name in spec.tokens}
        study.claim(spec).release()
        study.complete(spec, RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, losses, 3, 9), {})
    return config


def said_of(config):
    said = []
    plan = mixlaw.plan(config, said.append)
    return [text for text in said if "finished runs" in text], plan


def test_another_learning_rate_is_named_with_the_runs_it_costs(config):
    config.write_text(config.read_text().replace("max_length: 64", "max_length: 64, learning_rate: 1e-3"))
    (text,), plan = said_of(config)
    assert text.startswith("3 finished runs were made with other settings or data (train.learning_rate). They are kept")
    assert all(status.state == "pending" for status in plan.statuses)


def test_other_rows_of_a_domain_are_named(config, tmp_path):
    path = next(iter(sorted(tmp_path.glob("**/*.jsonl"))))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    (text,), _ = said_of(config)
    assert f"data:{path.stem}" in text


def test_the_same_settings_and_another_budget_cost_nothing(config):
    assert said_of(config)[0] == []
    config.write_text(config.read_text().replace("budget: ", "budget: 1"))
    assert said_of(config)[0] == []
