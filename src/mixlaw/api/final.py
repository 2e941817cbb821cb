"""The verb `final`: train the model at the solution with the study's trainer, and save it with its card."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixlaw.api.executor import train_pending
from mixlaw.api.facts import versions
from mixlaw.api.mixture import Wanted, wanted_mixture
from mixlaw.api.points import points_of
from mixlaw.api.project import Note, Project
from mixlaw.config import ModelNode
from mixlaw.core.checksums import FILES, checksums, damage
from mixlaw.core.commands import written
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError, StudyError
from mixlaw.core.files import write_text
from mixlaw.core.renamed import renamed
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.report.cards import model_card
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study
from mixlaw.train.settings import model_fingerprint
from mixlaw.train.trainer_config import TrainerConfig

FACTS = "mixlaw.json"
"""In a model's folder: which run it is, what it has seen, its losses."""


@dataclass(frozen=True)
class Final:
    """A model trained at a mixture.

    Attributes:
        folder: loadable by transformers; README.md is its card.
        facts: as in mixlaw.json: run, id, weights, tokens, losses{target{loss_nats, count}}, predicted, law, versions.
        new: False where the same model was there already.
    """

    folder: Path
    facts: dict[str, Any]
    new: bool


def final_study(study: Study) -> Study:
    """Return where a study's final runs are."""
    return Study(study.folder / "final")


@renamed(budget_tokens="budget")
def final(
    config: str | Path | Project,
    *,
    budget: str | int | None = None,
    weights: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    retry_failed: bool = False,
    on_event: Callable[[RunEvent], None] | None = None,
    note: Note | None = None,
) -> Final:
    """Train on the study's solution, or on given weights, and save the model for transformers.

    A training that was interrupted starts again; a finished one is never repeated. The folder appears only when
    complete.

    Args:
        config: a mix.yaml or its project.
        budget: None for the configuration's; another one is solved for.
        weights: domain -> share, instead of the solution's.
        out: the folder; None for models/<budget>-<hash8> in the study.
        seed: of samples, order and training; None for the plan's.
        retry_failed: whether a failed training is tried again.
        on_event: called for each `RunEvent`.
        note: called with a sentence about each step.

    Raises:
        StudyError: there is no solution, the folder holds something else, or the training failed.
        ConfigError: unknown domains, or weights that do not sum to 1.
    """
    project = Project.open(config, note)
    wanted = wanted_mixture(project, budget, weights)
    seed = project.config.plan.seed if seed is None else seed
    trainer = _trainer(project)
    name, tokens = f"final-{wanted.name}", wanted.mixture.tokens
    spec = RunSpec(name, tokens, seed, trainer.inputs, "final", keep_model=True, points=points_of(project))
    folder = Path(out) if out is not None else project.study.folder / "models" / f"{wanted.name}-{spec.id[:8]}"
    if (there := _existing(folder, spec)) is not None:
        return Final(folder, there, False)
    study = final_study(project.study)
    study.add_to_plan([spec])
    (status,) = train_pending(
        project, study, workers=1, on_event=on_event, specs=[spec], retry_failed=retry_failed, trainer=trainer
    )
    record, model = study.record(spec), study.model_folder(spec)
    if record is None or model is None:
        raise StudyError(
            f"The final training failed: {status.reason}",
            "Fix the cause, then run the command again with --retry-failed.",
        )
    if project.final_settings is not None:
        wanted = replace(wanted, predicted={})  # those losses are of the proxies' model
    facts = _facts(project, wanted, record)
    _assemble(model, folder, facts, _card(project, wanted, record))
    return Final(folder, facts, True)


def _model(project: Project) -> ModelNode:
    """Return the model that is trained: the final one where it is another than the proxies'."""
    return project.config.final_model or project.config.model


def _trainer(project: Project) -> TrainerConfig:
    """Return how it is trained: as the proxies are, from the final model."""
    config, final = project.trainer_config, project.final_settings
    if final is None:
        return config
    return replace(config, model=final, inputs={**config.inputs, "model": model_fingerprint(final)})


def _existing(folder: Path, spec: RunSpec) -> dict[str, Any] | None:
    """Return the facts of the same model, or None where there is nothing; anything else is never overwritten."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        facts = read_document(folder / FACTS, "model")
    except DataError:
        facts = None
    if facts is not None and facts["id"] == spec.id:
        if problem := damage(folder, facts.pop(FILES, None)):
            raise StudyError(problem, f"Delete {folder}, and the command trains the model again.")
        return facts
    what = "other files" if facts is None else f"the model of run {facts['id'][:8]}"
    raise StudyError(
        f"{folder} exists and holds {what}; a model is never overwritten.", "Choose another folder with --out."
    )


def _facts(project: Project, wanted: Wanted, record: RunRecord) -> dict[str, Any]:
    return {
        "run": record.spec.name,
        "id": record.spec.id,
        "base_model": Path(_model(project).name_or_path).name,
        "trainer": project.config.train.trainer,
        "budget_tokens": wanted.mixture.budget_tokens,
        "weights": dict(wanted.mixture.weights),
        "tokens": dict(record.tokens),
        "losses": {t: {"loss_nats": loss.loss_nats, "count": loss.count} for t, loss in record.losses.items()},
        "law": wanted.law,
        "predicted": {target: dict(p) for target, p in wanted.predicted.items()},
        "steps": record.steps,
        "versions": versions(),
    }


def _card(project: Project, wanted: Wanted, record: RunRecord) -> str:
    weights = written({name: repr(share) for name, share in wanted.mixture.weights.items()})
    return model_card(
        project.config.model_copy(update={"model": _model(project)}),
        record.tokens,
        {target: loss.loss_nats for target, loss in record.losses.items()},
        wanted.predicted,
        wanted.law,
        f"mixlaw final mix.yaml --budget {wanted.mixture.budget_tokens} --weights {weights}",
    )


def _assemble(model: Path, folder: Path, facts: dict[str, Any], card: str) -> None:
    """Copy the model beside its place, add the card, and rename it: it is there whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for file in sorted(model.iterdir()):
                try:
                    (temporary / file.name).hardlink_to(
                        file
                    )  # as large as the model: not twice, where it can be shared
                except OSError:
                    shutil.copyfile(file, temporary / file.name)
            write_text(temporary / "README.md", card)
            files = checksums(temporary, sorted(file.name for file in temporary.iterdir()))
            write_document(temporary / FACTS, "model", {**facts, FILES: files})
            temporary.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder with --out."
        ) from error
