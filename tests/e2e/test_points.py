"""A study with points along its runs, from mix.yaml to the report."""

import json

import pytest

import mixlaw
from mixlaw.api.project import Project
from mixlaw.api.sweep import spent
from mixlaw.design import spending
from quick_study import short_fits, trained_here, write_quick_demo


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    config = write_quick_demo(tmp_path_factory.mktemp("points"))
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace("plan:\n", "plan:\n  points: [0.5]\n", 1) + "\nfit: {law: transfer}\n", encoding="utf-8"
    )
    with trained_here(), short_fits(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(spending, "LEAST_POINT_TOKENS", 700)
        return config, mixlaw.run(config), Project.open(config).study.load_plan()


def test_every_point_is_a_row_that_shares_its_run_and_the_fit_uses_it(study):
    config, result, specs = study
    along = sum(len(spec.points) - 1 for spec in specs if spec.points)
    table = mixlaw.load_runs(config.parent / "study")
    assert along > 5 and table.point_R.sum() == along
    assert len(result.fit) == len(table)
    assert {name.partition("@")[0] for name in table.runs} == set(table.checkpoint_of)
    report = (config.parent / "study" / "report" / "report.html").read_text(encoding="utf-8")
    facts = json.loads((config.parent / "study" / "report" / "report.json").read_text(encoding="utf-8"))
    ended = ~table.point_R & (table.totals_R > 0)
    assert facts["cost"]["runs"] == ended.sum() and facts["cost"]["tokens"] == table.totals_R[ended].sum()
    assert f" with {along} points along them" in report and "validation losses at 2 points" in report


def test_their_evaluations_cost_and_the_runs_do_not_train_more(study):
    config, _, specs = study
    cost, prices = spent(config), Project.open(config).prices
    assert cost is not None
    evaluations = sum(spec.evaluations for spec in specs)
    tokens = sum(spec.trained_tokens for spec in specs)
    assert cost.done.share == pytest.approx(prices.training(tokens).share + evaluations * prices.evaluation().share)


def test_verify_reads_and_trains_them_again(study):
    found = mixlaw.verify(study[0], retrain=1)
    assert found.sound and len(found.retrained) == 1


def test_nothing_is_trained_again_and_without_points_all_is(study, monkeypatch):
    config = study[0]
    monkeypatch.setattr(spending, "LEAST_POINT_TOKENS", 700)
    assert all(status.state == "done" for status in mixlaw.plan(config).statuses)
    text = config.read_text(encoding="utf-8")
    try:
        config.write_text(text.replace("  points: [0.5]\n", ""), encoding="utf-8")
        states = {status.name: status.state for status in mixlaw.plan(config).statuses}
    finally:
        config.write_text(text, encoding="utf-8")
    assert {state for name, state in states.items() if name != "base-model"} == {"pending"}
    assert json.loads((config.parent / "study" / "fit.json").read_text())["fidelity"].count("point") > 5
