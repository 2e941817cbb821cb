"""Which configuration a study belongs to: two files that would train other runs must not share a folder.

`origin.json` keeps the configuration's file, relative to the study, so that both can move together, and what of it
decides whether runs can be fitted together. The file itself may change: that is meant. Another file beside it is
refused where it differs in model, settings or data; another budget, plan or question, and domains more or fewer, do no
harm.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError, StudyError
from mixlaw.core.files import json_ready
from mixlaw.study.store import Study

_FILE = "origin.json"
_SHOWN = 4


def require_own(study: Study, file: Path, parts: Mapping[str, Any]) -> None:
    """Raise StudyError where the study belongs to another configuration file that is still there.

    Args:
        study: the study.
        file: the configuration's file.
        parts: name -> value of what decides whether runs can be fitted together; `domains` is a mapping of its own.
    """
    path = study.folder / _FILE
    if not path.is_file():
        return
    try:
        kept = read_document(path, "origin")
    except DataError:
        return  # it only guards; the next plan writes it again
    other = Path(os.path.normpath(study.folder.absolute() / kept["file"]))
    if not other.is_file() or (file.exists() and other.samefile(file)):
        return
    if differ := differences(_movable(kept["parts"], file), _movable(parts, file)):
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        raise StudyError(
            f"The study {study.folder} belongs to {other}; {file} differs in {', '.join(differ[:_SHOWN])}{more}, so "
            "their runs cannot be used together.",
            f"Give {file.name} its own study (`study: studies/{file.stem}`), or continue with {other.name}.",
        )


def origin_of(folder: Path) -> Path | None:
    """Return the configuration's file that a study folder belongs to; None where it is not known or not there."""
    try:
        kept = read_document(folder / _FILE, "origin")
    except DataError:
        return None
    file = Path(os.path.normpath(folder.absolute() / kept["file"]))
    return file if file.is_file() else None


def changed_keys(study: Study, file: Path | None, parts: Mapping[str, Any]) -> list[str]:
    """Return what the configuration has otherwise than when the study was planned last; see `differences`."""
    try:
        kept = read_document(study.folder / _FILE, "origin")["parts"]
        return differences(_movable(kept, file), _movable(parts, file))
    except DataError:
        return []


def save_origin(study: Study, file: Path, parts: Mapping[str, Any]) -> None:
    """Write which configuration the study belongs to."""
    relative = os.path.relpath(file.absolute(), study.folder.absolute())
    write_document(study.folder / _FILE, "origin", {"file": relative, "parts": _movable(parts, file)})


def _movable(value: Any, file: Path | None) -> Any:
    """Return values with paths below the configuration's folder relative to it, so that all can move together."""
    folder = None if file is None else file.resolve().parent

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(part) for key, part in value.items()}
        if isinstance(value, list):
            return [moved(part) for part in value]
        if folder and isinstance(value, str) and os.path.isabs(value) and Path(value).is_relative_to(folder):
            return os.path.relpath(value, folder)
        return value

    return moved(json_ready(value))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys, such as `train.learning_rate`, in which two configurations contradict each other.

    A domain that only one of them has is no contradiction as long as one set of domains contains the other.
    """
    found = []
    for name in sorted((before.keys() | now.keys()) - {"domains"}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{name}.{key}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        elif old != new:
            found.append(name)
    old, new = before.get("domains", {}), now.get("domains", {})
    found += [f"domains.{name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    if not (old.keys() <= new.keys() or new.keys() <= old.keys()):
        found.append("the names of the domains")
    return found
