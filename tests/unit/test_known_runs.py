"""Runs that the swarm's file holds are taken over where all that determines them is the same, and only there."""

from dataclasses import replace

import pytest
import yaml
from experiments.swarm.known import take_known

from demo_study import place_runs
from mixlaw.api.files import example_config
from mixlaw.api.project import Project
from mixlaw.study.store import Study


@pytest.fixture
def project(tmp_path):
    """Return the demo, whose runs are those of set 1 of the experiment `gain`."""
    return Project.open(example_config(tmp_path), lambda text: None)


def test_the_demos_runs_are_known_and_are_those_that_are_kept_for_tests(project, tmp_path):
    specs = project.planned[0]
    assert sorted(take_known(project.study, specs)) == sorted(spec.name for spec in specs)
    kept = Study(tmp_path / "kept")
    place_runs(kept.folder)
    for spec in specs:
        record, other = project.study.record(spec), kept.record(spec)
        assert record is not None and other is not None and record.spec == other.spec
        assert (record.tokens, record.unique_tokens, record.steps) == (other.tokens, other.unique_tokens, other.steps)
        assert {t: loss.loss_nats for t, loss in record.losses.items()} == pytest.approx(
            {t: loss.loss_nats for t, loss in other.losses.items()},
            abs=0.01,  # trained on another processor
        )
        assert {t: loss.count for t, loss in record.losses.items()} == {t: x.count for t, x in other.losses.items()}
    assert take_known(project.study, specs) == []


def test_another_setting_or_a_run_that_leaves_its_model_is_trained(project):
    specs = [replace(spec, keep_model=True) for spec in project.planned[0] if not spec.untrained]
    assert take_known(project.study, specs) == []
    tree = yaml.safe_load(project.file.read_text(encoding="utf-8"))
    tree["train"]["learning_rate"] = 0.5e-3
    project.file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    other = Project.open(project.file, lambda text: None)
    assert set(take_known(other.study, other.planned[0])) <= {"base-model"}  # which is not trained
