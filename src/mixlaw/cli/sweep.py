"""Verbs that train: run, plan, train, status, cancel, demo."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from mixlaw.cli import options as opt
from mixlaw.cli.answers import mixture_facts, show_answer
from mixlaw.cli.ending import give_up_waiting
from mixlaw.cli.figures import solution_details
from mixlaw.cli.output import finish, grid_of, here, is_live, note, print_json, stdout, warn
from mixlaw.cli.progress import SweepLine
from mixlaw.cli.runs import after_status, done, plan_details, plan_facts, states_table, status_details, status_facts
from mixlaw.core.durations import duration

_SOME_FAILED = 3
_WATCH_EVERY_S = 2.0


def run(
    config: opt.ConfigFile,
    executor: opt.Executor = None,
    workers: opt.Workers = None,
    retry_failed: opt.RetryFailed = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Do the whole job: plan, train, fit, solve, write the training files and the report. Finished steps are kept.

    Examples:
        mixlaw run mix.yaml
        mixlaw run mix.yaml --workers 2 --retry-failed
    """
    _run(config, executor, workers, retry_failed, as_json, verbose)


def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; it is created if it does not exist.")] = Path(
        "mixlaw-demo"
    ),
    workers: opt.Workers = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Run the whole job on bundled data and a bundled tiny model: minutes on two cores.

    Examples:
        mixlaw demo
        mixlaw demo --out somewhere --workers 2
    """
    from mixlaw.api.files import example_config

    config = example_config(out, keep=True)
    if not as_json:
        note(f"{config}: three domains, a base model of 1M parameters, 8 proxy runs")
    _run(config, None, workers, False, as_json, verbose)


def _run(
    config: Path, executor: str | None, workers: int | None, retry_failed: bool, as_json: bool, verbose: bool
) -> None:
    from mixlaw.api.costs import spent_in
    from mixlaw.api.project import Project
    from mixlaw.api.sweep import run as run_study

    began = time.monotonic()
    project = Project.open(config, None if as_json else note)
    with SweepLine(as_json) as line:
        result = run_study(project, executor=executor, workers=workers, retry_failed=retry_failed, on_event=line)
    cost = spent_in(project.study)
    if as_json:
        print_json(
            {
                "runs": [status.to_json() for status in result.statuses],
                "fit": result.fit.summary(),
                "solution": result.solution.to_json(),
                "manifest": result.manifest,
                "written": result.written,
                "wall_s": round(time.monotonic() - began, 1),
                "cost": cost and cost.to_json(),
                "warnings": project.warnings,
            }
        )
    else:
        note(f"{done(result.statuses)}; {duration(time.monotonic() - began)}")
        show_answer(
            mixture_facts(result.fit, result.solution, "" if cost is None else f"{cost.spent} of the final run"),
            f"open {here(result.written['report.html'])}",
            warnings=result.solution.warnings,
            verbose=verbose,
            details=lambda: _run_details(result),
        )
    if result.failed:
        _show_failures(result.statuses, as_json)
        raise typer.Exit(_SOME_FAILED)


def _run_details(result: Any) -> None:
    solution_details(result.solution)
    finish(result.written, "")


def plan(config: opt.ConfigFile, verbose: opt.Verbose = False, as_json: opt.AsJson = False) -> None:
    """Show the proxy runs to do, with tokens and minutes; trains nothing.

    Examples:
        mixlaw plan mix.yaml
        mixlaw plan mix.yaml --json > runs.json
    """
    from mixlaw.api.sweep import plan as plan_runs

    result = plan_runs(config, None if as_json else note)
    if as_json:
        print_json(result.to_json())
        return
    show_answer(
        plan_facts(result),
        f"mixlaw run {here(config)}",
        verbose=verbose,
        details=lambda: plan_details(result),
    )
    for text in result.notes:
        note(text)


def train(
    config: opt.ConfigFile,
    executor: opt.Executor = None,
    workers: opt.Workers = None,
    retry_failed: opt.RetryFailed = False,
    keep_models: opt.KeepModels = False,
    as_json: opt.AsJson = False,
) -> None:
    """Train the planned runs that are missing.

    Examples:
        mixlaw train mix.yaml --workers 2
        mixlaw train mix.yaml --executor slurm
        mixlaw train mix.yaml --retry-failed
    """
    from mixlaw.api.project import Project
    from mixlaw.api.sweep import train as train_runs

    project = Project.open(config, None if as_json else note)
    with SweepLine(as_json) as line:
        statuses = train_runs(
            project,
            executor=executor,
            workers=workers,
            retry_failed=retry_failed,
            keep_models=keep_models,
            on_event=line,
        )
    if as_json:
        print_json({"runs": [status.to_json() for status in statuses], "warnings": project.warnings})
    else:
        note(done(statuses))
        finish({}, f"mixlaw run {here(config)}")
    if any(status.state == "failed" for status in statuses):
        _show_failures(statuses, as_json)
        raise typer.Exit(_SOME_FAILED)


def adopt(
    config: opt.ConfigFile,
    source: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="CSV or Parquet file with one row for each run, or hf:USER/NAME, wandb:ENTITY/PROJECT or "
            "mlflow:EXPERIMENT@URI.",
        ),
    ],
    run_column: Annotated[str, typer.Option(help="The column with the names of the planned runs.")] = "run",
    loss: Annotated[
        list[str] | None,
        typer.Option(
            help="domain=column: which column has the domain's validation loss, in nats per supervised token; default "
            "loss:<domain>."
        ),
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Read the results of planned runs that another program trained. If one is wrong, none is used.

    For the run list of a tracker, or an exported one, name the columns to read. Runs in a list
    that are not planned or not finished are skipped. ?group=NAME, ?tag=NAME and
    ?job_type=NAME select runs of a Weights & Biases project.

    Examples:
        mixlaw adopt mix.yaml results.csv
        mixlaw adopt mix.yaml hf:my-team/chat-study
        mixlaw adopt mix.yaml wandb.csv --run-column Name --loss code=eval/code_loss,math=eval/math_loss
        mixlaw adopt mix.yaml wandb:my-team/mixes --loss code=eval/code_loss,math=eval/math_loss
        mixlaw adopt mix.yaml mlflow:mixes@http://server:5000 --loss code=code_loss,math=math_loss
    """
    from mixlaw.api.adopt import adopt as take_over

    losses = opt.pairs(loss, "--loss", str)
    statuses = take_over(config, source, run_column=run_column, losses=losses, note=None if as_json else note)
    if as_json:
        print_json({"runs": [status.to_json() for status in statuses]})
    else:
        show_answer(status_facts(statuses, [], None), f"mixlaw run {here(config)}")


