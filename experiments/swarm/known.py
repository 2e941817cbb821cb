"""Runs that runs.parquet holds are not trained again: their records, as they were, for a study that asks for them.

A run counts only where all that determines it is the same, its model, settings and data too (`RunSpec.id`). So an
experiment that begins anew on another machine goes on from what was trained before, and a change of the law costs only
the runs that it asks for anew. `--fresh` of an experiment trains all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mixlaw.core.run import Counted, RunRecord, RunSpec, TargetLoss
from mixlaw.study.store import Study

SWARM = Path(__file__).parent / "runs.parquet"


def take_known(study: Study, specs: Iterable[RunSpec]) -> list[str]:
    """Write the known records of a study's pending runs, and return the names of these runs.

    A run that is to leave its model is left to be trained: there are no models in the file.
    """
    study.create()
    taken = []
    for spec in study.pending(specs):
        rows = [] if spec.keep_model else _rows().get(spec.id, [])
        if (record := _record(spec, rows)) and (lease := study.claim(spec)):
            study.complete(spec, record, {"adopted_from": SWARM.name})
            lease.release()
            taken.append(spec.name)
    return taken


@cache
def _rows() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the rows of each run by its spec; of a run that lies in several experiments those of the first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in pq.read_table(SWARM).to_pylist():
        rows = found.setdefault(row["spec"], [])
        if not rows or rows[0]["experiment"] == row["experiment"]:
            rows.append(row)
    return found


def _record(spec: RunSpec, rows: Sequence[Mapping[str, Any]]) -> RunRecord | None:
    """Return the record that the rows of a run tell; None where one of its points is missing."""
    parts = sorted({row["part"] for row in rows})
    if not rows or len(parts) != max(1, len(spec.points)):
        return None
    *points, end = (_counted([row for row in rows if row["part"] == part]) for part in parts)
    counts = (end.tokens, end.supervised_tokens, end.unique_tokens, end.losses, end.steps)
    return RunRecord(spec, *counts, rows[0]["parameters"], tuple(points))


def _counted(rows: Sequence[Mapping[str, Any]]) -> Counted:
    names = ("tokens", "supervised_tokens", "unique_tokens")
    counts = [{row["domain"]: row[name] for row in rows if row["tokens"]} for name in names]
    losses = {
        row["domain"]: TargetLoss(row["validation_nats"], row["validation_tokens"], row["validation_bytes"] or 0)
        for row in rows
        if row["validation_nats"] is not None
    }
    return Counted(rows[0]["steps"], *counts, losses)
