"""How fast a trainer is on this machine, measured in seconds: what minutes are told from before any run is trained.

    seconds of a run = fixed + tokens / rate + evaluations * evaluation

A few steps and a few batches of the validation sets are timed; both clocks, of the wall and of the processor, run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.run import RunSpec

WARM_UP = 2
"""Steps and batches that are not timed: the first ones allocate memory and choose kernels. No data."""

TRAINED, EVALUATED = 0.6, 0.4
"""Parts of a probe's seconds for steps and for evaluations. No data."""


SHORT = (0.05, 0.15)
"""Parts of a typical run that are trained where a trainer cannot be looked into. No data."""


@dataclass(frozen=True)
class Pace:
    """What a run takes on a machine, by one clock.

    Attributes:
        start_s: from the start of a worker until it can train: imports, model, data.
        fixed_s: of every run, whatever its size.
        tokens_per_s: training tokens a second.
        evaluation_s: one evaluation of all validation sets.
    """

    start_s: float
    fixed_s: float
    tokens_per_s: float
    evaluation_s: float

    def run_s(self, tokens: float, evaluations: int = 1) -> float:
        """Return the seconds of a run."""
        return self.fixed_s + tokens / self.tokens_per_s + evaluations * self.evaluation_s

    def runs_s(self, runs: Sequence[tuple[float, int]], at_once: int) -> float:
        """Return the seconds until all runs are done, by workers that take the longest one that is left.

        Args:
            runs: (tokens, evaluations) of each.
            at_once: workers.
        """
        if not runs:
            return 0.0
        free = np.full(min(at_once, len(runs)), self.start_s)
        for seconds in sorted((self.run_s(*run) for run in runs), reverse=True):
            free[free.argmin()] += seconds
        return float(free.max())

    def to_json(self) -> dict[str, float]:
        """Return the JSON form."""
        return asdict(self)


def now() -> np.ndarray:
    """Return the seconds of both clocks: of the wall, and of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def timed(parts: Sequence[Any], work: Callable[[Any], object], seconds: float) -> tuple[np.ndarray, int]:
    """Do parts of a work one after the other, and return the seconds of those that were timed, and how many.

    The first `WARM_UP` are not timed, unless there are no others.

    Args:
        parts: of the work.
        work: does one.
        seconds: after which no further one is begun; at least one is timed.
    """
    began = time.perf_counter()
    warm = min(WARM_UP, len(parts) - 1)
    for part in parts[:warm]:
        work(part)
    first, count = now(), 0
    for part in parts[warm:]:
        if count and time.perf_counter() - began > seconds:
            break
        work(part)
        count += 1
    return now() - first, count


def evenly(count: int, wanted: int) -> list[int]:
    """Return places of `wanted` of `count` things, evenly spread: batches are sorted by their length."""
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))


def by_short_runs(run: Callable[..., object], spec: RunSpec, folder: Path) -> list[Pace]:
    """Return the paces that two short runs of a mixture tell; what is fixed holds their evaluation.

    Args:
        run: trains one, as `Trainer.run`.
        spec: a typical run.
        folder: for their files.
    """
    tokens, took = [], []
    for i, part in enumerate(SHORT):
        short = replace(spec, tokens={d: max(1, round(n * part)) for d, n in spec.tokens.items()}, points=())
        (folder / str(i)).mkdir(parents=True)
        began = now()
        run(short, folder=folder / str(i))
        took.append(now() - began)
        tokens.append(sum(short.tokens.values()))
    each = np.maximum((took[1] - took[0]) / (tokens[1] - tokens[0]), 1e-12)
    fixed = np.maximum(took[0] - tokens[0] * each, 0.0)
    return [Pace(0.0, float(f), 1 / float(s), 0.0) for f, s in zip(fixed, each, strict=True)]
