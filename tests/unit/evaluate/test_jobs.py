"""Evaluations as runs of a sweep: what is refused before anything starts, and what a run does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunSpec
from mixlaw.evaluate import downstream, jobs
from mixlaw.evaluate.downstream import finished, load_tasks, stored_metrics, unfinished
from mixlaw.evaluate.jobs import Evaluation, EvaluationOptions
from mixlaw.train.settings import ModelSettings, TrainSettings


def harness(model: Path, tasks, limit, batch_size, backend):
    """Say that three of four rows were right."""
    results = {"results": {task["task"]: {"acc,none": 0.75, "acc_stderr,none": "N/A"} for task in tasks.values()}}
    return results, {task["task"]: [{"acc": float(i > 0)} for i in range(4)] for task in tasks.values()}


@pytest.fixture
def evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr(downstream, "harness_results", harness)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    options = EvaluationOptions({"mine": str(tmp_path / "model")}, {"mine": str(tmp_path / "evaluation")}, ("boolq",))
    return Evaluation(ModelSettings("m"), TrainSettings(), {}, {}, options=options)


def test_a_run_writes_its_models_results_with_their_standard_error(evaluation, tmp_path):
    tasks = load_tasks(["boolq"], {}, False)
    assert list(unfinished(tmp_path / "model", tasks, tmp_path / "evaluation", None)) == ["boolq"]
    record = evaluation.run(RunSpec("mine", {}, 0), folder=tmp_path / "run")
    assert record.losses == {} and record.tokens == {}
    assert not unfinished(tmp_path / "model", tasks, tmp_path / "evaluation", None)
    found = finished(tasks, tmp_path / "evaluation")["boolq"]
    assert (found["value"], found["metric"], found["rows"]) == (0.75, "acc", 4)
    # Four rows, three of them right: sqrt(.75 * .25 / 3)
    assert found["stderr"] == pytest.approx(0.25)
    assert stored_metrics(tmp_path) == {"boolq": (0.75, pytest.approx(0.25))}


def test_other_weights_or_rows_are_evaluated_again(evaluation, tmp_path):
    tasks = load_tasks(["boolq"], {}, False)
    evaluation.run(RunSpec("mine", {}, 0), folder=tmp_path / "run")
    assert unfinished(tmp_path / "model", tasks, tmp_path / "evaluation", 3)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"others")
    assert unfinished(tmp_path / "model", tasks, tmp_path / "evaluation", None)


def test_a_metric_that_is_no_mean_over_rows_has_no_standard_error():
    assert downstream._standard_error([{"f1": [1, 0]}, {"f1": [0, 0]}], "f1") is None
    assert downstream._standard_error([{"acc": 1.0}], "acc") is None
    assert downstream._standard_error([{"acc": True}, {"acc": True}], "acc") == 0.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "tgi"}, r"no backend 'tgi'\. Known: hf, accelerate, vllm"),
        ({"processes": 2}, "--processes is for the backend accelerate"),
        ({"backend": "vllm"}, "backend vllm needs the package 'vllm', which is not installed. Install it with: pip"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_starts(options, said, monkeypatch):
    monkeypatch.setattr("mixlaw.train.trainer.find_spec", lambda name: None if name == "vllm" else object())
    with pytest.raises(ConfigError, match=said):
        Evaluation.check(EvaluationOptions(**options), Path("."))


def test_the_first_error_of_several_processes_is_told():
    log = ["W1129 something", "[rank1]: Traceback", "[rank1]: ValueError: no such device", "torch: ChildFailedError: x"]
    assert next(line for line in log if jobs._ERROR.match(line)) == "[rank1]: ValueError: no such device"
