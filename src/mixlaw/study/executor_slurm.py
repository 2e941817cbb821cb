"""The Slurm executor: one array of workers that take runs of the study until none is left.

The command submits the array and then only looks on: the study's folder says what is done, squeue what waits. It may be
ended at any time; workers go on, and the same command, started again, follows them. Where all workers have ended and
runs are still pending (they were cancelled, or their nodes were lost), it submits others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from mixlaw.core.errors import StudyError
from mixlaw.core.run import RunSpec
from mixlaw.study import slurm_commands
from mixlaw.study.executing import OnEvent, as_error, begin, chosen_runs
from mixlaw.study.slurm_arrays import Array, Arrays, forget_deaths
from mixlaw.study.slurm_commands import Task
from mixlaw.study.slurm_script import SlurmOptions
from mixlaw.study.slurm_state import of, sentence
from mixlaw.study.status import RunStatus, SweepProgress
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

FRUITLESS_ALLOWED = 2
"""How many arrays in a row may end without a run done or failed. No data: one may be cancelled by hand."""

CLOCK_OFF_S = 30.0
"""Half of the time after which a lease is stale: from here on another node's clock can make a living one look so."""

_LOOK_EVERY_S = 2.0
_ASK_EVERY_S = 10.0
_GONE_AFTER_S = 20.0
"""How long an array that was just submitted may be unknown to squeue."""
_LAST_LINES = 5


def run_pending(
    study: Study,
    config: TrainerConfig,
    workers: int | None = None,
    on_event: OnEvent | None = None,
    *,
    options: SlurmOptions | None = None,
    specs: Iterable[RunSpec] | None = None,
    retry_failed: bool = False,
) -> list[RunStatus]:
    """Train the runs that have no record, and return the status of all; failed ones are not an exception.

    Args:
        study: the study, with a saved plan, in a folder that all nodes see under the same path.
        config: the trainer; `config.inputs` must be the specs' inputs.
        workers: most runs at once; None for the options' `max_parallel`.
        on_event: called in the calling thread for everything that happens; see `RunEvent`.
        options: what the workers ask of Slurm.
        specs: the runs, all of them in the plan; None for the whole plan.
        retry_failed: try every failed run again.

    Raises:
        StudyError: see `mixlaw.study.executor_local.run_pending`; or this machine has no Slurm commands, Slurm refuses
            the workers or will never start them, or they end without training. The study is as it was, or further.
        ConfigError, DataError, MissingExtra: no worker could build the trainer.
        KeyboardInterrupt: passed on; the workers go on.
    """
    options = options or SlurmOptions()
    if workers is not None:
        options = replace(options, max_parallel=workers)
    named = None if specs is None else list(specs)
    chosen = chosen_runs(study, config, named)
    if all(study.record(spec) for spec in chosen):
        return study.status(chosen)
    slurm_commands.require_commands()
    begin(study, config, chosen, retry_failed=retry_failed)
    names = None if named is None else [spec.name for spec in named]
    sweep = _Sweep(study, chosen, options, names, on_event or (lambda event: None))
    try:
        sweep.run()
    except KeyboardInterrupt:
        sweep.leave()
        raise
    return study.status(chosen)


