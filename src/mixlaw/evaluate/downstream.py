"""Downstream tasks with lm-evaluation-harness, offline, on models that were saved by transformers.

A task is a YAML of the harness beside its rows (`tasks/`); users give their own rows for a task, or their own YAML. The
harness's results are kept as they come, `results.json` and `samples.jsonl`; beside them `metrics.json` has one number a
task, which becomes the column `metric:<task>` of the run table.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
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
    backend: str = "hf",
    made: Callable[[Path, Mapping[str, dict[str, Any]]], tuple[dict[str, Any], dict[str, Any]]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Evaluate a saved model on the tasks that it has no results of, and return task -> {value, metric, stderr, rows}.

    Args:
        model: a folder that transformers loads, with its tokenizer.
        tasks: as of `load_tasks`.
        out: the folder of the results.
        limit: rows of a task; None for all.
        batch_size: of the harness.
        backend: what runs the model, `hf` or `vllm`.
        made: gives the harness's results and samples for a model and tasks; None for `harness_results`.

    Raises:
        MissingExtra: lm-eval is not installed.
    """
    require_harness()
    path = out / "metrics.json"
    metrics = _metrics(path)
    missing = unfinished(model, tasks, out, limit)
    if missing:
        results, samples = made(model, missing) if made else harness_results(model, missing, limit, batch_size, backend)
        out.mkdir(parents=True, exist_ok=True)
        for name, config in missing.items():
            task = config["task"]
            folder = out / name
            write_text(folder / "results.json", json.dumps(_only(results, task), indent=1, default=str) + "\n")
            lines = [json.dumps(sample, default=str, ensure_ascii=False) for sample in samples.get(task, ())]
            write_text(folder / "samples.jsonl", "\n".join(lines) + "\n")
            metrics[name] = {"id": _identity(config, model, limit), **_main(results["results"][task])}
            metrics[name] |= {"stderr": _standard_error(samples.get(task, ()), metrics[name]["metric"])}
            metrics[name] |= {"rows": len(lines)}
        write_document(path, "evaluation", {"tasks": metrics})
    return {name: metrics[name] for name in tasks}


def require_harness() -> None:
    """Raise MissingExtra where lm-eval is not installed."""
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        raise MissingExtra("lm_eval", "eval", "Evaluating downstream tasks") from None


def unfinished(
    model: Path, tasks: Mapping[str, dict[str, Any]], out: Path, limit: int | None
) -> dict[str, dict[str, Any]]:
    """Return the tasks of which a model has no results; arguments as `evaluate_model`."""
    found = _metrics(out / "metrics.json")
    return {
        name: config
        for name, config in tasks.items()
        if found.get(name, {}).get("id") != _identity(config, model, limit) or "stderr" not in found[name]
    }


def finished(tasks: Iterable[str], out: Path) -> dict[str, dict[str, Any]]:
    """Return task -> what was found of a model that was evaluated on it."""
    found = _metrics(out / "metrics.json")
    return {name: found[name] for name in tasks}


def harness_results(
    model: Path, tasks: Mapping[str, dict[str, Any]], limit: int | None, batch_size: int, backend: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the harness's results, and its samples by task; both empty in all but the first of several processes."""
    # All is local: nothing may be asked of a network, and no prompt of the harness waits for one.
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import lm_eval
    from lm_eval.tasks import TaskManager

    device = _device()
    arguments = model_arguments(model, device)
    # The harness's own 14,000 tasks are read, for ten seconds, only where one of them may be meant.
    manager = TaskManager(include_defaults=not all(map(_is_bundled, tasks.values())), metadata=arguments)
    evaluate: Any = lm_eval.simple_evaluate  # wrapped: its own signature is hidden from type checkers
    cache = tempfile.mkdtemp(prefix="mixlaw-eval-")
    try:
        configs = []
        for config in tasks.values():
            used = {**config, "dataset_kwargs": {**config["dataset_kwargs"], "cache_dir": cache}}
            configs.append(used)
        found = evaluate(
            model="vllm" if backend == "vllm" else "hf",
            model_args=arguments,
            tasks=configs,
            task_manager=manager,
            batch_size=batch_size,
            device=None if backend == "accelerate" else device,
            limit=limit,
            apply_chat_template=True,
            bootstrap_iters=0,
            confirm_run_unsafe_code=True,
        )
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    if found is None:
        return {}, {}
    results: dict[str, Any] = dict(found)
    return results, results.pop("samples", {})


def model_arguments(model: Path, device: str) -> dict[str, Any]:
    """Return how the harness loads a model on a device: `cuda` or `cpu`.

    Weights in float16 are computed with in float32 on a CPU, which has no instructions for them: the same numbers, and
    four times as fast.
    """
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    stored = settings.get("dtype", settings.get("torch_dtype"))
    wide = {"dtype": "float32"} if device == "cpu" and stored == "float16" else {}
    return {"pretrained": str(model), "trust_remote_code": False, **wide}


def _is_bundled(config: Mapping[str, Any]) -> bool:
    """Return whether a task has a name that none of the harness has."""
    return str(config["task"]).startswith("mixlaw_")


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


def _standard_error(samples: Iterable[Mapping[str, Any]], metric: str) -> float | None:
    """Return the standard error of a mean over rows; None where the metric is no mean of a number for each."""
    values = [sample.get(metric) for sample in samples]
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    if len(numbers) < max(2, len(values)):
        return None
    mean = sum(numbers) / len(numbers)
    return math.sqrt(sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1) / len(numbers))


def stored_metrics(folder: Path) -> dict[str, tuple[float, float]]:
    """Return task -> value and standard error of a run that was evaluated; NaN where the error is not known."""
    found = _metrics(folder / EVALUATION / "metrics.json")
    return {
        name: (float(entry["value"]), math.nan if (error := entry.get("stderr")) is None else float(error))
        for name, entry in found.items()
    }


def _metrics(path: Path) -> dict[str, dict[str, Any]]:
    return read_document(path, "evaluation")["tasks"] if path.exists() else {}
