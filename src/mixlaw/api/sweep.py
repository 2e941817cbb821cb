"""Verbs that train: plan, train, status, run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixlaw.api.changed_settings import runs_lost
from mixlaw.api.cost_curve import cost_curve
from mixlaw.api.costs import Spent, save_prices, spent_in, spent_of
from mixlaw.api.data_health import checks_of_study
from mixlaw.api.executor import require_cluster, require_extras, require_options_fit, train_pending
from mixlaw.api.files import example_config, report
from mixlaw.api.fitting import fit_and_solve
from mixlaw.api.merged import trained
from mixlaw.api.minutes import seconds_left, worth_a_probe
from mixlaw.api.mixture import mix
from mixlaw.api.noise import measured_noise
from mixlaw.api.plan import Plan
from mixlaw.api.project import Note, Project
from mixlaw.api.sequential import extend
from mixlaw.api.tracked import solution_values
from mixlaw.api.workers import study_of, workers_of
from mixlaw.core.durations import duration
from mixlaw.core.errors import FitError
from mixlaw.core.notebook import html_table
from mixlaw.core.run import RunSpec
from mixlaw.design.decision import regret_curve
from mixlaw.design.information import NOISE_NATS
from mixlaw.design.knowledge import Knowledge, laws_for
from mixlaw.fit import Fit
from mixlaw.report.verdicts import Check
from mixlaw.solve import Solution
from mixlaw.study.alone import alone
from mixlaw.study.failures import failure_list, too_many_failed
from mixlaw.study.status import RunEvent, RunStatus, RunStatuses
from mixlaw.study.together import sentence

_DOMAINS_OF_A_CURVE = 40
"""With more domains the expected regret of a plan takes longer than planning should."""

OnEvent = Callable[[RunEvent], None]


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

    Before the first run a probe of under 30 s tells how long all will take, where they are trained on this machine; not
    with `plan: {probe: false}`.

    Raises:
        ConfigError, DataError, DesignError, StudyError: a problem of mix.yaml, the data, the plan or the study folder.
    """
    project = Project.open(config, note)
    require_options_fit(project)
    return _plan(project, lambda specs: True)


def _plan(project: Project, ask: Callable[[list[RunSpec]], bool]) -> Plan:
    """Plan; `ask` says whether a probe may be taken."""
    specs, notes = project.planned
    if lost := runs_lost(project, specs):
        project.warn(lost)
    project.write_inputs()
    save_prices(project)
    project.study.save_plan(specs)
    statuses = project.study.status(specs)
    if project.config.executor.kind == "local" and (said := sentence(project.study)):
        notes = [*notes, said]
    measured = measured_noise(project.study)
    noise = NOISE_NATS if measured is None else measured
    left_s, regret = seconds_left(project, specs, statuses, ask(specs)), _regret(project, specs, noise)
    cost, curve = spent_of(project.prices, project.study, statuses), cost_curve(project)
    return Plan(specs, statuses, notes, left_s, regret, noise, measured is not None, cost, curve)


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
    executor is the configuration's, or `local`, `ray` or `slurm` where it is given.

    Raises:
        ConfigError, DataError, DesignError, StudyError, MissingExtra: see `check` and `plan`. A failed run is no error.
    """
    project = Project.open(config, note)
    require_extras(project, executor)
    require_cluster(project, executor)
    planned = _plan(project, lambda specs: worth_a_probe(project, specs))
    specs = planned.runs
    if planned.estimated_s:
        project.note(f"training: about {duration(planned.estimated_s)}")
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
    """Return the states of a study's planned runs, and which Slurm job trains each; needs no tokenizer and no model.

    Args:
        config: a mix.yaml or a study folder.
    """
    where = {run: place for workers in workers_of(config) for run, place in workers.of_run.items()}
    return RunStatuses(replace(s, where=where.get(s.name, "")) for s in study_of(config).status())


def spent(config: str | Path) -> Spent | None:
    """Return what a study's runs cost, as a share of the final run; None before they were planned.

    Args:
        config: a mix.yaml or a study folder.
    """
    return spent_in(study_of(config))


def data_checks(config: str | Path) -> list[Check]:
    """Return the checks of a study's data as it was when the runs were planned; none before that.

    Args:
        config: a mix.yaml or a study folder.
    """
    return checks_of_study(study_of(config))


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
            sequential = project.is_sequential
            if sequential and len(project.planned[0]) > len(statuses):
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


def _regret(project: Project, specs: list[RunSpec], noise_nats: float) -> list[float]:
    if not 2 <= len(domains := list(project.config.domains)) <= _DOMAINS_OF_A_CURVE:
        return []
    laws, mixtures = laws_for("transfer", domains, domains), [spec.tokens for spec in trained(specs)]
    knowledge = Knowledge(laws, project.base_tokens, noise_nats=noise_nats)
    return regret_curve(knowledge, mixtures, project.config.budget_tokens)