class _Sweep:
    """What one `run_pending` call follows."""

    def __init__(
        self, study: Study, specs: list[RunSpec], options: SlurmOptions, names: list[str] | None, on_event: OnEvent
    ) -> None:
        self.study, self.options, self.names, self.on_event = study, options, names, on_event
        self.arrays = Arrays(study)
        self.open = {spec.name: spec for spec in specs}
        self.seen: dict[str, RunStatus] = {}
        self.progress = SweepProgress({spec.name: spec.trained_tokens for spec in specs}, set())
        self.array: Array | None = None
        self.fruitless = 0
        self.done_before = 0
        self.ended = 0
        self.said = ""
        self.clocks: set[str] = set()
        self.began = time.time()

    def run(self) -> None:
        """Submit workers or join those that there are, and follow them until nothing is pending or at work."""
        asked = float("-inf")
        while True:
            pending, running = self._look()
            if not pending and not running:
                return
            if time.monotonic() - asked >= _ASK_EVERY_S or self.array is None:
                self._ask(pending)
                asked = time.monotonic()
            time.sleep(_LOOK_EVERY_S)

    def leave(self) -> None:
        """Say that the workers go on."""
        if self.array is not None:
            text = f"Slurm array {self.array.number or self.array.name} goes on; `mixlaw cancel` ends it."
            self.on_event(self.progress.event("left", reason=text))

    def _look(self) -> tuple[list[RunSpec], bool]:
        """Tell what has changed in the folder; return the pending runs, and whether any is at work."""
        statuses = self.study.status(list(self.open.values()))
        first = not self.seen
        if first:
            self.progress.found_done({status.name for status in statuses if status.state == "done"})
        for status in statuses:
            self._tell(status, first)
            self.seen[status.name] = status
        settled = {status.name for status in statuses if status.state in ("done", "failed")}
        self.ended += len(settled)
        pending = [self.open[status.name] for status in statuses if status.state == "pending"]
        self.open = {name: spec for name, spec in self.open.items() if name not in settled}
        return pending, any(status.state == "running" for status in statuses)

    def _tell(self, status: RunStatus, first: bool) -> None:
        name, before = status.name, self.seen.get(status.name)
        was = before.state if before is not None else "pending"
        if status.state == "running":
            if was != "running":
                self.on_event(self.progress.event("started", name))
            if status.steps and (before is None or status.step != before.step):
                values = {"step": status.step, "steps": status.steps, "loss": status.loss}
                self.on_event(self.progress.event("progress", name, **values))
        elif status.state == "done" and not first:
            record = self.study.record(self.open[name])
            losses = {key: loss.loss_nats for key, loss in record.losses.items()} if record is not None else {}
            self.on_event(self.progress.event("finished", name, losses=losses))
        elif status.state == "failed" and not first:
            self.on_event(self.progress.event("failed", name, reason=status.reason))
        elif status.state == "pending" and was == "running":
            self.on_event(self.progress.event("retry", name, reason="its worker has left it; it is pending again."))

    def _ask(self, pending: list[RunSpec]) -> None:
        """See what Slurm says of the workers; submit some where there are none."""
        try:
            with self.arrays.locked():
                known = [array for array in self.arrays.all() if array.covers(pending)]
                tasks = self.arrays.tasks(known)
                living = [array for array in known if any(task.lives for task in tasks if of(array, task))]
                living = living or [a for a in known if not a.number and _new(a)]
                if living:
                    self._joined(living[-1])
                elif pending and not (self.array is not None and _new(self.array) and not tasks):
                    self._submit(self._still_pending(pending), tasks)
        except slurm_commands.NoAnswer as error:
            self._wait_words(f"Slurm does not answer: {error} Its jobs go on.")
            return
        if self.array is not None:
            own = [task for task in tasks if of(self.array, task)]
            self._refuse_endless(own)
            self._wait_words(sentence(self.array, own))
            self._see_clocks(self.array)

    def _still_pending(self, pending: list[RunSpec]) -> list[RunSpec]:
        """Return what is pending now that no worker lives: the last ones may have ended since it was looked at."""
        return [spec for spec in pending if self.study.status([spec])[0].state == "pending"]

    def _joined(self, array: Array) -> None:
        first, self.array = self.array is None, array
        if first:
            self.done_before = self.ended
            self.on_event(self.progress.event("workers", reason=f"following Slurm array {array.number}"))

    def _submit(self, pending: list[RunSpec], tasks: list[Task]) -> None:
        if not pending:
            return
        if self.array is None:
            forget_deaths(self.study, pending)
        elif self.ended > self.done_before:
            self.fruitless = 0
        else:
            self.fruitless += 1
            if self.fruitless > FRUITLESS_ALLOWED or self._fatal(self.array) is not None:
                raise self._gone(self.array, pending, [task for task in tasks if of(self.array, task)])
        self.done_before = self.ended
        self.study.release_dead()
        self.array = self.arrays.submit(self.options, pending, None, self.names)
        self.said = ""
        self.on_event(self.progress.event("workers", reason=f"submitted Slurm array {self.array.number}"))

    def _fatal(self, array: Array) -> dict[str, str] | None:
        found = [said["fatal"] for said in self.arrays.said(array).values() if said.get("fatal")]
        return found[0] if found else None

    def _gone(self, array: Array, pending: list[RunSpec], tasks: list[Task]) -> Exception:
        """Return the error of workers that ended without having trained: their words, Slurm's, or their log's."""
        if (fatal := self._fatal(array)) is not None:
            return as_error(fatal)
        ended = slurm_commands.ended_tasks([array.number]) or tasks
        how = ", ".join(sorted({task.state for task in ended if task.state != "COMPLETED"}))
        logs = sorted(self.study.logs_folder.glob(f"slurm-{array.number}_*.log"), key=lambda path: path.stat().st_mtime)
        words = _last_words(logs[-1].read_text(encoding="utf-8", errors="replace")) if logs else "they wrote no log"
        return StudyError(
            f"The workers of Slurm array {array.number} ended{f' ({how})' if how else ''} without training "
            f"'{pending[0].name}'; the last words: {words}.",
            f"See {self.study.logs_folder}. The nodes need the study's folder and this Python, or set executor.python.",
        )

    def _refuse_endless(self, tasks: list[Task]) -> None:
        """Raise StudyError where the workers wait for what will never come; they are ended."""
        stuck = [task for task in tasks if task.remedy]
        if stuck and not any(task.lives and not task.remedy for task in tasks) and self.array is not None:
            slurm_commands.cancel([self.array.name])
            number = self.array.number
            raise StudyError(
                f"Slurm will never start array {number}: {stuck[0].reason}. It was cancelled.", stuck[0].remedy
            )

    def _wait_words(self, text: str) -> None:
        if text and text != self.said and " at work" not in text:
            self.on_event(self.progress.event("waiting", reason=text))
        self.said = text

    def _see_clocks(self, array: Array) -> None:
        """Say where a node's clock is far from this machine's, of workers that have begun since the last look."""
        for task, said in self.arrays.said(array).items():
            key = f"{task} {said['restart']}"
            path = self.arrays.task_path(array.name, task)
            if key in self.clocks:
                continue
            self.clocks.add(key)
            off = said["clock"] - path.stat().st_mtime
            if abs(off) > CLOCK_OFF_S:
                text = (
                    f"The clock of node {said['node']} is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the "
                    "file system's: its leases may look stale, and a run be trained twice. Set the clocks (chrony)."
                )
                self.on_event(self.progress.event("waiting", reason=text))


def _new(array: Array) -> bool:
    return time.time() - array.submitted < _GONE_AFTER_S


def _last_words(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return " | ".join(lines[-_LAST_LINES:])[-600:].rstrip(".") or "none"
