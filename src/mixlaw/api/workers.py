"""Workers that go on without a command, those on Slurm: where they are, and how they are ended."""

from __future__ import annotations

from pathlib import Path

from mixlaw.api.compare import confirmation_study
from mixlaw.api.final import final_study
from mixlaw.api.project import Project
from mixlaw.study.executors import Workers, cancel_workers, states_of
from mixlaw.study.origin import origin_of
from mixlaw.study.store import Study


def study_of(config: str | Path) -> Study:
    """Return the study of a mix.yaml, or the one in a folder."""
    path = Path(config)
    return Study(path, origin_of(path)) if path.is_dir() else Project.open(path).study


def workers_of(config: str | Path) -> list[Workers]:
    """Return what the cluster knows of a study's workers; empty where none were ever submitted to one.

    Args:
        config: a mix.yaml or a study folder.
    """
    return [workers for study in _parts(study_of(config)) for workers in states_of(study)]


def cancel(config: str | Path) -> int:
    """End a study's workers on Slurm, those of `compare` and `final` as well, and return how many there were.

    Their runs are then pending; finished runs stay.

    Args:
        config: a mix.yaml or a study folder.

    Raises:
        StudyError: none were ever submitted, or Slurm does not answer.
    """
    return cancel_workers(_parts(study_of(config)))


def _parts(study: Study) -> list[Study]:
    return [part for part in (study, confirmation_study(study), final_study(study)) if part.folder.is_dir()] or [study]
