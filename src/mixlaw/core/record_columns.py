"""The columns of a run table from the records of finished runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mixlaw.core.fidelity import MERGED, POINT, TRUE
from mixlaw.core.run import Counted, RunRecord


def of_records(records: Iterable[RunRecord], domains: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    """Return fields of a `RunTable`: a row for each run, in the order given, then for each point along one."""
    records, missing = list(records), float("nan")
    every: list[tuple[str, str, RunRecord, RunRecord | Counted]] = [
        (r.spec.name, MERGED if r.spec.merge is not None else TRUE, r, r) for r in records
    ]
    for r in records:
        shares = r.spec.points[: len(r.points)]
        every += [
            (f"{r.spec.name}@{share:.4g}", POINT, r, point) for share, point in zip(shares, r.points, strict=True)
        ]
    kinds, rows = tuple(kind for _, kind, _, _ in every), [row for *_, row in every]

    def block(names: Sequence[str], cell: Callable[[RunRecord | Counted, str], float]) -> np.ndarray:
        cells = np.array([[cell(row, name) for name in names] for row in rows], float)
        return cells.reshape(len(rows), len(names))

    return {
        "runs": tuple(name for name, *_ in every),
        "tokens_RK": block(domains, lambda row, name: row.tokens.get(name, 0)),
        "losses_RJ": block(targets, lambda row, name: row.losses[name].loss_nats if name in row.losses else missing),
        "seeds": tuple(str(of.spec.seed) for _, _, of, _ in every),
        "counts_RJ": block(targets, lambda row, name: row.losses[name].count if name in row.losses else 0),
        "unique_RK": block(domains, lambda row, name: row.unique_tokens.get(name, 0)),
        "params_R": np.array([of.parameters for _, _, of, _ in every], float),
        "checkpoint_of": tuple(of.spec.name for _, _, of, _ in every) if POINT in kinds else (),
        "fidelity": kinds if set(kinds) - {TRUE} else (),
    }
