"""The verb `eval`: downstream tasks on the models that a study has kept, several at once.

Each model is a run of a small study of its own, `evaluations/<hash>` in the study, which the executor of the study's
training works off; it is deleted when all is done, since results lie beside the models.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mixlaw.api.compare import confirmation_study
from mixlaw.api.executor import executor_of
from mixlaw.api.final import FACTS
from mixlaw.api.project import Note, Project
from mixlaw.core.checksums import FILES, damage
from mixlaw.core.documents import read_document
from mixlaw.core.errors import StudyError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.run import RunSpec
from mixlaw.evaluate.agreement import Evaluated, agreement
from mixlaw.evaluate.downstream import (
    DEFAULT_TASKS,
    EVALUATION,
    finished,
    load_tasks,
    require_harness,
    stored_metrics,
    unfinished,
)
from mixlaw.evaluate.jobs import Evaluation, EvaluationOptions
from mixlaw.study.executor_local import visible_gpus
from mixlaw.study.executors import Sweep, find_executor
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study
from mixlaw.train.registry import address_of
from mixlaw.train.trainer_config import TrainerConfig


def kept_models(study: Study) -> dict[str, tuple[Path, Path]]:
    """Return name -> (model, the folder of its results) of every run that kept its model, and of the final models."""
    found: dict[str, tuple[Path, Path]] = {}
    for part in (study, confirmation_study(study)):
        for spec in part.load_plan() if part.plan_path.exists() else ():
            if (model := part.model_folder(spec)) is not None:
                found[spec.name] = (model, part.run_folder(spec) / EVALUATION)
    for facts in sorted((study.folder / "models").glob(f"*/{FACTS}")):
        if problem := damage(facts.parent, read_document(facts, "model").get(FILES)):
            raise StudyError(problem, f"Delete {facts.parent}, then train it again: mixlaw final mix.yaml.")
        found[facts.parent.name] = (facts.parent, facts.parent / EVALUATION)
    return found


def evaluate(
    config: str | Path | Project,
    *,
    models: Sequence[str | Path] = (),
    tasks: Iterable[str] = DEFAULT_TASKS,
    data: Mapping[str, str | Path] | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    run_code: bool = False,
    backend: str = "hf",
    processes: int | None = None,
    workers: int | None = None,
    note: Note | None = None,
) -> dict[str, Any]:
    """Evaluate kept models on tasks of lm-evaluation-harness, several at once; finished evaluations are not repeated.

    The configuration's executor runs them where its workers see the study's folder: `local` and `slurm`. With `ray`
    they run on this machine.

    Args:
        config: a mix.yaml or its project.
        models: names of kept models, or folders; none for all kept ones.
        tasks: bundled names, or paths of task YAMLs.
        data: task -> JSONL file with the bundled rows' fields.
        limit: rows of a task.
        batch_size: of the harness.
        run_code: whether tasks that run a model's code are allowed.
        backend: what runs a model: `hf`, `accelerate` (copies of it on several GPUs), or `vllm`.
        processes: of `accelerate`, for each model; None for one a GPU.
        workers: most models at once; None for the configuration's.
        note: called with a sentence about each step.

    Returns:
        {models: {name: {task: {value, metric, stderr, rows}}}, agreement}, the latter over all evaluated models of the
        study.

    Raises:
        ConfigError: an unknown task or backend, or a task that runs code without `run_code`.
        StudyError: no model was kept, there is none of that name, or an evaluation failed.
        MissingExtra: lm-eval is not installed.
    """
    project = Project.open(config, note)
    configs = load_tasks(tasks, data or {}, run_code)
    known = kept_models(project.study)
    chosen: dict[str, tuple[Path, Path]] = {}
    for wish in models or known:
        name, folder = str(wish), Path(wish)
        if name in known:
            chosen[name] = known[name]
        elif (folder / "config.json").is_file():
            chosen[folder.name] = (folder, folder / EVALUATION)
        else:
            raise StudyError(
                f"There is no kept model '{name}'.", f"Kept models: {', '.join(known) or 'none'}. Or give a folder."
            )
    if not chosen:
        raise StudyError(
            f"{project.study.folder} has no kept models.",
            "Run `mixlaw final`, or `mixlaw train` or `mixlaw compare` with --keep-models.",
        )
    options = EvaluationOptions(
        {name: str(model.absolute()) for name, (model, _) in chosen.items()},
        {name: str(out.absolute()) for name, (_, out) in chosen.items()},
        tuple(_place(given) for given in tasks),
        {name: str(Path(file).absolute()) for name, file in (data or {}).items()},
        run_code,
        limit,
        batch_size,
        backend,
        processes,
    )
    Evaluation.check(options, Path("."))
    missing = [name for name, (model, out) in chosen.items() if unfinished(model, configs, out, limit)]
    if missing:
        require_harness()
        _run(project, options, missing, workers)
    found = {name: finished(configs, out) for name, (_, out) in chosen.items()}
    return {"models": found, "agreement": study_agreement(project.study)}


def _place(task: str) -> str:
    """Return a task as another process, in another folder, finds it."""
    return str(Path(task).absolute()) if task.endswith((".yaml", ".yml")) else task


def _run(project: Project, options: EvaluationOptions, names: Sequence[str], workers: int | None) -> None:
    """Evaluate the models of these names with the project's executor."""
    node = project.config.executor
    executor = executor_of(project)
    if node.kind == "ray":
        project.note("Ray's nodes do not see the study's models: they are evaluated on this machine.")
        executor = find_executor("local")({})
    asked, gpus = workers or node.workers, visible_gpus() if node.kind != "slurm" else []
    if options.backend == "accelerate" and gpus:
        # A worker sees one GPU; the copies of its model are to have all of them, one model after another.
        asked, options = 1, replace(options, gpus=",".join(gpus))
    most = min(asked or len(gpus) or executor.at_once(None) or len(names), len(names))
    given = project.trainer_config
    config = TrainerConfig(given.model, given.train, {}, {}, {}, address_of(Evaluation), asdict(options))
    specs = [RunSpec(name, {}, place) for place, name in enumerate(names)]
    study = Study(project.study.folder / "evaluations" / fingerprint(asdict(options))[:8])
    if study.plan_path.exists() and not any(status.state == "running" for status in study.status()):
        shutil.rmtree(study.folder)  # of a command that was ended; what it has found lies beside the models
    study.save_plan(specs)
    said = ", ".join(options.tasks)
    project.note(f"{len(names)} model{'s' * (len(names) > 1)}, {most} at once: {said}")
    statuses = executor.train(Sweep(study, config, most, _following(project.note), None, True))
    if failed := [status for status in statuses if status.state == "failed"]:
        raise StudyError(f"'{failed[0].name}' could not be evaluated: {failed[0].reason}", f"See {study.logs_folder}.")
    shutil.rmtree(study.folder, ignore_errors=True)


def _following(note: Note) -> Callable[[RunEvent], None]:
    def follow(event: RunEvent) -> None:
        if event.kind == "finished":
            note(f"{event.run}: done ({event.runs_done} of {event.runs_total})")
        elif event.kind == "retry":
            note(f"{event.run}: {event.reason} It is tried again.")

    return follow


def study_agreement(study: Study) -> dict[str, Any]:
    """Return how well validation loss predicted the metrics of a study's evaluated models."""
    models: list[Evaluated] = []
    for part in (study, confirmation_study(study)):
        for record in part.records() if part.plan_path.exists() else ():
            if metrics := _values(part.run_folder(record.spec)):
                losses = {target: loss.loss_nats for target, loss in record.losses.items()}
                models.append(Evaluated(record.spec.name, losses, metrics))
    for path in sorted((study.folder / "models").glob(f"*/{FACTS}")):
        if metrics := _values(path.parent):
            losses = {target: loss["loss_nats"] for target, loss in read_document(path, "model")["losses"].items()}
            models.append(Evaluated(path.parent.name, losses, metrics))
    return agreement(models)


def _values(folder: Path) -> dict[str, float]:
    return {task: value for task, (value, _) in stored_metrics(folder).items()}
