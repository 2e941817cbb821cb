"""Experts and merged models in a study, trained in this process by a tiny model."""

import threading
import time

import pytest

from mixlaw.core.errors import ConfigError, RunFailed
from mixlaw.core.run import EXPERT, Merge, RunSpec
from mixlaw.study.executing import begin
from mixlaw.study.merged import in_order, missing_experts
from mixlaw.study.one_run import train_once
from mixlaw.study.store import Study
from mixlaw.study.worker import work
from mixlaw.train.merging import expert_file
from tiny_training import make_specs


@pytest.fixture
def merging(tmp_path, tiny_config):
    """A study with two experts, a merge of both and a run."""
    inputs = dict(tiny_config.inputs)
    experts = {d: RunSpec(f"expert-{d}", {d: 300}, 0, inputs, EXPERT) for d in ("code", "math")}
    ids = {domain: spec.id for domain, spec in experts.items()}
    merge = RunSpec("merge", {"code": 300, "math": 300}, 0, inputs, merge=Merge(ids, {"code": 0.5, "math": 0.5}, 1.5))
    specs = [merge, *experts.values(), *make_specs(tiny_config, (200,))]
    study = Study(tmp_path / "study")
    study.save_plan(specs)
    study.save_trainer(tiny_config)
    return study, specs


def states(study, specs):
    return {status.name: status.state for status in study.status(specs)}


def test_a_merge_comes_after_its_experts_and_counts_no_tokens(merging):
    study, specs = merging
    events = []
    work(study, specs, events.append)
    assert [e["run"] for e in events if e["event"] == "finished"] == ["run-200", "expert-code", "expert-math", "merge"]
    assert set(states(study, specs).values()) == {"done"}
    assert study.status(specs)[0].tokens == 0
    assert not missing_experts(study, specs[0])


def test_a_lost_expert_is_trained_again_only_while_a_merge_needs_it(merging, tiny_config):
    study, specs = merging
    merge, expert = specs[0], specs[1]
    work(study, specs, lambda event: None)
    weights, losses = expert_file(study.runs_folder, expert.id), study.record(merge).losses
    before = weights.read_bytes()
    weights.unlink()
    begin(study, tiny_config, specs, retry_failed=False)
    assert states(study, specs)[expert.name] == "done"
    (study.run_folder(merge) / "record.json").unlink()
    begin(study, tiny_config, specs, retry_failed=False)
    assert states(study, specs) == {
        "merge": "pending",
        "expert-code": "pending",
        "expert-math": "done",
        "run-200": "done",
    }
    work(study, specs, lambda event: None)
    assert weights.read_bytes() == before and study.record(merge).losses == losses


def test_a_merge_fails_with_its_expert_and_is_tried_again_in_the_next_sweep(merging, tiny_config):
    study, specs = merging
    merge, expert = specs[0], specs[1]
    study.run_folder(expert).mkdir(parents=True)
    study.fail(expert, RunFailed("It diverged."), retry=False)
    work(study, specs, lambda event: None)
    assert states(study, specs)["merge"] == "failed"
    reason = study.status([merge])[0].reason
    assert f"no expert of 'code': the run {study.run_folder(expert).name} has failed" in reason
    begin(study, tiny_config, specs, retry_failed=True)
    work(study, specs, lambda event: None)
    assert set(states(study, specs).values()) == {"done"}


def test_a_merge_waits_while_another_process_trains_its_expert(merging):
    study, specs = merging
    merge, expert = specs[0], specs[1]
    lease = study.claim(expert)
    assert lease is not None
    asked = in_order(study, [merge])
    found = []
    thread = threading.Thread(target=lambda: found.extend(asked))
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive() and not found
    lease.release()  # as if that process had ended without a record: nobody is left to wait for
    thread.join(5)
    assert not thread.is_alive() and not found


def test_a_trainer_that_cannot_merge_says_so(merging, tiny_config):
    class Other:
        name, merges = "other", False

    with pytest.raises(ConfigError, match="The trainer 'other' merges no models"):
        train_once(Other(), merging[1][0], merging[0].folder, lambda *step: None)  # type: ignore[arg-type]