def status(
    config: Annotated[Path, typer.Argument(help="The mix.yaml or its study folder.", show_default=False)],
    watch: Annotated[
        bool, typer.Option("--watch", help="Update every two seconds until all runs are done; stop with Ctrl-C.")
    ] = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Show what is done, running, failed and why, and what is wrong with the data.

    Examples:
        mixlaw status mix.yaml
        mixlaw status mix.yaml --watch
    """
    from mixlaw.api.sweep import data_checks, spent
    from mixlaw.api.sweep import status as states
    from mixlaw.api.workers import workers_of

    statuses = states(config)
    if watch and not as_json and is_live(stdout()):
        statuses = _watch(lambda: states(config), statuses)
    elif watch:
        while not _settled(statuses):
            time.sleep(_WATCH_EVERY_S)
            statuses = states(config)
    checks, cost, clusters = data_checks(config), spent(config), workers_of(config)
    if as_json:
        facts = {key: value for workers in clusters for key, value in workers.facts.items()}
        data = [asdict(check) for check in checks]
        print_json(
            {
                "runs": [status.to_json() for status in statuses],
                "data_checks": data,
                "cost": cost and cost.to_json(),
                "workers": facts,
            }
        )
        return
    command, before = after_status(config, statuses)
    show_answer(
        status_facts(statuses, checks, cost),
        command,
        before=before,
        verbose=verbose,
        details=lambda: status_details(statuses, checks),
    )
    for text in (text for workers in clusters for text in workers.notes):
        note(text)


def cancel(
    config: Annotated[Path, typer.Argument(help="The mix.yaml or its study folder.", show_default=False)],
    as_json: opt.AsJson = False,
) -> None:
    """End a study's workers on Slurm, those that wait too. Finished runs stay; the others can be trained later.

    Examples:
        mixlaw cancel mix.yaml
    """
    from mixlaw.api.workers import cancel as end_workers

    ended = end_workers(config)
    if as_json:
        print_json({"cancelled": ended})
        return
    note(
        f"{ended} Slurm job{'' if ended == 1 else 's'} cancelled"
        if ended
        else "no Slurm job of the study waits or runs; nothing to cancel"
    )
    finish({}, f"mixlaw status {here(config)}")


def _watch(states: Callable[[], list[Any]], statuses: list[Any]) -> list[Any]:
    """Show the states in place until all runs are done or failed, or Ctrl-C; return the last ones."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(grid_of(*states_table(statuses)), console=stdout(), transient=True, auto_refresh=False) as live,
    ):
        while not _settled(statuses):
            time.sleep(_WATCH_EVERY_S)
            statuses = states()
            live.update(grid_of(*states_table(statuses)), refresh=True)
    give_up_waiting()  # Ctrl-C was the way out, and the last states come now
    return statuses


def _settled(statuses: list[Any]) -> bool:
    return all(status.state in ("done", "failed") for status in statuses)


def _show_failures(statuses: list[Any], as_json: bool) -> None:
    failed = [status for status in statuses if status.state == "failed"]
    if not as_json:
        warn(f"run '{status.name}' failed: {status.reason}" for status in failed)
        note("next: correct the cause, then run again with --retry-failed")
