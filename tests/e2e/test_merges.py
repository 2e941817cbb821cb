"""A study with merged models, from mix.yaml to the fit."""

import csv

import pytest

import mixlaw
from mixlaw.api.merged import trained
from mixlaw.api.project import Project
from mixlaw.core.run import EXPERT
from mixlaw.core.runtable import RunTable
from small_demo import write_small_demo


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    config = write_small_demo(tmp_path_factory.mktemp("merges"))
    text = config.read_text(encoding="utf-8")
    keys = "plan:\n  merges: 4\n  expert_tokens: 1k\n  runs: 6\n"
    config.write_text(text.replace("plan:\n", keys, 1).replace("base_tokens: 3k", "base_tokens: 1k"), encoding="utf-8")
    return config, mixlaw.train(config, workers=2)


def test_experts_train_merges_are_evaluated_and_feed_the_fit_that_says_what_it_made_of_them(study, tmp_path):
    config, statuses = study
    specs = Project.open(config).study.load_plan()
    kinds = [sum(s.role == EXPERT for s in specs), sum(s.merge is not None for s in specs), len(trained(specs))]
    assert kinds == [3, 6 + 4, 6]
    assert {status.state for status in statuses} == {"done"}
    assert sum(status.tokens for status in statuses) == sum(s.trained_tokens for s in specs)

    table = mixlaw.load_runs(config.parent / "study")
    assert table.merged_R.sum() == 10 and len(table) == 6 + 10 + 1  # and the base model
    table.to_csv(tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", newline="") as file:
        assert {row["fidelity"] for row in csv.DictReader(file)} == {"true", "merged"}
    again = RunTable.from_csv(tmp_path / "runs.csv")
    assert again.fidelity == table.fidelity

    fit = mixlaw.fit(again, "pairwise")
    assert len(fit) == 6 + 1  # experts and merges are no runs of the fit; the base model is
    said = " ".join((fit.choice, *fit.warnings))
    assert all(f"'{target}'" in said for target in fit.targets) and "erged models" in said


def test_the_plan_says_how_many_models_are_merged_and_of_which_experts(study):
    specs, notes = Project.open(study[0]).design
    assert notes[-1] == "merges: 10 merged models of 3 experts, 1k tokens each; merged models are only evaluated."
    merges = [spec.merge for spec in specs if spec.merge is not None]
    assert all(sum(merge.weights.values()) == pytest.approx(1, abs=1e-5) for merge in merges)
    assert {run for merge in merges for run in merge.experts.values()} == {s.id for s in specs if s.role == EXPERT}
