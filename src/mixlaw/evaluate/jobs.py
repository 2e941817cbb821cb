"""Evaluations as the runs of a sweep: each model is one, so that executors, leases and resuming are those of training.

What a run finds lies beside the model, as `mixlaw.evaluate.downstream` keeps it; its record says only that it is done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixlaw.core.errors import ConfigError, MissingExtra, RunFailed
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.evaluate.downstream import evaluate_model, harness_results, load_tasks
from mixlaw.train.trainer import Progress, Trainer

BACKENDS = ("hf", "accelerate", "vllm")
"""What runs a model for the harness."""

_ERROR = re.compile(r"(\[rank\d+\]: )?[\w.]*(Error|Exception): .+")


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated on what.

    Attributes:
        models: run -> folder of the model.
        results: run -> folder of what comes out.
        tasks: as `load_tasks` takes them, with their data.
        data: see `load_tasks`.
        run_code: see `load_tasks`.
        limit: rows of a task; None for all.
        batch_size: of the harness.
        backend: one of `BACKENDS`.
        processes: of `accelerate`, each with a copy of the model and a part of the rows; None for one a GPU.
        gpus: those of `accelerate`, as CUDA_VISIBLE_DEVICES names them; empty for those that a worker has.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    run_code: bool = False
    limit: int | None = None
    batch_size: int = 16
    backend: str = "hf"
    processes: int | None = None
    gpus: str = ""


class Evaluation(Trainer):
    """A trainer that trains nothing: it evaluates the model that its options name for the run."""

    Options = EvaluationOptions
    packages = ("lm_eval",)
    extra = "eval"
    working_directory = "unused"

    @classmethod
    def needs(cls, options: EvaluationOptions) -> tuple[str, ...]:
        """Return the packages of the harness and of its backend."""
        return (*cls.packages, *(name for name in (options.backend,) if name != "hf"))

    @classmethod
    def check(cls, options: EvaluationOptions, folder: Path) -> None:
        """Raise ConfigError for an unknown backend, and MissingExtra or ConfigError for what is not installed."""
        if options.backend not in BACKENDS:
            raise ConfigError(f"There is no backend '{options.backend}'.", f"Known: {', '.join(BACKENDS)}.")
        if options.processes is not None and options.backend != "accelerate":
            raise ConfigError(
                "--processes is for the backend accelerate.", "Leave it out, or use --backend accelerate."
            )
        try:
            super().check(options, folder)
        except MissingExtra as error:
            if "'vllm'" not in error.message:
                raise
            raise ConfigError(
                "The backend vllm needs the package 'vllm', which is not installed.",
                "Install it with: pip install vllm",
            ) from None

    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Evaluate the run's model and write its results.

        Raises:
            RunFailed: the backend's processes ended with an error.
            MissingExtra: lm-eval is not installed.
        """
        options: EvaluationOptions = self.options
        tasks = load_tasks(options.tasks, options.data, options.run_code)
        made = None
        if options.backend == "accelerate":
            made = lambda model, missing: _launched(options, model, list(missing), folder)  # noqa: E731
        evaluate_model(
            Path(options.models[spec.name]),
            tasks,
            Path(options.results[spec.name]),
            limit=options.limit,
            batch_size=options.batch_size,
            backend=options.backend,
            made=made,
        )
        return RunRecord(spec, {}, {}, {}, {}, 0, 0)


def _launched(
    options: EvaluationOptions, model: Path, tasks: list[str], folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the harness's results and samples from several processes, which share out the rows by accelerate."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="evaluation-", dir=folder))
    asked, log = place / "asked.json", place / "log.txt"
    asked.write_text(json.dumps(asdict(options) | {"model": str(model), "only": tasks}), encoding="utf-8")
    here = torch.cuda.is_available()
    count = str(options.processes or ("gpu" if here else 1))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", count]
    environment = os.environ | ({} if here else {"ACCELERATE_USE_CPU": "true"})
    environment |= {"CUDA_VISIBLE_DEVICES": options.gpus} if options.gpus else {}
    try:
        with open(log, "w", encoding="utf-8") as stream:
            done = subprocess.run(
                [*command, "-m", __name__, str(asked)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
                env=environment,
            )
        if done.returncode != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            said = [line.strip() for line in lines if _ERROR.match(line.strip())]
            raise RunFailed(
                f"The processes of accelerate ended with code {done.returncode}: {(said or lines or [''])[0]}",
                "Correct what it says, or use --backend hf.",
            )
        results, samples = (
            json.loads((place / f"{name}.json").read_text(encoding="utf-8")) for name in ("results", "samples")
        )
        return results, samples
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _one_of_many(asked: Path) -> None:
    """One process of several: the first writes what all have found."""
    said = json.loads(asked.read_text(encoding="utf-8"))
    tasks = load_tasks(said["tasks"], said["data"], said["run_code"])
    missing = {name: tasks[name] for name in said["only"]}
    results, samples = harness_results(Path(said["model"]), missing, said["limit"], said["batch_size"], "accelerate")
    if int(os.environ.get("RANK", "0")) == 0:
        for name, value in (("results", results), ("samples", samples)):
            text = json.dumps(value, default=str, ensure_ascii=False)
            (asked.parent / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _one_of_many(Path(sys.argv[1]))
