"""Mixtures that are trained again under other seeds, to measure the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.lean import lean


@dataclass(frozen=True)
class PlannedRun:
    """One mixture to train.

    Attributes:
        name: unique in the plan.
        tokens: domain -> training tokens.
        replicate: 0, or which repetition of an earlier mixture it is; it trains with the plan's seed plus this.
    """

    name: str
    tokens: Mapping[str, int]
    replicate: int = 0


def repeated(planned: Sequence[PlannedRun], count: int) -> list[PlannedRun]:
    """Return `count` further runs of planned mixtures under other seeds, where they tell most of the noise.

    The logarithm of the noise is taken to grow linearly as a mixture leans on few domains (`mixlaw.fit.curve.Scatter`).
    Half of the runs at either end of its range tell a line best (D-optimal), so repeats alternate: the first mixture,
    which is the base mixture, and the one that leans most. Of those that lean most on different domains each has its
    turn, since noise belongs to the domain as well.

    Source: Atkinson and Cook 1995, J. Am. Stat. Assoc. 90:204-212, optimum designs for a log-linear variance.
    """
    leaning_R = lean(np.array([list(run.tokens.values()) for run in planned], float))
    favourite_R = [max(run.tokens, key=lambda d: (run.tokens[d], d)) for run in planned]
    rims: dict[str, PlannedRun] = {}
    # Of equals the first by name: the order of the domains moves no run.
    for r in sorted(range(len(planned)), key=lambda r: (-round(float(leaning_R[r]), 9), planned[r].name)):
        if leaning_R[r] > leaning_R[0] + 1e-9:
            rims.setdefault(favourite_R[r], planned[r])
    ends = list(rims.values()) or [planned[0]]
    places = [planned[0] if i % 2 else ends[(i // 2 - 1) % len(ends)] for i in range(1, count + 1)]
    return [PlannedRun(f"{run.name}-again-{i}", run.tokens, i) for i, run in enumerate(places, start=1)]
