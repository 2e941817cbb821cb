"""What is known about a run from its folder, and what a sweep reports while it goes on."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlaw.core.notebook import Tabular
from mixlaw.core.tokens import format_tokens

METRICS = "metrics.jsonl"
"""A run's training log, one line a step."""


@dataclass(frozen=True)
class RunStatus:
    """The state of one run.

    Attributes:
        name: the run.
        folder: the name of its folder under `runs/`.
        state: `pending`, `running`, `done` or `failed`.
        tokens: training tokens requested.
        reason: why it failed, or why a pending run has to be trained again.
        wall_s: how long it took, s; None before it is done.
        step: optimiser steps taken by a running one.
        steps: its steps in total; 0 where unknown.
        loss: its last training loss, nats per supervised token.
        eta_s: seconds until it will have trained, from its pace so far; None where unknown.
        where: the job that trains it, on a cluster that tells; else empty.
        evaluations: how often the validation sets are evaluated.
        along: share of the run -> target -> validation loss there, nats per supervised token, of a running one.
    """

    name: str
    folder: str
    state: str
    tokens: int
    reason: str = ""
    wall_s: float | None = None
    step: int = 0
    steps: int = 0
    loss: float | None = None
    eta_s: float | None = None
    where: str = ""
    evaluations: int = 1
    along: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.__dict__.copy()


class RunStatuses(Tabular, list[RunStatus]):
    """The states of a study's runs: a list of `RunStatus` that notebooks show as a table."""

    def __repr__(self) -> str:
        return f"<{self.title or 'no'} runs>"

    @property
    def title(self) -> str:
        """How many runs there are in each state."""
        counts = {state: sum(s.state == state for s in self) for state in ("done", "running", "pending", "failed")}
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count)

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Return title, columns and rows, with one row per run."""
        rows = [
            [s.name, s.state, format_tokens(s.tokens), float("nan") if s.wall_s is None else s.wall_s, s.reason]
            for s in self
        ]
        return self.title, ["run", "state", "tokens", "took, s", "reason"], rows


@dataclass(frozen=True)
class RunEvent:
    """One thing that happened in a sweep, with the sweep's state after it.

    Attributes:
        kind: `workers` (they are starting), `started`, `progress`, `finished`, `failed`, `retry` (a worker died,
            its run is pending again), `waiting` (only runs of other processes are left, or the workers wait for a
            cluster), or `left` (the command ends, its workers go on).
        run: the run's name; empty for `workers`, `waiting` and `left`.
        step, steps, loss: the run's training so far; loss in nats per supervised token.
        reason: why it failed or is tried again; what the workers wait for.
        losses: validation losses of a finished run, nats per supervised token.
        runs_done, runs_failed, runs_total: over the whole sweep, runs that were done before included.
        running: names of the runs at work in this sweep.
        tokens_done, tokens_total: training tokens over the whole sweep.
        elapsed_s: since this sweep began, s.
        eta_s: seconds until it ends, from this sweep's pace (evaluation included); None before there is a pace.
    """

    kind: str
    run: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    reason: str = ""
    losses: dict[str, float] = field(default_factory=dict)
    runs_done: int = 0
    runs_failed: int = 0
    runs_total: int = 0
    running: tuple[str, ...] = ()
    tokens_done: float = 0.0
    tokens_total: int = 0
    elapsed_s: float = 0.0
    eta_s: float | None = None


def losses_along(folder: Path) -> dict[str, dict[str, float]]:
    """Return share of the run -> target -> validation loss, of the points that metrics.jsonl has."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in (line for line in lines if '"share"' in line):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            value = json.loads(line)
            losses = {str(target): float(loss) for target, loss in value["validation"].items()}
            found[f"{float(value['share']):.4g}"] = losses
    return found


def last_metrics(folder: Path) -> dict[str, Any]:
    """Return step, steps, loss and eta_s of a running run, from the end of its metrics.jsonl."""
    path = folder / METRICS
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
        began = (folder / "spec.json").stat().st_mtime
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("steps"):
            step, steps = int(value["step"]), int(value["steps"])
            left = (time.time() - began) * (steps - step) / step
            return {"step": step, "steps": steps, "loss": value["loss"], "eta_s": round(left, 1)}
    return {}


def training_log(folder: Path) -> list[tuple[int, float]]:
    """Return (step, training loss in nats) of every step that metrics.jsonl has; empty where there is none."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
            found.append((int(value["step"]), float(value["loss"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


class SweepProgress:
    """Counts a sweep's runs and tokens and estimates its end.

    Args:
        tokens: run -> training tokens, for every run of the sweep.
        done: names of the runs that are done already.
        clock: seconds, monotonic.
    """

    def __init__(self, tokens: dict[str, int], done: set[str], clock: Any = time.monotonic) -> None:
        self._tokens = tokens
        self._done: set[str] = set()
        self._before = 0
        self._failed: set[str] = set()
        self._share: dict[str, float] = {}
        self._clock = clock
        self._began = clock()
        self._first_started: float | None = None
        self.found_done(done)

    def found_done(self, names: set[str]) -> None:
        """Count runs that this sweep did not train: done before, or by another process meanwhile."""
        self._before += sum(self._tokens[name] for name in names - self._done)
        self._done |= names

    def event(self, kind: str, run: str = "", **values: Any) -> RunEvent:
        """Take note of what happened and return the event with the sweep's state."""
        now = self._clock()
        if kind == "started":
            self._share[run] = 0.0
            self._first_started = self._first_started if self._first_started is not None else now
        elif kind == "progress":
            self._share[run] = values["step"] / max(1, values["steps"])
        elif kind in ("finished", "failed", "retry"):
            self._share.pop(run, None)
            if kind == "finished":
                self._done.add(run)
            elif kind == "failed":
                self._failed.add(run)
        done = sum(self._tokens[name] for name in self._done)
        done += sum(self._tokens[name] * share for name, share in self._share.items())
        total = sum(self._tokens.values())
        left = total - done - sum(self._tokens[name] for name in self._failed)
        eta = None
        if self._first_started is not None and done > self._before:
            eta = (now - self._first_started) / (done - self._before) * max(0.0, left)
        return RunEvent(
            kind,
            run,
            **values,
            runs_done=len(self._done),
            runs_failed=len(self._failed),
            runs_total=len(self._tokens),
            running=tuple(self._share),
            tokens_done=done,
            tokens_total=total,
            elapsed_s=now - self._began,
            eta_s=eta,
        )
