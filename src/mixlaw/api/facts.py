"""What is known of a study without its configuration: its run table, and where its runs came from."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.api.data_health import checks_of, data_facts
from mixlaw.core.commands import command
from mixlaw.core.errors import DataError
from mixlaw.core.run import BASE
from mixlaw.core.runtable import RunTable
from mixlaw.evaluate.downstream import stored_metrics
from mixlaw.study.store import Study

if TYPE_CHECKING:
    from mixlaw.api.project import Project


def records_table(study: Study, domains: list[str], targets: list[str]) -> RunTable:
    """Return a study's finished runs as a table, dropped domains last; raise DataError where there is none."""
    records = [record for record in study.records() if record.spec.role in ("proxy", BASE)]
    if all(record.spec.untrained for record in records):
        raise DataError(
            f"The study {study.folder} has no finished runs.", f"Train them: {command('train', study.file)}."
        )
    gone = sorted({name for r in records for name, n in r.tokens.items() if n > 0} - set(domains))
    measured = any(record.losses for record in records)
    table = RunTable.from_records(records, [*domains, *gone], targets if measured else [])
    found = [stored_metrics(study.run_folder(record.spec)) for record in records]
    found += [{}] * (len(table) - len(found))  # points along the runs have no model to be measured
    names = sorted({name for metrics in found for name in metrics})
    pairs_RM = np.array([[m.get(name, (math.nan, math.nan)) for name in names] for m in found]).reshape(
        len(found), len(names), 2
    )
    return replace(
        table,
        metrics={name: pairs_RM[:, m, 0] for m, name in enumerate(names)},
        errors={name: pairs_RM[:, m, 1] for m, name in enumerate(names) if np.isfinite(pairs_RM[:, m, 1]).any()},
    )


def is_study(path: Path) -> bool:
    """Whether a folder is a study."""
    return (path / "plan.json").is_file() or (path / "config.resolved.json").is_file()


def stored_parameters(folder: Path) -> int | None:
    """Return the number of values in a folder's safetensors files, read from their headers; None without any."""
    count = 0
    for path in folder.glob("*.safetensors"):
        try:
            with open(path, "rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            count += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError):
            return None
    return count or None


def versions() -> dict[str, str]:
    """Return the versions of the packages that determine results."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for package in ("mixlaw", "numpy", "scipy", "torch", "transformers", "tokenizers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def file_name(project: Project) -> str:
    """Return the name of the configuration's file, as commands beside it write it."""
    return project.file.name if project.file else "mix.yaml"


def study_facts(project: Project) -> dict[str, Any]:
    """Return what a report says about where its runs came from; the keys are those of `mixlaw.report.write_report`."""
    statuses = project.study.status()
    config, inputs = project.config, project.trainer_config.inputs
    return {
        "model": config.model.name_or_path,
        "train_wall_s": sum(s.wall_s for s in statuses if s.wall_s is not None),
        "failed": [s.name for s in statuses if s.state == "failed"],
        "commands": [f"mixlaw run {shlex.quote(file_name(project))}"],
        "versions": versions(),
        "hashes": {name: value[:16] for name, value in inputs.items()},
        "available_tokens": project.available_tokens,
        "data_checks": [asdict(check) for check in checks_of(data_facts(project))],
        "config": config.model_dump(),
    }
