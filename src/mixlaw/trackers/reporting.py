"""Reporting: every finished run, read from the study's files, is told to every tracker once.

Nothing is reported from a worker. The driver reads record.json and metrics.jsonl when a run is over, whoever trained
it; `reported.json` says which tracker has which run. A tracker that fails is left out for the rest of the process, with
one sentence, and the next sweep tells it what it has missed.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.study.status import RunEvent, training_log
from mixlaw.study.store import Study
from mixlaw.trackers import TRACKERS, require_packages
from mixlaw.trackers.tracker import LoggedRun, Tracker

OnEvent = Callable[[RunEvent], None]
_LONGEST_REASON = 300


class Reporter:
    """Tells trackers what a study's files say.

    Args:
        names: of the trackers; none for no reporting.
        study: the study; its folder `trackers` is theirs.
        settings: what all runs have in common, nested, for the runs' configurations.
        note: called with one sentence about each tracker that fails.

    Raises:
        MissingExtra: a tracker's package is not installed.
    """

    def __init__(
        self, names: Sequence[str], study: Study, settings: Mapping[str, Any], note: Callable[[str], None]
    ) -> None:
        require_packages(names)
        self.names = tuple(names)
        self.group = study.name
        self.folder = study.folder / "trackers"
        self.settings = settings
        self.note = note
        self._open: dict[str, Tracker] = {}
        self._failed: set[str] = set()

    @contextlib.contextmanager
    def following(self, study: Study, specs: Sequence[RunSpec], on_event: OnEvent | None) -> Iterator[OnEvent]:
        """Report the runs of a sweep: those done before, each that finishes, and those that others have trained.

        Args:
            study: the folder of the runs; the study's own or one within it.
            specs: the runs of the sweep.
            on_event: called for every event, before the run is reported.

        Yields:
            What the sweep is to call for every event.
        """
        by_name = {spec.name: spec for spec in specs}

        def follow(event: RunEvent) -> None:
            if on_event:
                on_event(event)
            if event.kind == "finished":
                self.report(study, [by_name[event.run]])

        self.report(study, specs)
        yield follow
        self.report(study, specs)

    def report(self, study: Study, specs: Iterable[RunSpec]) -> None:
        """Tell the trackers of the runs that are done and that they do not have yet."""
        if self._left():
            self._tell({spec.id: self._reader(study, spec) for spec in specs})

    def report_values(self, name: str, config: Mapping[str, Any], final: Mapping[str, float]) -> None:
        """Tell the trackers of something that is no training, once for the same content; `name` names it."""
        final = {key: value for key, value in final.items() if math.isfinite(value)}
        key = fingerprint({"name": name, "config": dict(config), "final": dict(final)})
        run = LoggedRun(key, name, self.group, config, [], final)
        self._tell({key: lambda: run})

    def _reader(self, study: Study, spec: RunSpec) -> Callable[[], LoggedRun | None]:
        def read() -> LoggedRun | None:
            record = study.record(spec)
            return None if record is None else logged_run(study, record, self.group, self.settings)

        return read

    def _left(self) -> list[str]:
        return [name for name in self.names if name not in self._failed]

    def _tell(self, runs: Mapping[str, Callable[[], LoggedRun | None]]) -> None:
        for name in self._left():
            try:
                with self._alone() as reported, contextlib.redirect_stdout(io.StringIO()):  # stdout is for results
                    self._tell_one(name, runs, reported)
            except Exception as error:
                self._failed.add(name)
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
                self.note(
                    f"report_to: {name} failed ({reason}). Training goes on without it and no result is lost; the next "
                    "`mixlaw run` sends what is missing."
                )

    def _tell_one(
        self, name: str, runs: Mapping[str, Callable[[], LoggedRun | None]], reported: dict[str, dict[str, str]]
    ) -> None:
        there = reported.setdefault(name, {})
        for key, read in runs.items():
            if key in there or (run := read()) is None:
                continue
            if name not in self._open:
                self._open[name] = TRACKERS[name](self.folder, self.group)
            self._open[name].write(run)
            there[key] = run.name
            write_document(self.folder / "reported.json", "reported", {"trackers": reported})

    @contextlib.contextmanager
    def _alone(self) -> Iterator[dict[str, dict[str, str]]]:
        """Yield what has been reported, while no other process reports."""
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                value = read_document(self.folder / "reported.json", "reported")["trackers"]
            except DataError:
                value = {}
            yield value


def logged_run(study: Study, record: RunRecord, group: str, settings: Mapping[str, Any]) -> LoggedRun:
    """Return what trackers show of a finished run.

    The curve is `train/loss` (nats per supervised token) and `train/tokens` (training tokens so far, as if all steps
    had as many). Final: `loss/<target>` (nats per supervised token), `count/<target>`, `tokens/<domain>`,
    `unique_tokens/<domain>`, steps, parameters, and wall_s where it is known.
    """
    spec, log = record.spec, training_log(study.run_folder(record.spec))
    per_step = sum(record.tokens.values()) / max(record.steps, log[-1][0] if log else 0, 1)
    final: dict[str, float] = {}
    for target, loss in record.losses.items():
        final |= {f"loss/{target}": loss.loss_nats, f"count/{target}": loss.count}
    for kind, counts in (("tokens", record.tokens), ("unique_tokens", record.unique_tokens)):
        final |= {f"{kind}/{domain}": count for domain, count in counts.items()}
    final |= {"steps": record.steps, "parameters": record.parameters}
    if (wall_s := study.status([spec])[0].wall_s) is not None:
        final["wall_s"] = wall_s
    asked = {"run": spec.name, "id": spec.id, "role": spec.role, "seed": spec.seed, "tokens": dict(spec.tokens)}
    curve = [(step, {"train/loss": loss, "train/tokens": step * per_step}) for step, loss in log]
    return LoggedRun(spec.id, spec.name, group, {**asked, **settings}, curve, final)
