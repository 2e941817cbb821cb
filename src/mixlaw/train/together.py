"""Several runs of LoRA in one process: their adapters over one frozen base, a step of all of them in one batch.

Every run keeps what is its own: its adapter, AdamW, learning rate, clipping, order of data, points, checkpoints, log
and record (`mixlaw.train.attempt`). A run that has ended leaves, and the others go on. Losses are those of runs one
after another to rounding: products over more rows may sum in another order.

Where memory runs out, runs begin again half as many at once; one alone, as it always does. A run that diverges fails
alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixlaw.core.errors import DataError, RunFailed
from mixlaw.core.run import EXPERT, RunRecord, RunSpec
from mixlaw.train.adapters import SharedBase, Weights, problem_of, weights_of
from mixlaw.train.attempt import Attempt
from mixlaw.train.guards import deterministic
from mixlaw.train.memory import free_gpu_memory, is_out_of_memory
from mixlaw.train.sample import Sample, draw_sample, tokens_of
from mixlaw.train.trainer import Job

if TYPE_CHECKING:
    from mixlaw.train.native import NativeTrainer

_log = logging.getLogger(__name__)

Outcome = tuple[Job, "RunRecord | RunFailed | DataError"]


@dataclass
class Lane:
    """A run among others: its place among the adapters, and the seconds that were its own."""

    job: Job
    place: int
    sample: Sample
    attempt: Attempt
    seconds: float


def can_join(trainer: NativeTrainer, spec: RunSpec) -> bool:
    """Return whether a run may train together with others: an adapter is all that it trains and leaves."""
    alone = spec.merge is not None or spec.untrained or spec.keep_model or spec.role == EXPERT
    return trainer.options.peft is not None and not alone and not problem_of(trainer.lm.network)


def train_together(trainer: NativeTrainer, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Train runs at once, and yield each with its record, or why it has none, as soon as it ends.

    `trainer.timing` is that of the run whose record was yielded last.

    Args:
        trainer: with adapters.
        jobs: runs that `can_join`.
    """
    left, size = list(jobs), len(jobs)
    while left:
        if size == 1:
            for job in left:
                try:
                    yield job, trainer.run(job.spec, folder=job.folder, progress=job.progress)
                except (RunFailed, DataError) as error:
                    yield job, error
            return
        try:
            for job, outcome in _group(trainer, left[:size]):
                left.remove(job)
                yield job, outcome
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            size = (min(size, len(left)) + 1) // 2
            _log.warning("%s", f"Memory ran out. The runs that have not ended begin again, {size} at once.")
            free_gpu_memory(trainer.lm.network)


def _group(trainer: NativeTrainer, jobs: Sequence[Job]) -> Iterator[Outcome]:
    with deterministic(jobs[0].spec), Group(trainer, jobs) as group:
        lanes = []
        for job in jobs:
            try:
                lanes.append(group.begin(job))
            except DataError as error:
                yield job, error
        while lanes:
            for lane in [lane for lane in lanes if lane.attempt.ended]:
                lanes.remove(lane)
                yield lane.job, group.end(lane)
            # A kill may come between two checkpoints of a step: those behind catch up first.
            least = min((lane.attempt.step for lane in lanes), default=0)
            for lane, failed in group.step([lane for lane in lanes if lane.attempt.step == least]):
                lanes.remove(lane)
                yield lane.job, failed


