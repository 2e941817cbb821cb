"""Runs that a worker trains at once: how many, by a measurement that is kept, and their records one by one.

together.json in the study's folder holds what was measured for which trainer, data and machine, so that other workers
and later commands need not measure again, and `mixlaw status` can say it.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.run import RunSpec
from mixlaw.study.store import Study
from mixlaw.train.joining import fastest
from mixlaw.train.trainer import Trainer

FILE = "together.json"

MOST = 16
"""Runs at once that are tried by themselves. No data: a bound on the seconds that the measurement takes."""


@dataclass(frozen=True)
class Asked:
    """What a worker is told of runs at once.

    Attributes:
        runs: at once; None for as many as a measurement finds best.
        workers: that share the pending runs.
    """

    runs: int | None = 1
    workers: int = 1


def at_once(study: Study, trainer: Trainer, specs: Sequence[RunSpec], asked: Asked) -> int:
    """Return how many runs one worker trains at once.

    Args:
        study: keeps what was measured.
        trainer: as the worker has built it.
        specs: the runs that are left, the longest first.
        asked: see `Asked`.
    """
    joining = [spec for spec in specs if trainer.can_join(spec)]
    if asked.runs is not None or not joining:
        return min(asked.runs or 1, max(1, len(joining)))
    limit = min(MOST, math.ceil(len(joining) / asked.workers))
    if limit < 2:
        return 1
    environment = getattr(trainer, "environment", dict)()
    identity = {
        "trainer": fingerprint({**joining[0].inputs, "domains": sorted(joining[0].tokens)}),
        "machine": fingerprint([socket.gethostname(), os.cpu_count(), environment]),
    }
    kept = measured(study)
    if kept.get("identity") != identity or kept["limit"] < limit:
        found = trainer.together(joining, limit)
        kept = {"identity": identity, "limit": limit, "tokens_per_s": {str(n): v for n, v in found.items()}}
        write_document(study.folder / FILE, "together", kept)
    return fastest({n: v for n, v in speeds_of(kept).items() if n <= limit})


def measured(study: Study) -> dict[str, Any]:
    """Return what together.json holds; empty without a usable one."""
    with contextlib.suppress(DataError):
        return read_document(study.folder / FILE, "together")
    return {}


def speeds_of(kept: Mapping[str, Any]) -> dict[int, float]:
    """Return runs at once -> tokens a second."""
    return {int(count): float(speed) for count, speed in kept.get("tokens_per_s", {}).items()}


def sentence(study: Study) -> str:
    """Return what the workers of a study on this machine do, for users; empty where nothing was measured."""
    found = speeds_of(measured(study))
    if len(found) < 2:
        return ""
    best = fastest(found)
    if best == 1:
        other = max(count for count in found if count > 1)
        return (
            f"Runs train one after another in a worker: {other} adapters in one batch are "
            f"{found[other] / found[1]:.2f} times as fast (measured)."
        )
    return f"{best} adapters train in one batch, {found[best] / found[1]:.2f} times as fast as alone (measured)."
