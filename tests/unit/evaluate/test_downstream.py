import gzip
import json
import sys
from types import SimpleNamespace

import pytest

from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.evaluate import downstream
from mixlaw.evaluate.downstream import (
    CODE_TASKS,
    DEFAULT_TASKS,
    TASKS_FOLDER,
    evaluate_model,
    known_tasks,
    load_tasks,
    model_arguments,
)


def test_every_task_has_rows_with_the_fields_that_it_names():
    assert set(DEFAULT_TASKS) | set(CODE_TASKS) | {"gsm8k"} == set(known_tasks())
    for name, config in load_tasks(known_tasks(), {}, run_code=True).items():
        (file,) = config["dataset_kwargs"]["data_files"].values()
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        assert 40 <= len(rows) <= 200, name
        for row in rows:
            if "choices" in row:
                assert 0 <= row["answer"] < len(row["choices"])
        assert config["task"] == f"mixlaw_{name}"
    assert sum(path.stat().st_size for path in TASKS_FOLDER.iterdir()) < 1_000_000
    assert (TASKS_FOLDER / "LICENSES.txt").is_file()


def test_rows_of_ones_own_take_the_place_of_the_bundled_ones(tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}\n")
    config = load_tasks(["boolq"], {"boolq": tmp_path / "mine.jsonl"}, False)["boolq"]
    assert config["dataset_kwargs"]["data_files"] == {"test": str(tmp_path / "mine.jsonl")}


@pytest.mark.parametrize(
    ("settings", "device", "dtype"),
    [
        ({"dtype": "float16"}, "cpu", "float32"),
        ({"torch_dtype": "float16"}, "cpu", "float32"),
        ({"dtype": "float16"}, "cuda", None),
        ({"dtype": "bfloat16"}, "cpu", None),
        ({}, "cpu", None),
    ],
)
def test_a_cpu_computes_half_precision_weights_in_float32(settings, device, dtype, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert model_arguments(tmp_path, device).get("dtype") == dtype


def test_what_cannot_be_used_is_an_error():
    with pytest.raises(ConfigError, match=r"no task 'mmlu'.*Known: aqua"):
        load_tasks(["mmlu"], {}, False)
    with pytest.raises(ConfigError, match=r"'humaneval' runs code.*--run-code"):
        load_tasks(["humaneval"], {}, False)
    with pytest.raises(DataError, match=r"no file .*gone\.jsonl"):
        load_tasks(["boolq"], {"boolq": "gone.jsonl"}, False)
    with pytest.raises(ConfigError, match="'sql', which is not evaluated"):
        load_tasks(["boolq"], {"sql": "x.jsonl"}, False)


def test_a_missing_harness_names_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtra, match=r'pip install "mixlaw\[eval\]"'):
        evaluate_model(tmp_path, load_tasks(["boolq"], {}, False), tmp_path)


@pytest.mark.parametrize(("task", "all_read"), [("mixlaw_boolq", False), ("boolq", True)])
def test_the_harness_reads_its_own_tasks_only_where_one_of_them_may_be_meant(monkeypatch, tmp_path, task, all_read):
    asked = []

    def evaluated(**given):
        asked.append((given["task_manager"], given["model_args"]))

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace(simple_evaluate=evaluated))
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", SimpleNamespace(TaskManager=dict))
    monkeypatch.setattr(downstream, "_device", lambda: "cpu")
    tasks = load_tasks(["boolq"], {}, False)
    tasks["boolq"]["task"] = task
    assert downstream.harness_results(tmp_path, tasks, None, 1, "hf") == ({}, {})
    ((manager, arguments),) = asked
    assert manager == {"include_defaults": all_read, "metadata": arguments}
