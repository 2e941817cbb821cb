"""Verbs that train: plan, train, status, run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixlaw.api.changed_domains import save_added
from mixlaw.api.data_health import checks_of_study
from mixlaw.api.executor import require_cluster, require_extras, train_pending
from mixlaw.api.files import example_config, report
from mixlaw.api.merged import trained
from mixlaw.api.mixture import mix
from mixlaw.api.noise import measured_noise
from mixlaw.api.project import Note, Project
from mixlaw.api.sequential import THRESHOLD, propose
from mixlaw.api.tracked import solution_values
from mixlaw.config.executor import ExecutorNode
from mixlaw.core.documents import write_document
from mixlaw.core.errors import FitError
from mixlaw.core.notebook import Tabular, html_table, shares
from mixlaw.core.run import RunSpec
from mixlaw.core.tokens import format_tokens
from mixlaw.design.decision import regret_curve
from mixlaw.design.information import NOISE_NATS
from mixlaw.design.knowledge import Knowledge, laws_for
from mixlaw.design.sequential import most_runs, sequential_tokens
from mixlaw.fit import Fit, fit_law
from mixlaw.report.verdicts import Check
from mixlaw.solve import Solution
from mixlaw.study.alone import alone
from mixlaw.study.failures import failure_list, too_many_failed
from mixlaw.study.status import RunEvent, RunStatus, RunStatuses
from mixlaw.study.store import Study

_DOMAINS_OF_A_CURVE = 40
"""With more domains the expected regret of a plan takes longer than planning should."""

OnEvent = Callable[[RunEvent], None]


@dataclass(frozen=True, repr=False)
class Plan(Tabular):
    """The runs to do.

    Attributes:
        runs: their specs.
        statuses: their states, in the same order.
        notes: sentences about what was decided.
        estimated_s: seconds until all are done, from the pace of the finished ones; None before the first.
        regret_nats: expected regret at the budget after none, one, ... all of the runs, as estimated before
            any is trained (`mixlaw.design.decision.regret_curve`).
        noise_nats: standard deviation of a loss between runs of one mixture, which the expected regret rests on.
        noise_measured: whether it was measured in finished runs of the study; otherwise it is an assumption.
    """

    runs: list[RunSpec]
    statuses: list[RunStatus]
    notes: list[str]
    estimated_s: float | None
    regret_nats: list[float] = field(default_factory=list)
    noise_nats: float = NOISE_NATS
    noise_measured: bool = False

    def _drawn(self) -> tuple[Any, ...]:
        title, columns, rows, notes = self.table()
        return (
            title,
            [*columns, "mixture"],
            [[*r, shares(run.tokens)] for r, run in zip(rows, self.runs, strict=True)],
            notes,
        )

    def table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        """Return title, columns, rows and notes, with one row per run."""
        rows: list[list[Any]] = [
            [run.name, *map(format_tokens, run.tokens.values()), format_tokens(status.tokens), status.state]
            for run, status in zip(self.runs, self.statuses, strict=True)
        ]
        domains = list(self.runs[0].tokens) if self.runs else []
        title = f"{len(rows)} runs, {format_tokens(self.spent[-1])} training tokens"
        return title, ["run", *domains, "total", "state"], rows, self.notes

    @property
    def spent(self) -> list[int]:
        """Training tokens of none, one, ... all of the runs."""
        return [0, *itertools.accumulate(run.trained_tokens for run in self.runs)]

    @property
    def regret_title(self) -> str:
        """What the expected regret rests on."""
        scatter = f"scatter by {self.noise_nats:.2g} nats"
        if self.noise_measured:
            return f"Expected regret at the budget, with runs that {scatter} (measured)"
        return f"Expected regret at the budget, if runs {scatter} (assumed)"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "runs": [
                {"name": r.name, "id": r.id, "tokens": dict(r.tokens), "state": s.state}
                for r, s in zip(self.runs, self.statuses, strict=True)
            ],
            "total_tokens": sum(s.tokens for s in self.statuses),
            "pending": sum(s.state != "done" for s in self.statuses),
            "estimated_s": self.estimated_s,
            "expected_regret": [
                {"runs": n, "tokens": tokens, "nats": regret}
                for n, (tokens, regret) in enumerate(zip(self.spent, self.regret_nats, strict=False))
            ],
            "noise": {"nats": self.noise_nats, "measured": self.noise_measured},
            "notes": self.notes,
        }


@dataclass(frozen=True)
class RunResult:
    """What `run` made.

    Attributes:
        statuses: of the planned runs.
        fit: the fit.
        solution: the solution.
        manifest: of the mixture's training files.
        written: name -> file or folder.
    """

    statuses: list[RunStatus]
    fit: Fit
    solution: Solution
    manifest: dict[str, Any]
    written: dict[str, Path] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<RunResult: {RunStatuses(self.statuses).title} runs; {self.solution!r}>"

    def __str__(self) -> str:
        return "\n\n".join((str(self.solution), *(f"{what}: {path}" for what, path in self.written.items())))

    def _repr_html_(self) -> str:
        rows = [[what, str(path)] for what, path in self.written.items()]
        return self.solution._repr_html_() + html_table("Written", ["what", "where"], rows)

    @property
    def failed(self) -> list[RunStatus]:
        """Runs that failed."""
        return [status for status in self.statuses if status.state == "failed"]


def plan(config: str | Path | Project, note: Note | None = None) -> Plan:
    """Write plan.json and return the runs with their states; trains nothing.

    Raises:
        ConfigError, DataError, DesignError, StudyError: a problem of mix.yaml, the data, the plan or the study folder.
    """
    project = Project.open(config, note)
    specs, notes = project.design
    project.write_inputs()
    project.study.save_plan(specs)
    statuses = project.study.status(specs)
    measured = measured_noise(project.study)
    noise = NOISE_NATS if measured is None else measured
    estimated_s, regret = _estimate(statuses, project.config.executor), _regret(project, specs, noise)
    return Plan(specs, statuses, notes, estimated_s, regret, noise, measured is not None)


def train(
    config: str | Path | Project,
    *,
    executor: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    keep_models: bool = False,
    on_event: OnEvent | None = None,
    note: Note | None = None,
) -> RunStatuses:
    """Train the planned runs that are missing, and return the states of all.

    With `keep_models` each run keeps its model for `mixlaw eval`; finished runs without one are trained again. The
    executor is the configuration's, or `local` or `ray` where it is given.

    Raises:
        ConfigError, DataError, DesignError, StudyError, MissingExtra: see `check` and `plan`; a failed run: nothing.
    """
    project = Project.open(config, note)
    require_extras(project, executor)
    require_cluster(project, executor)
    specs = plan(project).runs
    if keep_models:
        runs = {spec.name for spec in trained(specs)}
        project.study.save_plan(replace(spec, keep_model=spec.name in runs) for spec in specs)
        for spec in trained(specs):
            project.study.discard_without_model(spec)
    statuses = train_pending(
        project, project.study, executor=executor, workers=workers, on_event=on_event, retry_failed=retry_failed
    )
    return RunStatuses(statuses)


def status(config: str | Path) -> RunStatuses:
    """Return the states of a study's planned runs; needs no tokenizer and no model.

    Args:
        config: a mix.yaml or a study folder.
    """
    return RunStatuses(_study_of(config).status())


def data_checks(config: str | Path) -> list[Check]:
    """Return the checks of a study's data as it was when the runs were planned; none before that.

    Args:
        config: a mix.yaml or a study folder.
    """
    return checks_of_study(_study_of(config))


def _study_of(config: str | Path) -> Study:
    path = Path(config)
    return Study(path) if path.is_dir() else Project.open(path).study


def run(
    config: str | Path | Project,
    *,
    executor: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    on_event: OnEvent | None = None,
    note: Note | None = None,
) -> RunResult:
    """Do the whole job: plan, train, fit, solve, write the training files and the report. Finished steps are kept.

    Raises:
        RunsFailed: too many runs failed for a fit.
        ConfigError, DataError, DesignError, FitError, SolveError, MissingExtra: see `plan`, `fit` and `solve`.
    """
    project = Project.open(config, note)
    while True:
        statuses = train(project, executor=executor, workers=workers, retry_failed=retry_failed, on_event=on_event)
        # Another process may be doing the same: it is waited for, and what it has written is found.
        with alone(project.study, project.note):
            sequential = project.config.plan.design == "sequential"
            if sequential and len(project.design[0]) > len(statuses):
                continue  # it has planned the next batch meanwhile
            fitted, solution = _fit_what_is_left(project, statuses)
            if sequential and extend(project, fitted, solution):
                continue
            return _written(project, statuses, fitted, solution)


def _written(project: Project, statuses: list[RunStatus], fitted: Fit, solution: Solution) -> RunResult:
    """Write the mixture and the report of a solution."""
    project.reporter.report_values("solution", *solution_values(project, fitted, solution))
    manifest, folder = mix(project)
    files = report(project)
    folder_of = project.study.folder
    written = {"fit": folder_of / "fit.json", "solution": folder_of / "solution.json", "mixture": folder}
    written |= {f"report.{kind}": path for kind, path in files.items()}
    return RunResult(statuses, fitted, solution, manifest, written)


def demo(
    out: str | Path = "mixlaw-demo",
    *,
    workers: int | None = None,
    on_event: OnEvent | None = None,
    note: Note | None = None,
) -> RunResult:
    """Copy the bundled example into a folder and run the whole job on it. Finished steps are kept.

    A mix.yaml that is already in the folder is used unchanged.

    Raises:
        MissingExtra: the extras `train` or `report` are not installed.
    """
    return run(example_config(out, keep=True), workers=workers, on_event=on_event, note=note)


def _fit_what_is_left(project: Project, statuses: list[RunStatus]) -> tuple[Fit, Solution]:
    """Fit the runs that are done; those that failed are listed first, so that no fit goes ahead without saying so."""
    failures, done = failure_list(statuses), sum(status.state == "done" for status in statuses)
    if failures and not done:
        raise too_many_failed(statuses)
    for line in failures:
        project.warn(line)
    if failures:
        project.warn(f"The fit uses the {done} of {len(statuses)} runs that are done.")
    try:
        return fit_and_solve(project)
    except FitError as error:
        if failures:
            raise too_many_failed(statuses, error) from error
        raise


def fit_and_solve(project: Project) -> tuple[Fit, Solution]:
    """Fit the study's runs, solve at its budget, write fit.json and solution.json, and return both."""
    wish = project.config.fit
    fitted = fit_law(project.run_table(), wish.law, wish.procedure, repetition=wish.repetition)
    project.keep_fit(fitted)
    solution = project.solve(fitted)
    write_document(project.study.folder / "solution.json", "solution", solution.to_json())
    return fitted, solution


