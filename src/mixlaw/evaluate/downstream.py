"""Downstream tasks with lm-evaluation-harness, offline, on models that were saved by transformers.

A task is a YAML of the harness beside its rows (`tasks/`); users give their own rows for a task, or their own YAML. The
harness's results are kept as they come, `results.json` and `samples.jsonl`; beside them `metrics.json` has one number a
task, which becomes the column `metric:<task>` of the run table.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.core.files import write_text
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.core.yaml_file import read_yaml
from mixlaw.evaluate import sandbox

TASKS_FOLDER = Path(__file__).parent / "tasks"
CODE_TASKS = {"humaneval": sandbox.humaneval, "mbpp": sandbox.mbpp}
DEFAULT_TASKS = ("openbookqa", "commonsense_qa", "winogrande", "boolq", "pubmedqa", "aqua", "svamp", "sql", "shell")
"""gsm8k is left out: a model that can do it is larger than those that make proxy runs cheap."""

EVALUATION = "evaluation"
_MAIN_METRICS = ("acc_norm", "acc", "exact_match", "pass_at_1")


def known_tasks() -> list[str]:
    """Return the names of the bundled tasks."""
    return sorted(path.stem for path in TASKS_FOLDER.glob("*.yaml"))


def load_tasks(names: Iterable[str], data: Mapping[str, str | Path], run_code: bool) -> dict[str, dict[str, Any]]:
    """Return name -> the harness's configuration of the task.

    Args:
        names: bundled tasks, or paths of task YAMLs of one's own (named after the file).
        data: task -> JSONL file with the same fields, instead of the bundled rows.
        run_code: whether tasks that run a model's code may be used.

    Raises:
        ConfigError: no such task, a task that runs code without being allowed to, or rows for a task that is not used.
        DataError: the rows' file is missing.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for given in names:
        own = given.endswith((".yaml", ".yml"))
        path = Path(given) if own else TASKS_FOLDER / f"{given}.yaml"
        if not path.is_file():
            raise ConfigError(f"There is no task '{given}'.", f"Known: {', '.join(known_tasks())}, or a YAML's path.")
        config = read_yaml(path)
        if not isinstance(config, dict):
            raise ConfigError(f"{path} holds no keys.", "Write a task in the format of lm-evaluation-harness.")
        name = path.stem
        if config.get("unsafe_code") and not run_code:
            raise ConfigError(f"The task '{name}' runs code that the model wrote.", "Allow it with --run-code.")
        files = {split: data.get(name, path.parent / str(file)) for split, file in _data_files(config).items()}
        if missing := [file for file in files.values() if not Path(file).is_file()]:
            raise DataError(f"Task '{name}': there is no file {missing[0]}.", "Check the path.")
        config["dataset_kwargs"] = {"data_files": {split: str(Path(f).resolve()) for split, f in files.items()}}
        if name in CODE_TASKS:
            config["process_results"] = CODE_TASKS[name]
        tasks[name] = config
    if stray := sorted(set(data) - set(tasks)):
        raise ConfigError(f"--data names the task '{stray[0]}', which is not evaluated.", f"Used: {', '.join(tasks)}.")
    return tasks


def _data_files(config: Mapping[str, Any]) -> Mapping[str, str]:
    files = (config.get("dataset_kwargs") or {}).get("data_files", {})
    return files if isinstance(files, dict) else {"test": files}


def evaluate_model(
    model: Path,
    tasks: Mapping[str, dict[str, Any]],
    out: Path,
    *,
    limit: int | None = None,
    batch_size: int = 16,
) -> dict[str, dict[str, Any]]:
    """Evaluate a saved model on the tasks that it has no results of, and return task -> {value, metric, stderr, rows}.

    Args:
        model: a folder that transformers loads, with its tokenizer.
        tasks: as of `load_tasks`.
        out: the folder of the results.
        limit: rows of a task; None for all.
        batch_size: of the harness.

    Raises:
        MissingExtra: lm-eval is not installed.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        raise MissingExtra("lm_eval", "eval", "Evaluating downstream tasks") from None
    path = out / "metrics.json"
    metrics = _metrics(path)
    ids = {name: _identity(config, model, limit) for name, config in tasks.items()}
    missing = {name: config for name, config in tasks.items() if metrics.get(name, {}).get("id") != ids[name]}
    if missing:
        results, samples = _harness(model, missing, limit, batch_size)
        out.mkdir(parents=True, exist_ok=True)
        for name, config in missing.items():
            task = config["task"]
            folder = out / name
            write_text(folder / "results.json", json.dumps(_only(results, task), indent=1, default=str) + "\n")
            lines = [json.dumps(sample, default=str, ensure_ascii=False) for sample in samples.get(task, ())]
            write_text(folder / "samples.jsonl", "\n".join(lines) + "\n")
            metrics[name] = {"id": ids[name], **_main(results["results"][task]), "rows": len(lines)}
        write_document(path, "evaluation", {"tasks": metrics})
    return {name: metrics[name] for name in tasks}


def _harness(
    model: Path, tasks: Mapping[str, dict[str, Any]], limit: int | None, batch_size: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the harness's results, and its samples by task."""
    # All is local: nothing may be asked of a network, and no prompt of the harness waits for one.
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import lm_eval

    evaluate: Any = lm_eval.simple_evaluate  # wrapped: its own signature is hidden from type checkers
    cache = tempfile.mkdtemp(prefix="mixlaw-eval-")
    try:
        configs = []
        for config in tasks.values():
            used = {**config, "dataset_kwargs": {**config["dataset_kwargs"], "cache_dir": cache}}
            configs.append(used)
        found = evaluate(
            model="hf",
            model_args={"pretrained": str(model), "trust_remote_code": False},
            tasks=configs,
            batch_size=batch_size,
            device=_device(),
            limit=limit,
            apply_chat_template=True,
            bootstrap_iters=0,
            confirm_run_unsafe_code=True,
        )
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    assert found is not None
    results: dict[str, Any] = dict(found)
    return results, results.pop("samples", {})


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _identity(config: Mapping[str, Any], model: Path, limit: int | None) -> str:
    plain = {key: value for key, value in config.items() if not callable(value) and key != "dataset_kwargs"}
    files = [file_fingerprint(file) for file in config["dataset_kwargs"]["data_files"].values()]
    weights = [file_fingerprint(file) for file in sorted(model.glob("*.safetensors"))]
    return fingerprint({"task": plain, "rows": files, "model": weights, "limit": limit})


def _only(results: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the results of one task, as the harness gives them."""
    return {
        key: ({task: value[task]} if isinstance(value, Mapping) and task in value else value)
        for key, value in results.items()
    }


def _main(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task's number: length-normalised accuracy, accuracy, exact match or pass@1, whichever it has first."""
    by_metric = {key.split(",")[0]: key for key in values if "_stderr" not in key}
    metric = next((name for name in _MAIN_METRICS if name in by_metric), None)
    if metric is None:
        metric = next(name for name, key in by_metric.items() if isinstance(values[key], (int, float)))
    return {"value": float(values[by_metric[metric]]), "metric": metric}


def stored_metrics(folder: Path) -> dict[str, float]:
    """Return task -> value of a run that was evaluated; empty where it was not."""
    return {name: float(entry["value"]) for name, entry in _metrics(folder / EVALUATION / "metrics.json").items()}


def _metrics(path: Path) -> dict[str, dict[str, Any]]:
    return read_document(path, "evaluation")["tasks"] if path.exists() else {}
