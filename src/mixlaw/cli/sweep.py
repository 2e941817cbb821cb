"""Verbs that train: run, plan, train, status, demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import options as opt
from mixlaw.cli.numbers import show_solution
from mixlaw.cli.output import finish, note, print_json, stderr, table, warn
from mixlaw.cli.progress import SweepLine, duration
from mixlaw.core.tokens import format_tokens

_SOME_FAILED = 3


def run(
    config: opt.ConfigFile,
    workers: opt.Workers = None,
    retry_failed: opt.RetryFailed = False,
    as_json: opt.AsJson = False,
) -> None:
    """Do the whole job: plan, train, fit, solve, write the training files and the report. Does only what is missing.

    Example: mixlaw run mix.yaml
    """
    _run(config, workers, retry_failed, as_json)


def demo(
    out: Annotated[Path, typer.Option(help="The folder to work in; made when missing.")] = Path("mixlaw-demo"),
    workers: opt.Workers = None,
    as_json: opt.AsJson = False,
) -> None:
    """Run the whole job on bundled data and a bundled tiny model: minutes on two cores.

    Example: mixlaw demo
    """
    from mixlaw.api.files import example_config

    config = example_config(out, keep=True)
    if not as_json:
        note(f"{config}: three domains, a base model of 1M parameters, 13 proxy runs")
    _run(config, workers, False, as_json)


def _run(config: Path, workers: int | None, retry_failed: bool, as_json: bool) -> None:
    from mixlaw.api.sweep import run as run_study

    began = time.monotonic()
    say = (lambda text: None) if as_json else note
    with SweepLine(as_json) as line:
        result = run_study(config, workers=workers, retry_failed=retry_failed, on_event=line, note=say)
    if as_json:
        print_json(
            {
                "runs": [status.to_json() for status in result.statuses],
                "fit": result.fit.summary(),
                "solution": result.solution.to_json(),
                "manifest": result.manifest,
                "written": result.written,
                "wall_s": round(time.monotonic() - began, 1),
            }
        )
    else:
        show_solution(result.solution)
        took = duration(time.monotonic() - began)
        note(f"{len(result.statuses) - len(result.failed)} of {len(result.statuses)} runs done; {took}")
        report = result.written["report.html"]
        finish(result.written, f"open {report}, then train on the files in {result.written['mixture']}")
    if result.failed:
        _show_failures(result.statuses, as_json)
        raise typer.Exit(_SOME_FAILED)


def plan(config: opt.ConfigFile, as_json: opt.AsJson = False) -> None:
    """Show the proxy runs to do, with their tokens; trains nothing.

    Example: mixlaw plan mix.yaml
    """
    from mixlaw.api.sweep import plan as plan_runs

    result = plan_runs(config, None if as_json else note)
    if as_json:
        print_json(result.to_json())
        return
    domains = list(result.runs[0].tokens)
    rows: list[list[Any]] = []
    for spec, status in zip(result.runs, result.statuses, strict=True):
        rows.append(
            [spec.name, *(format_tokens(spec.tokens[d]) for d in domains), format_tokens(status.tokens), status.state]
        )
    total = format_tokens(sum(status.tokens for status in result.statuses))
    table(f"{len(rows)} runs, {total} training tokens", ["run", *domains, "total", "state"], rows)
    if result.regret_nats:
        last = len(result.runs)
        shown = sorted({0, *(round(last * part / 4) for part in (1, 2, 3, 4))})
        table(
            "Expected regret at the budget, before any run is trained",
            ["runs", "tokens", "nats"],
            [[str(n), format_tokens(result.spent[n]) if n else "0", f"{result.regret_nats[n]:.2g}"] for n in shown],
        )
    for text in result.notes:
        note(text)
    if result.estimated_s:
        note(f"about {duration(result.estimated_s)} left")
    finish({}, f"mixlaw run {config}")


def train(
    config: opt.ConfigFile,
    workers: opt.Workers = None,
    retry_failed: opt.RetryFailed = False,
    keep_models: opt.KeepModels = False,
    as_json: opt.AsJson = False,
) -> None:
    """Train the planned runs that are missing.

    Example: mixlaw train mix.yaml --workers 2
    """
    from mixlaw.api.sweep import train as train_runs

    say = (lambda text: None) if as_json else note
    with SweepLine(as_json) as line:
        statuses = train_runs(
            config, workers=workers, retry_failed=retry_failed, keep_models=keep_models, on_event=line, note=say
        )
    if as_json:
        print_json({"runs": [status.to_json() for status in statuses]})
    else:
        done = sum(status.state == "done" for status in statuses)
        note(f"{done} of {len(statuses)} runs done")
        finish({}, f"mixlaw run {config}")
    if any(status.state == "failed" for status in statuses):
        _show_failures(statuses, as_json)
        raise typer.Exit(_SOME_FAILED)


def adopt(
    config: opt.ConfigFile,
    table_file: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet, one row a run.")],
    run_column: Annotated[str, typer.Option(help="The column with the planned runs' names.")] = "run",
    loss: Annotated[
        list[str] | None,
        typer.Option(help="domain=column with its validation loss, nats a token; default loss:<domain>."),
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Take over the results of planned runs that another program trained; all of them or none.

    Run lists exported from Weights & Biases or MLflow will do: say which columns to read.

    Example: mixlaw adopt mix.yaml wandb.csv --run-column Name --loss code=eval/code_loss,math=eval/math_loss
    """
    from mixlaw.api.adopt import adopt as take_over

    losses = opt.pairs(loss, "--loss", str)
    statuses = take_over(config, table_file, run_column=run_column, losses=losses, note=None if as_json else note)
    if as_json:
        print_json({"runs": [status.to_json() for status in statuses]})
    else:
        finish({}, f"mixlaw run {config}")


def status(
    config: Annotated[Path, typer.Argument(help="The mix.yaml or its study folder.", show_default=False)],
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds until all is done.")] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Show what is done, running, failed and why.

    Example: mixlaw status mix.yaml --watch
    """
    from mixlaw.api.sweep import status as states

    while True:
        statuses = states(config)
        if as_json:
            print_json({"runs": [status.to_json() for status in statuses]})
            return
        _show_states(statuses)
        if not watch or all(s.state in ("done", "failed") for s in statuses):
            return
        time.sleep(2)


def _show_states(statuses: list[Any]) -> None:
    rows = []
    for s in statuses:
        detail = s.reason
        if s.state == "running" and s.steps:
            detail = f"step {s.step}/{s.steps}, loss {s.loss:.3f}, {duration(s.eta_s or 0)} left"
        rows.append(
            [s.name, s.state, format_tokens(s.tokens), duration(s.wall_s) if s.wall_s is not None else "", detail]
        )
    counts = {state: sum(s.state == state for s in statuses) for state in ("done", "running", "pending", "failed")}
    title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    table(title, ["run", "state", "tokens", "took", ""], rows)


def _show_failures(statuses: list[Any], as_json: bool) -> None:
    failed = [status for status in statuses if status.state == "failed"]
    if not as_json:
        warn(f"run '{status.name}' failed: {status.reason}" for status in failed)
        stderr().print("next: mend the cause, then say --retry-failed", style="dim")
