"""Files that a finished run leaves beside its record: their checksums are in timing.json, and they are verified."""

from __future__ import annotations

import logging
from pathlib import Path

from mixlaw.core.checksums import FILES, checksums, damage
from mixlaw.core.documents import read_document
from mixlaw.core.errors import DataError
from mixlaw.study.status import METRICS
from mixlaw.train.trainer import MODEL

_log = logging.getLogger(__name__)


def run_checksums(folder: Path) -> dict[str, str]:
    """Return path below a run's folder -> SHA-256, of its training log and of the model that it has kept."""
    files = [METRICS, *(f"{MODEL}/{file.name}" for file in sorted((folder / MODEL).glob("*")) if file.is_file())]
    return checksums(folder, [name for name in files if (folder / name).is_file()])


def is_damaged(folder: Path, part: str) -> bool:
    """Return whether a finished run's file is not as it was when the run ended, and say so.

    Args:
        folder: of the run.
        part: a file in it, or a folder: any file of that.
    """
    path = folder / "timing.json"
    if not path.exists():
        return False
    try:
        files = read_document(path, "timing").get(FILES, {})
    except DataError as error:
        _log.warning("%s So %s is not used.", error.message, folder / part)
        return True
    problem = damage(folder, {name: sum_ for name, sum_ in files.items() if part in (name, name.partition("/")[0])})
    if problem:
        _log.warning("%s It is not used.", problem)
    return problem is not None
