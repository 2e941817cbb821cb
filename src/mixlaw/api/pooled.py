"""Runs of several studies as one table: what makes them comparable is checked, what sets them apart becomes `study`.

Shape letters: R runs, K domains, J targets.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.fidelity import TRUE
from mixlaw.core.runtable import RunTable

_log = logging.getLogger(__name__)

_CONTENT = ("model", "data", "validation")
"""What must be the same in studies whose runs are fitted together, as the inputs of runs name it."""

_SHOWN = 4


def pooled(sources: Sequence[Any], tables: Sequence[RunTable]) -> RunTable:
    """Return the runs of all tables, the first one's first; `study` says whose they are.

    Domains and targets are those of any table: a domain that a table lacks had no tokens, a target was not measured.
    The base model, trained by no study, is taken from the first that has it. Merged models are left out, since each
    study's were made of experts of its own.

    Args:
        sources: what the tables were read from.
        tables: one for each.

    Raises:
        DataError: tables of one name, no domain in common, or studies of different models or data.
    """
    names = _names(sources)
    _require_same_content(names, [_inputs(source) for source in sources])
    for name, table in zip(names, tables, strict=True):
        if not set(table.domains) & set(tables[0].domains):
            raise DataError(
                f"'{name}' has the domains {', '.join(table.domains)}, and none of '{names[0]}': "
                f"{', '.join(tables[0].domains)}.",
                "Give studies that mix the same domains.",
            )
    domains = tuple(dict.fromkeys(d for table in tables for d in table.domains))
    targets = tuple(dict.fromkeys(t for table in tables for t in table.targets))
    parts, has_base = [], False
    for name, table in zip(names, tables, strict=True):
        if merged := int(table.merged_R.sum()):
            _log.warning("%d merged models of '%s' are not used: each study merges experts of its own.", merged, name)
        table = table.take(~table.merged_R)
        trained_R = table.totals_R > 0
        parts.append(_part(name, table.take(trained_R) if has_base else table, domains, targets))
        has_base = has_base or not trained_R.all()
    return _stacked(parts, domains, targets)


def _names(sources: Sequence[Any]) -> list[str]:
    """Return what the studies are called: as their files or folders, and apart from those by their place."""
    paths = [Path(source).absolute() if isinstance(source, (str, Path)) else None for source in sources]
    known = [path for path in paths if path is not None]
    if twice := next((path for path in known if known.count(path) > 1), None):
        raise DataError(f"{twice} is given twice.", "Give each study once.")
    found: list[str] = []
    for place, path in enumerate(paths, 1):
        name = f"study {place}" if path is None else path.stem if path.is_file() else path.name
        if name in found and path is not None:
            name = f"{path.parent.name}/{name}"
        found.append(name if name not in found else f"{name} ({place})")
    return found


def _inputs(source: Any) -> dict[str, str]:
    """Return the content hashes that a study's finished runs carry; nothing for a run table."""
    from mixlaw.api.project import Project
    from mixlaw.study.store import Study

    if not isinstance(source, (str, Path)) or str(source).startswith("hf:"):
        return {}
    path = Path(source)
    if not path.is_dir() and path.suffix not in (".yaml", ".yml"):
        return {}
    study = Study(path) if path.is_dir() else Project.open(path).study
    return {key: value for record in study.records() for key, value in record.spec.inputs.items()}


def _require_same_content(names: Sequence[str], inputs: Sequence[dict[str, str]]) -> None:
    """Raise DataError where two studies have another base model, or other rows of a domain under one name."""
    for (first, mine), (second, theirs) in itertools.combinations(zip(names, inputs, strict=True), 2):
        shared = {key for key in mine.keys() & theirs.keys() if key.split(":")[0] in _CONTENT}
        differing = sorted(key for key in shared if mine[key] != theirs[key])
        if differing:
            raise DataError(
                f"'{first}' and '{second}' differ in {', '.join(map(_said, differing[:_SHOWN]))}, so their losses do "
                "not belong to one law.",
                "Fit them apart. Only training settings may differ between studies that are fitted together.",
            )


def _said(key: str) -> str:
    kind, _, name = key.partition(":")
    return {"model": "the base model", "data": f"the training rows of '{name}'"}.get(
        kind, f"the validation rows of '{name}'"
    )


def _part(name: str, table: RunTable, domains: tuple[str, ...], targets: tuple[str, ...]) -> RunTable:
    """Return one study's runs with the domains and targets of all."""

    def widened(array: np.ndarray | None, own: Iterable[str], all_: tuple[str, ...], empty: float) -> np.ndarray | None:
        if array is None:
            return None
        columns = dict(zip(own, array.T, strict=True))
        return np.column_stack([columns.get(one, np.full(len(table), empty)) for one in all_])

    tokens_RK = widened(table.tokens_RK, table.domains, domains, 0.0)
    losses_RJ = widened(table.losses_RJ, table.targets, targets, np.nan)
    assert tokens_RK is not None and losses_RJ is not None
    return replace(
        table,
        runs=tuple(f"{name}/{run}" for run in table.runs),
        domains=domains,
        targets=targets,
        tokens_RK=tokens_RK,
        losses_RJ=losses_RJ,
        counts_RJ=widened(table.counts_RJ, table.targets, targets, 0.0),
        unique_RK=widened(table.unique_RK, table.domains, domains, 0.0),
        checkpoint_of=tuple(f"{name}/{run}" for run in table.checkpoint_of or table.runs),
        study=tuple(f"{name}/{study}" for study in table.study) or (name,) * len(table),
    )


def _stacked(parts: Sequence[RunTable], domains: tuple[str, ...], targets: tuple[str, ...]) -> RunTable:
    def stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        known = [array for array in arrays if array is not None]
        return np.concatenate(known) if len(known) == len(arrays) else None

    repeats = any(part.unique_RK is not None for part in parts)
    along = any(len(set(part.checkpoint_of)) < len(part) for part in parts)
    return RunTable(
        tuple(run for part in parts for run in part.runs),
        domains,
        targets,
        np.vstack([part.tokens_RK for part in parts]),
        np.vstack([part.losses_RJ for part in parts]),
        # Labels of one study's seeds say nothing of another's.
        tuple(f"{study}/{seed}" for part in parts for study, seed in zip(part.study, part.seeds, strict=True))
        if all(part.seeds for part in parts)
        else (),
        stacked([part.counts_RJ for part in parts]),
        # A table that does not say how many tokens were distinct has no repeats, as when it is fitted alone.
        stacked([part.tokens_RK if part.unique_RK is None else part.unique_RK for part in parts]) if repeats else None,
        stacked([part.params_R for part in parts]),
        _named([part.metrics for part in parts], parts),
        _named([part.errors for part in parts], parts),
        tuple(run for part in parts for run in part.checkpoint_of) if along else (),
        tuple(kind for part in parts for kind in part.fidelity or (TRUE,) * len(part))
        if any(part.point_R.any() for part in parts)
        else (),
        study=tuple(study for part in parts for study in part.study),
        unused=tuple(dict.fromkeys(column for part in parts for column in part.unused)),
    )


def _named(blocks: Sequence[Mapping[str, np.ndarray]], parts: Sequence[RunTable]) -> dict[str, np.ndarray]:
    """Return named columns of all parts; NaN where a part lacks one."""
    names = dict.fromkeys(name for block in blocks for name in block)
    missing = [np.full(len(part), np.nan) for part in parts]
    return {
        name: np.concatenate([block.get(name, none) for block, none in zip(blocks, missing, strict=True)])
        for name in names
    }
