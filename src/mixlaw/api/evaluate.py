"""The verb `eval`: downstream tasks on the models that a study has kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlaw.api.compare import confirmation_study
from mixlaw.api.final import FACTS
from mixlaw.api.project import Note, Project
from mixlaw.core.checksums import FILES, damage
from mixlaw.core.documents import read_document
from mixlaw.core.errors import StudyError
from mixlaw.evaluate.agreement import Evaluated, agreement
from mixlaw.evaluate.downstream import DEFAULT_TASKS, EVALUATION, evaluate_model, load_tasks, stored_metrics
from mixlaw.study.store import Study


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
    note: Note | None = None,
) -> dict[str, Any]:
    """Evaluate kept models on tasks of lm-evaluation-harness. Finished evaluations are not repeated.

    Args:
        config: a mix.yaml or its project.
        models: names of kept models, or folders; none for all kept ones.
        tasks: bundled names, or paths of task YAMLs.
        data: task -> JSONL file with the bundled rows' fields.
        limit: rows of a task.
        batch_size: of the harness.
        run_code: whether tasks that run a model's code are allowed.
        note: called with a sentence about each step.

    Returns:
        {models: {name: {task: {value, metric, rows}}}, agreement}, the latter over all evaluated models of the study.

    Raises:
        ConfigError: an unknown task, or one that runs code without `run_code`.
        StudyError: no model was kept, or there is none of that name.
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
    found = {}
    for name, (model, out) in chosen.items():
        project.note(f"{name}: {', '.join(configs)}")
        found[name] = evaluate_model(model, configs, out, limit=limit, batch_size=batch_size)
    return {"models": found, "agreement": study_agreement(project.study)}


def study_agreement(study: Study) -> dict[str, Any]:
    """Return how well validation loss predicted the metrics of a study's evaluated models."""
    models: list[Evaluated] = []
    for part in (study, confirmation_study(study)):
        for record in part.records() if part.plan_path.exists() else ():
            if metrics := stored_metrics(part.run_folder(record.spec)):
                losses = {target: loss.loss_nats for target, loss in record.losses.items()}
                models.append(Evaluated(record.spec.name, losses, metrics))
    for path in sorted((study.folder / "models").glob(f"*/{FACTS}")):
        if metrics := stored_metrics(path.parent):
            losses = {target: loss["loss_nats"] for target, loss in read_document(path, "model")["losses"].items()}
            models.append(Evaluated(path.parent.name, losses, metrics))
    return agreement(models)
