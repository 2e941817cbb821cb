"""The Ray executor: the runs of a study as tasks of an existing cluster, until every one is done or failed.

The driver alone touches the study folder: it claims a run, holds its lease while the task waits and trains, and writes
what the task sends back. Nodes need no shared storage; inputs travel as objects to those that do not see them. A task
whose node or process dies is submitted again; the others go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlaw.core.errors import RunFailed, StudyError
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.rows import replace_folder
from mixlaw.study import ray_cluster
from mixlaw.study.executing import OnEvent, as_error, begin, chosen_runs, training_environment
from mixlaw.study.leases import Heartbeat
from mixlaw.study.ray_inputs import Packed, input_folders, pack, write_batch
from mixlaw.study.ray_node import RUN_FOLDER, job_of
from mixlaw.study.status import RunStatus, SweepProgress
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

_WAIT_S = 0.5
_LOOK_EVERY_S = 1.0
_LOST_WAIT_S = 30.0
_UNREAD_BATCHES = 4
_INCOMING = "incoming"
_OURS = ("spec.json", "lease.json", "timing.json", "record.json", "error.json")


@dataclass(frozen=True)
class RayOptions:
    """Where the cluster is, and what a run asks of it.

    Attributes:
        address: `auto`, or `host:port` of the head node.
        cpus_per_run: cores, and computing threads, of a run.
        gpus_per_run: GPUs of a run, all on one node, or a fraction of one; None for one where the cluster has GPUs.
        resources: custom resource of the cluster -> amount of it that a run takes.
        max_retries: how often a run is submitted again after its node or process died.
        wait_for_nodes_s: how long the cluster may have no node that can hold a run, s; for autoscalers.
    """

    address: str = "auto"
    cpus_per_run: int = 1
    gpus_per_run: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    max_retries: int = 3
    wait_for_nodes_s: float = 0.0


def run_pending(
    study: Study,
    config: TrainerConfig,
    workers: int | None = None,
    on_event: OnEvent | None = None,
    *,
    options: RayOptions | None = None,
    specs: Iterable[RunSpec] | None = None,
    retry_failed: bool = False,
) -> list[RunStatus]:
    """Train the runs that have no record, and return the status of all; failed ones are not an exception.

    Args:
        study: the study, with a saved plan.
        config: the trainer; `config.inputs` must be the specs' inputs.
        workers: most runs at once; None for as many as the cluster holds.
        on_event: called in the calling thread for everything that happens; see `RunEvent`.
        options: the cluster, and what a run asks of it.
        specs: the runs, all of them in the plan; None for the whole plan.
        retry_failed: try every failed run again.

    Raises:
        StudyError: see `mixlaw.study.executor_local.run_pending`; or no cluster answers, or none of its nodes can hold
            a run. Nothing of the study has changed where the cluster cannot be reached.
        ConfigError, DataError, MissingExtra: Ray is not installed, or a node could not build the trainer.
        KeyboardInterrupt: passed on, after the tasks were cancelled and their leases released.
    """
    options = options or RayOptions()
    chosen = chosen_runs(study, config, specs)
    if all(study.record(spec) for spec in chosen):
        return study.status(chosen)
    with ray_cluster.connected(options.address) as ray:
        begin(study, config, chosen, retry_failed=retry_failed)
        sweep = _Sweep(ray, study, config, chosen, options, workers, on_event or (lambda event: None))
        try:
            sweep.run()
        finally:
            sweep.stop()
    return study.status(chosen)


@dataclass
class _Flight:
    """A run that is with the cluster: waiting for a node, or on one."""

    spec: RunSpec
    lease: contextlib.ExitStack
    task: Any = None
    node: str = ""


class _Sweep:
    """The tasks of one `run_pending` call and what they have sent back."""

    def __init__(
        self,
        ray: Any,
        study: Study,
        config: TrainerConfig,
        specs: list[RunSpec],
        options: RayOptions,
        workers: int | None,
        on_event: OnEvent,
    ) -> None:
        self.ray, self.study, self.config, self.options = ray, study, config, options
        self.specs = {spec.name: spec for spec in specs}
        self.workers, self.on_event = workers, on_event
        self.progress = SweepProgress({spec.name: spec.trained_tokens for spec in specs}, set())
        self.flights: dict[str, _Flight] = {}
        self.crashes: dict[str, int] = {}
        self.folders = input_folders(config)
        self.packed: dict[str, Packed] = {}
        self.board: Any = None
        self.news: Any = None
        self.wanted: dict[str, float] = {}
        self.without_nodes: float | None = None
        self.had_nodes = False

    def run(self) -> None:
        """Submit runs, follow their tasks, and submit again what was lost, until nothing is pending or at work."""
        waiting, announced, looked = False, False, float("-inf")
        while True:
            if time.monotonic() - looked >= _LOOK_EVERY_S:
                statuses = self.study.status(list(self.specs.values()))
                self.progress.found_done({status.name for status in statuses if status.state == "done"})
                pending = {status.name for status in statuses if status.state == "pending"}
                if not pending and not self.flights and not any(status.state == "running" for status in statuses):
                    return
                if pending and not announced:
                    announced = True
                    self.on_event(self.progress.event("workers"))
                    self._prepare()
                if pending or self.flights:
                    waiting = False
                    self._submit_some(pending, self._room())
                looked = time.monotonic()
            if self.flights:
                if self._follow():
                    looked = float("-inf")  # there may be room for the next
            else:
                if not pending and not waiting:
                    waiting = True
                    self.on_event(self.progress.event("waiting"))
                time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        """Cancel the tasks that are left and release their leases."""
        for flight in self.flights.values():
            with contextlib.suppress(Exception):
                self.ray.cancel(flight.task, force=True)
            flight.lease.close()
        self.flights = {}
        if self.board is not None:
            with contextlib.suppress(Exception):
                self.ray.kill(self.board)

    def _prepare(self) -> None:
        """Make the function and the actor that the cluster gets; raise StudyError where it can hold no run."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray, options = self.ray, self.options
        self.wanted = ray_cluster.wanted_resources(ray, options.cpus_per_run, options.gpus_per_run, options.resources)
        self._room()
        # With GPUs Ray ends the process after its run: one that has used a GPU keeps it, whatever it is given next.
        self.function = ray.remote(
            num_cpus=self.wanted["CPU"],
            num_gpus=self.wanted.get("GPU", 0.0),
            resources=dict(options.resources),
            num_returns="streaming",
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": training_environment(options.cpus_per_run)},
            _generator_backpressure_num_objects=_UNREAD_BATCHES,
        )(ray_cluster.node_function())
        self.package = ray.put(ray_cluster.package_as_zip())
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        actor = ray.remote(num_cpus=0, max_restarts=-1)(ray_cluster.board_class())
        self.board = actor.options(scheduling_strategy=here).remote()

    def _room(self) -> int:
        """Return how many runs may be with the cluster; raise StudyError where no node has held one for too long.

        Twice as many as fit at once: the next is there when one ends, and an autoscaler sees that more are wanted.
        """
        fit = ray_cluster.capacity(self.ray, self.wanted)
        if fit:
            self.without_nodes, self.had_nodes = None, True
            return self.workers or 2 * fit
        now = time.monotonic()
        since = self.without_nodes = self.without_nodes if self.without_nodes is not None else now
        patience = max(self.options.wait_for_nodes_s, _LOST_WAIT_S if self.had_nodes else 0.0)
        if now - since >= patience:
            raise ray_cluster.too_small(self.ray, self.wanted)
        return self.workers or 1  # an autoscaler starts nodes for what waits

    def _submit_some(self, pending: set[str], room: int) -> None:
        for spec in self.study.pending([self.specs[name] for name in pending]):
            if len(self.flights) >= room:
                return
            lease = self.study.claim(spec)
            if lease is not None:
                flight = _Flight(spec, contextlib.ExitStack())
                flight.lease.enter_context(Heartbeat(lease))
                self.flights[spec.name] = flight
                self._submit(flight)

    def _submit(self, flight: _Flight) -> None:
        shutil.rmtree(self._incoming(flight), ignore_errors=True)
        flight.node = ""
        job = job_of(flight.spec, self.config, self.folders, self.packed)
        flight.task = self.function.remote(self.package, job, self.board)

    def _follow(self) -> bool:
        """Handle what comes next from any task, if something comes soon; return whether a run has ended."""
        if self.news is None:
            self.news = self.board.take.remote()
        of_task = {flight.task: flight for flight in self.flights.values()}
        ready, _ = self.ray.wait([*of_task, self.news], num_returns=1, timeout=_WAIT_S)
        for one in ready:
            if one is self.news:
                self.news = None
                self._show_progress(one)
            else:
                return self._advance(of_task[one])
        return False

    def _show_progress(self, news: Any) -> None:
        try:
            items = self.ray.get(news)
        except self.ray.exceptions.RayError:
            return  # the node that carries the news was lost; the runs go on
        for name, step, steps, loss in items:
            flight = self.flights.get(name)
            if flight is None or not flight.node:
                continue  # of a run that has ended meanwhile
            self.on_event(self.progress.event("progress", name, step=step, steps=steps, loss=loss))
            # For `mixlaw status` in another process; the run's own file takes its place at the end.
            with open(self.study.run_folder(flight.spec) / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "steps": steps, "loss": loss}) + "\n")

    def _advance(self, flight: _Flight) -> bool:
        """Handle the next of a task's messages; return whether its run has ended."""
        try:
            what, value = self.ray.get(next(flight.task))
        except StopIteration:
            return self._crashed(flight, "its task ended without a result")
        except self.ray.exceptions.RayError as error:
            return self._crashed(flight, _first_line(error))
        if what == "needs":
            for folder in self.folders:
                if folder.base in value and folder.base not in self.packed:
                    self.packed[folder.base] = pack(folder, self.ray.put)
            self._submit(flight)
        elif what == "started":
            flight.node = value
            (self.study.run_folder(flight.spec) / "metrics.jsonl").unlink(missing_ok=True)
            self.on_event(self.progress.event("started", flight.spec.name))
        elif what == "files":
            write_batch(value, self._incoming(flight))
        elif what == "fatal":
            raise as_error(value)
        else:
            self._ended(flight, what, value)
            return True
        return False

    def _ended(self, flight: _Flight, what: str, value: dict[str, Any]) -> None:
        """Take over what a run has left, its record or its error last."""
        spec, folder = flight.spec, self.study.run_folder(flight.spec)
        _take_over(self._incoming(flight), folder)
        if what == "done":
            record = RunRecord.from_json(value["record"])
            self.study.complete(spec, record, {**value["timing"], "executor": "ray"})
            losses = {name: loss.loss_nats for name, loss in record.losses.items()}
            event = self.progress.event("finished", spec.name, losses=losses)
        else:
            message, hint = (value[key].replace(RUN_FOLDER, str(folder)) for key in ("message", "hint"))
            error = as_error({**value, "message": message, "hint": hint})
            self.study.fail(spec, error, retry=value["retry"])
            event = self.progress.event("failed", spec.name, reason=str(error))
        self._close(flight)
        self.on_event(event)

    def _crashed(self, flight: _Flight, reason: str) -> bool:
        """Submit a run again whose node or process died, or give it up; return whether it has ended."""
        name, spec = flight.spec.name, flight.spec
        self.crashes[name] = count = self.crashes.get(name, 0) + 1
        where = f"on node {flight.node}" if flight.node else "before it began"
        reason = f"lost {where}: {reason}"
        if count <= self.options.max_retries:
            self.on_event(self.progress.event("retry", name, reason=reason))
            self._submit(flight)
            return False
        hint = (
            "See Ray's logs of that node (`ray logs`); raise executor.cpus_per_run if memory is short, then run again."
        )
        self.study.fail(spec, RunFailed(f"Run '{name}' was lost {count} times; the last: {reason}", hint), retry=True)
        self._close(flight)
        self.on_event(self.progress.event("failed", name, reason=reason))
        return True

    def _close(self, flight: _Flight) -> None:
        del self.flights[flight.spec.name]
        flight.lease.close()

    def _incoming(self, flight: _Flight) -> Path:
        return self.study.run_folder(flight.spec) / _INCOMING


def _take_over(incoming: Path, folder: Path) -> None:
    """Move what a run has left into its folder, each entry whole, in place of what an earlier attempt has left."""
    try:
        for entry in sorted(incoming.iterdir()) if incoming.is_dir() else ():
            if entry.name in _OURS:
                continue
            if entry.is_dir():
                replace_folder(entry, folder / entry.name)
            else:
                os.replace(entry, folder / entry.name)
        shutil.rmtree(incoming, ignore_errors=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be written: {error.strerror or error}.", "Free some space, then run the command again."
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"