def extend(project: Project, fitted: Fit, solution: Solution) -> bool:
    """Plan the next batch of a sequential design; return whether there is one."""
    wishes, plan, runs = project.wishes, project.config.plan, trained(project.design[0])
    domains = project.available_tokens
    most = plan.runs or most_runs(len(domains))
    caps = list(map(float, domains.values()))
    limit = sequential_tokens(list(domains), project.base_tokens, most, wishes.proxy_tokens, caps)
    proposal = propose(
        fitted.of_domains(list(domains)),
        solution,
        project.base_tokens,
        min(wishes.batch or max(3, len(domains)), most - len(runs)),
        available=domains,
        most_tokens=limit - sum(sum(run.tokens.values()) for run in runs),
        runs_left=most - len(runs),
        threshold=wishes.threshold or THRESHOLD,
        seed=plan.seed,
    )
    project.note(proposal.reason)
    if proposal.mixtures:
        save_added(project.study, project.added.and_then(proposal.mixtures, proposal.reason))
    return bool(proposal.mixtures)


def _regret(project: Project, specs: list[RunSpec], noise_nats: float) -> list[float]:
    if not 2 <= len(domains := list(project.config.domains)) <= _DOMAINS_OF_A_CURVE:
        return []
    laws, mixtures = laws_for("transfer", domains, domains), [spec.tokens for spec in trained(specs)]
    known = Knowledge(laws, project.base_tokens, noise_nats=noise_nats)
    return regret_curve(known, mixtures, project.config.budget_tokens)


def _estimate(statuses: list[RunStatus], executor: ExecutorNode) -> float | None:
    from mixlaw.core.cores import usable_cores

    done = [s for s in statuses if s.wall_s is not None and s.tokens]
    if not done or (executor.kind == "ray" and executor.workers is None):  # what a cluster holds, it must be asked
        return None
    pace = sum(s.wall_s or 0.0 for s in done) / sum(s.tokens for s in done)
    left = sum(s.tokens for s in statuses if s.state != "done")
    return round(pace * left / (executor.workers or usable_cores()), 1)
