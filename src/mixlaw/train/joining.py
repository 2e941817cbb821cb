"""How many runs of LoRA are best trained at once: measured, a few steps one by one and a few together.

    tokens a second of 1, 2, 4, 8 ... runs at once, until more of them are no faster or memory ends

On a GPU that a small batch does not fill, runs share its passes over the base; on a CPU whose cores a batch fills, they
share nothing but calls. So no number is believed that was not measured where it is used.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixlaw.core.run import RunSpec
from mixlaw.train.guards import deterministic
from mixlaw.train.memory import free_gpu_memory, is_out_of_memory
from mixlaw.train.pace import WARM_UP
from mixlaw.train.sample import draw_sample, tokens_of
from mixlaw.train.together import Group
from mixlaw.train.trainer import Job

if TYPE_CHECKING:
    from mixlaw.train.native import NativeTrainer

WORTH = 1.05
"""How much faster more runs at once must be. No data: what is less may be noise of five steps."""

_STEPS = 5
"""Steps that are timed at the most, after those that warm up; the fastest counts. No data."""

_NATS = {False: 1e-3, True: 0.1}
"""By which a training loss may differ from that of the run alone, in float32 and bfloat16. No data: far above rounding,
and far below what a wrong adapter does."""

_log = logging.getLogger(__name__)


def speeds(trainer: NativeTrainer, specs: Sequence[RunSpec], limit: int) -> dict[int, float]:
    """Return runs at once -> tokens a second; empty where losses are not those of the runs alone.

    Args:
        trainer: with adapters.
        specs: runs that can join, the longest first.
        limit: runs at once at the most.
    """
    size, losses, found, count = _STEPS + WARM_UP, {}, {}, 1
    while count <= limit:
        chosen = [replace(spec, points=()) for spec in specs[:count]]
        try:
            with tempfile.TemporaryDirectory(prefix="mixlaw-together-") as folder, deterministic(chosen[0]):
                took, losses[count] = (_alone if count == 1 else _together)(trainer, chosen, Path(folder), size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_gpu_memory(trainer.lm.network)
            break
        if max(map(abs, _gaps(losses[1], losses[count])), default=0.0) > _NATS[trainer.lm.bfloat16]:
            _log.warning("Adapters in one batch change the training loss, so runs train one by one.")
            return {}
        found[count] = 1 / took
        if count > 1 and found[count] < WORTH * found[count // 2]:
            break
        count *= 2
    return found


def fastest(found: dict[int, float]) -> int:
    """Return how many runs at once are fastest; 1 unless more are faster by `WORTH`."""
    best = max(found, key=lambda count: (found[count], -count), default=1)
    return best if best > 1 and found[best] >= WORTH * found[1] else 1


def _gaps(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=False)]


def _alone(trainer: NativeTrainer, specs: Sequence[RunSpec], folder: Path, most: int) -> tuple[float, list[float]]:
    """Return seconds a token of the fastest step, and the training losses, of the first run by itself."""
    (spec,), losses = specs, []
    trainer.begin(spec)
    attempt = trainer.attempt(spec, draw_sample(spec, trainer.train_rows, trainer.settings), folder)

    def step() -> int:
        tokens = tokens_of(attempt.rows, trainer.train_rows)
        trainer.step(attempt, lambda *told: losses.append(told[2]))
        return tokens

    return _timed(step, lambda: attempt.ended, most), losses


def _together(trainer: NativeTrainer, specs: Sequence[RunSpec], folder: Path, most: int) -> tuple[float, list[float]]:
    """Return the same of several runs at once; the losses are those of the first."""
    losses: list[float] = []
    jobs = []
    for place, spec in enumerate(specs):
        (folder / str(place)).mkdir()
        told = None if place else lambda *told: losses.append(told[2])
        jobs.append(Job(spec, folder / str(place), told))
    with Group(trainer, jobs) as group:
        lanes = [group.begin(job) for job in jobs]

        def step() -> int:
            tokens = sum(tokens_of(lane.attempt.rows, trainer.train_rows) for lane in lanes)
            for _, error in group.step(lanes):
                raise error
            return tokens

        return _timed(step, lambda: any(lane.attempt.ended for lane in lanes), most), losses


def _timed(step: Callable[[], int], ended: Callable[[], bool], most: int) -> float:
    """Return the least seconds a token of some steps, the first ones aside unless there are no others."""
    found: list[float] = []
    while len(found) < most and not ended():
        began = time.perf_counter()
        tokens = step()
        found.append((time.perf_counter() - began) / tokens)
    return min(found[min(WARM_UP, len(found) - 1) :])
