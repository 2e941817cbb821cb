"""What is known of a study's data: counts, what its domains have in common, near copies, and the checks of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.hash_sets import in_common
from mixlaw.data.splitting import ALL
from mixlaw.report.data_health import Overlap, data_checks
from mixlaw.report.verdicts import Check
from mixlaw.train.positions import positions_of

if TYPE_CHECKING:
    from mixlaw.api.project import Project
    from mixlaw.data.prepare import DomainTokens
    from mixlaw.study.store import Study

_LIKENESS_VERSION = 1


def overlap_of(prepared: Mapping[str, DomainTokens]) -> Overlap:
    """Return which conversations domains have in common."""
    names = list(prepared)
    counts = in_common([np.load(prepared[name].entry / ALL, mmap_mode="r") for name in names]).tolist()
    pairs = {
        (min(a, b), max(a, b)): counts[i][j]
        for i, a in enumerate(names)
        for j, b in enumerate(names[:i])
        if counts[i][j]
    }
    return Overlap({name: counts[i][i] for i, name in enumerate(names)}, dict(sorted(pairs.items())))


def likeness_of(project: Project, count: bool = True) -> dict[str, dict[str, int]] | None:
    """Return domain -> counts of near copies and shared phrases; see `mixlaw.data.near_copies`.

    Args:
        project: whose rows they are.
        count: whether to read the rows where it is not known yet; without, that is None.
    """
    from mixlaw.data.near_copies import count_likeness

    prepared = project.prepared
    rows = {name: [d.train.fingerprint, d.validation.fingerprint] for name, d in sorted(prepared.items())}
    key = fingerprint([_LIKENESS_VERSION, rows, {n: d.entry.name for n, d in prepared.items()}])[:24]
    path = project.study.folder / "cache" / "likeness" / f"{key}.json"
    with contextlib.suppress(DataError):
        return read_document(path, "likeness")["domains"]
    if not count:
        return None
    project.note(f"looking for near copies in {sum(len(d.train) for d in prepared.values()):,} rows")
    found = {name: asdict(counts) for name, counts in count_likeness(project.domains, prepared).items()}
    write_document(path, "likeness", {"domains": found})
    return found


def data_facts(project: Project, count: bool = False) -> dict[str, Any]:
    """Return what domains.json holds: counts by domain, what domains share, and near copies where they are known.

    Also how many rows were to be held out, how many of them an evaluation reads, and whether max_length can be raised.

    Args:
        project: whose data they are.
        count: whether to look for near copies where they are not known yet.
    """
    counts = {name: tokens.to_json() for name, tokens in project.prepared.items()}
    likeness = likeness_of(project, count)
    model, settings = project.model_settings, project.train_settings
    longest = positions_of(model.name_or_path, model.revision)
    limits = {
        "held_out": project.config.validation.rows,
        "evaluated": settings.eval_rows,
        "at_longest": longest is not None and settings.max_length >= longest,
    }
    facts = {"domains": counts, "overlap": overlap_of(project.prepared).to_json(), "limits": limits}
    return facts | ({"likeness": likeness} if likeness is not None else {})


def checks_of(facts: Mapping[str, Any]) -> list[Check]:
    """Return the checks of what `data_facts` returns, or of what an earlier version wrote."""
    overlap = Overlap.from_json(facts["overlap"]) if "overlap" in facts else None
    return data_checks(facts["domains"], overlap, facts.get("likeness"), facts.get("limits"))


def checks_of_study(study: Study) -> list[Check]:
    """Return the checks of a study's data as it was when the runs were planned; none before that."""
    path: Path = study.domains_path
    return checks_of(read_document(path, "domains")) if path.exists() else []