class Group:
    """Runs whose adapters are in one network, while the block runs.

    Args:
        trainer: with adapters.
        jobs: the runs.
    """

    def __init__(self, trainer: NativeTrainer, jobs: Sequence[Job]) -> None:
        self._trainer, self._jobs = trainer, list(jobs)

    def __enter__(self) -> Group:
        self._trainer.rows_at_once = self._trainer.most_rows
        adapters = _adapters(self._trainer, [job.spec for job in self._jobs])
        self._shared = SharedBase(self._trainer.lm.network, adapters)
        return self

    def __exit__(self, *_: object) -> None:
        self._shared.release()

    def begin(self, job: Job) -> Lane:
        """Return a run from its last checkpoint on; raise DataError where a domain has no rows."""
        began, trainer, place = time.perf_counter(), self._trainer, self._jobs.index(job)
        sample = draw_sample(job.spec, trainer.train_rows, trainer.settings)
        self._shared.install(place)
        return Lane(job, place, sample, trainer.attempt(job.spec, sample, job.folder), time.perf_counter() - began)

    def end(self, lane: Lane) -> RunRecord | RunFailed:
        """Return the record of a run that has trained, or why it has none."""
        began, trainer = time.perf_counter(), self._trainer
        self._shared.install(lane.place)
        try:
            record = trainer.finished(lane.job.spec, lane.sample, lane.attempt, lane.job.folder, lane.seconds)
        except RunFailed as error:
            return error
        # What a run took is its part of the seconds: its own, and of those of a step by its tokens.
        trainer.timing |= {"together": len(self._jobs), "wall_s": lane.seconds + time.perf_counter() - began}
        return record

    def step(self, lanes: Sequence[Lane]) -> list[tuple[Lane, RunFailed]]:
        """Take the next step of every run; return those that failed, and why."""
        began, trainer = time.perf_counter(), self._trainer
        if not lanes:
            return []
        trainer.lm.network.train()
        tokens = [tokens_of(lane.attempt.rows, trainer.train_rows) for lane in lanes]
        nats, counts = _gradients(trainer, self._shared, lanes)
        shared_s, failed = time.perf_counter() - began, []
        for lane, share, of_lane, count in zip(lanes, tokens, nats, counts, strict=True):
            began = time.perf_counter()
            self._shared.install(lane.place)
            try:
                lane.attempt.finish(of_lane, count, trainer.evaluate, lane.job.progress)
            except RunFailed as error:
                failed.append((lane, error))
            lane.seconds += shared_s * share / sum(tokens) + time.perf_counter() - began
        return failed


def _adapters(trainer: NativeTrainer, specs: Sequence[RunSpec]) -> list[Weights]:
    """Return a new adapter for each run, as it would have alone."""
    of_seed: dict[int, Weights] = {}
    for spec in specs:
        if spec.seed not in of_seed:
            trainer.begin(spec)
            of_seed[spec.seed] = weights_of(trainer.lm.network)
    return [[type(p)(p.detach().clone()) for p in of_seed[spec.seed]] for spec in specs]


def _gradients(trainer: NativeTrainer, shared: SharedBase, lanes: Sequence[Lane]) -> tuple[list[float], list[int]]:
    """Compute the gradient of every run's mean loss over its step; return the nats of each, and of how many tokens."""
    rows, size = [lane.attempt.rows for lane in lanes], trainer.rows_at_once
    for lane in lanes:
        lane.attempt.begin()
    nats = [0.0] * len(lanes)
    alone = [[trainer.batch(of_run[i : i + size]) for i in range(0, len(of_run), size)] for of_run in rows]
    counts = [sum(len(batch.labels_S) for batch in batches) for batches in alone]
    for part in range(max(map(len, alone))):
        members = [i for i, batches in enumerate(alone) if part < len(batches)]
        labels = [len(alone[i][part].labels_S) for i in members]
        if not any(labels):
            continue
        batch = trainer.batch([row for i in members for row in rows[i][part * size : (part + 1) * size]])
        with shared.batch([(lanes[i].place, trainer.lm.places(alone[i][part], batch)) for i in members]):
            sums = trainer.lm.sums_of_nats(batch, labels)
            mean = sum(total / counts[i] for i, total, n in zip(members, sums, labels, strict=True) if n)
            mean.backward()  # type: ignore[union-attr]
        for i, total in zip(members, sums, strict=True):
            nats[i] += total.item()
    return nats, counts
