"""The verb `export` for a whole sweep: a file with which Kubernetes or SkyPilot starts the workers of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixlaw.api.project import Note, Project
from mixlaw.api.sweep import plan
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.files import write_text
from mixlaw.study.containers import Containers, kubernetes_job, launch, skypilot_task
from mixlaw.study.executing import training_environment

CLOUDS: Mapping[str, tuple[str, Callable[[Containers, Mapping[str, str]], str]]] = {
    "skypilot": ("mixlaw-workers.sky.yaml", skypilot_task),
    "kubernetes": ("mixlaw-workers.k8s.yaml", kubernetes_job),
}
"""Tool -> the name of its file, and what writes it."""

WORKERS = 4
"""Containers, unless asked otherwise. No data."""


@dataclass(frozen=True)
class WorkersExport:
    """What was written for a cloud.

    Attributes:
        path: the file.
        command: what starts the workers, in its folder.
        notes: what else must be known or done.
    """

    path: Path
    command: str
    notes: tuple[str, ...]


def export_workers(
    config: str | Path | Project,
    to: str,
    *,
    storage: str | None = None,
    workers: int | None = None,
    accelerators: str = "",
    image: str = "",
    out: str | Path | None = None,
    note: Note | None = None,
) -> WorkersExport:
    """Plan the runs, and write a file with which a cloud starts workers that train them.

    Args:
        config: a mix.yaml or its project.
        to: `skypilot` or `kubernetes`.
        storage: what all workers mount, with the study in it: a bucket's address, or the name of a volume.
        workers: how many; None for 4, or as many as there are runs left.
        accelerators: GPUs of each, `H100:1` for SkyPilot, a number for Kubernetes.
        image: a container image that has mixlaw[train]; empty to install it when a worker starts.
        out: the folder; None for `exports/<tool>` in the study.
        note: called with a sentence about each step.

    Raises:
        ConfigError: no storage, or values that the tool cannot use.
        StudyError: nothing is left to train, or the folder holds another file of that name.
        DataError, DesignError: see `plan`.
    """
    name, write = CLOUDS[to]
    if not storage:
        raise ConfigError(
            f"--to {to} needs --storage: where all workers see the study.",
            "Name a volume, or for skypilot a bucket: --storage s3://my-bucket/study",
        )
    project = Project.open(config, note)
    cpus = project.config.executor.cpus_per_run or 1
    study = project.study
    containers = Containers(study.name, workers or WORKERS, storage, accelerators, cpus, image)
    write(containers, {})  # what is wrong with the values is said before anything is tokenised
    plan(project)
    study.save_trainer(project.trainer_config)
    left = sum(status.state != "done" for status in study.status())
    if not left:
        raise StudyError("All planned runs are done; no workers are needed.", "Go on with: mixlaw run mix.yaml")
    if workers is None and left < WORKERS:
        containers = Containers(study.name, left, storage, accelerators, cpus, image)
    folder = Path(out) if out is not None else study.folder / "exports" / to
    text = write(containers, training_environment(cpus))
    path = folder / name
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise StudyError(f"{path} exists and differs; an export never replaces a file.", "Name another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return WorkersExport(path, launch(containers, to, name), tuple(_notes(project, containers, left)))


def _notes(project: Project, containers: Containers, left: int) -> list[str]:
    """Return what has to be copied, and what does not go along."""
    where = containers.storage if containers.is_bucket else f"the volume {containers.storage}"
    notes = [
        f"{left} runs are left for {containers.count} workers.",
        f"First copy the contents of {project.study.folder} to {where}; when all is done, copy runs/ back.",
    ]
    if containers.is_bucket:
        notes.append("A bucket has no locks: each worker has its own part of the runs. Train nothing else there.")
    config = project.trainer_config
    outside = [
        str(path) for path in _folders(project) if not path.resolve().is_relative_to(project.study.folder.resolve())
    ]
    if outside:
        notes.append(f"Workers also need, under the same paths: {', '.join(outside)}.")
    if config.trainer_class.working_directory != "unused":
        notes.append(f"The trainer starts programs in {config.folder}: put them there in --image.")
    return notes


def _folders(project: Project) -> list[Path]:
    config = project.trainer_config
    model = Path(config.model.name_or_path).expanduser()
    rows = {*config.train_rows.values(), *config.validation_rows.values()}
    return [*([model] if model.is_dir() else []), *sorted(rows)]
