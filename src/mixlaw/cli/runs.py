"""What plan and status answer, and the tables behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixlaw.cli.answers import Fact, checks_facts, config_of, fitting, named
from mixlaw.cli.output import here, show_checks, table
from mixlaw.core.cost import percent
from mixlaw.core.durations import duration
from mixlaw.core.plurals import plural
from mixlaw.core.tokens import format_tokens
from mixlaw.study.status import RunStatuses


def plan_facts(plan: Any) -> list[Fact]:
    pending = sum(status.state != "done" for status in plan.statuses)
    left = f", about {duration(plan.estimated_s)}" if plan.estimated_s else ""
    sizes = [run.trained_tokens for run in plan.trained]
    facts = [("runs", f"{plural(len(sizes), 'run')}, {format_tokens(sum(sizes))} tokens; {pending} to train{left}")]
    if sizes:
        facts.append(("each", f"{format_tokens(min(sizes))} to {format_tokens(max(sizes))} tokens of {_of(plan)}"))
    if plan.curve is not None and plan.cost is not None:  # the figure of its own table
        by = "by the runs so far" if plan.curve.measured else "before any run"
        facts.append(("sure", f"expected regret {plan.curve.near(plan.cost.total.share).regret_nats:.2g} nats, {by}"))
    elif plan.regret_nats:
        scatter = f"runs scatter by {plan.noise_nats:.2g} ({'measured' if plan.noise_measured else 'assumed'})"
        facts.append(("sure", f"expected regret {plan.regret_nats[-1]:.2g} nats, if {scatter}"))
    return [*facts, ("cost", "" if plan.cost is None else str(plan.cost.total))]


def _of(plan: Any) -> str:
    return fitting([named(name) for name in plan.runs[0].tokens])


def plan_details(plan: Any) -> None:
    table(*plan.table()[:3])
    if plan.curve is not None:
        table(*plan.curve.table())
    elif plan.regret_nats:
        last = len(plan.trained)
        shown = sorted({0, *(round(last * part / 4) for part in (1, 2, 3, 4))})
        table(
            plan.regret_title,
            ["runs", "tokens", "nats"],
            [[str(n), format_tokens(plan.spent[n]) if n else "0", f"{plan.regret_nats[n]:.2g}"] for n in shown],
        )


def status_facts(statuses: list[Any], checks: list[Any], cost: Any) -> list[Fact]:
    failed = [f"{named(s.name)} ({s.reason})" for s in statuses if s.state == "failed"]
    running = [f"{named(s.name)} {_now(s)}" for s in statuses if s.state == "running"]
    facts = [("runs", RunStatuses(statuses).title or "none planned")]
    facts += [("failed", fitting(failed))] if failed else []
    facts += [("running", fitting(running))] if running else []
    return [*facts, *checks_facts(checks), ("cost", "" if cost is None else str(cost))]


def status_details(statuses: list[Any], checks: list[Any]) -> None:
    table(*states_table(statuses))
    show_checks(checks)


def _now(status: Any) -> str:
    """Return how far a running one has come."""
    text = ""
    if status.steps:
        text = f"step {status.step}/{status.steps}, loss {status.loss:.3f}, {duration(status.eta_s or 0)} left"
        for share, losses in list(status.along.items())[-1:]:
            text += f"; at {percent(float(share))}: " + ", ".join(f"{n} {x:.3f}" for n, x in losses.items())
    return ", ".join(filter(None, (text, status.where)))


def states_table(statuses: list[Any]) -> tuple[str, list[str], list[list[Any]]]:
    """Return title, columns and rows of the runs' states."""
    rows = []
    for s in statuses:
        detail = (_now(s) or s.reason) if s.state == "running" else s.reason
        rows.append(
            [s.name, s.state, format_tokens(s.tokens), duration(s.wall_s) if s.wall_s is not None else "", detail]
        )
    return RunStatuses(statuses).title, ["run", "state", "tokens", "took", "now"], rows


def after_status(config: Path, statuses: list[Any]) -> tuple[str, str]:
    """Return the command that comes next, and what to do before it."""
    yaml = config_of(config) or "mix.yaml"
    if any(status.state == "running" for status in statuses):
        return f"mixlaw status {here(config)} --watch", ""
    if any(status.state == "failed" for status in statuses):
        return f"mixlaw run {yaml} --retry-failed", "correct what made runs fail"
    return f"mixlaw run {yaml}", ""


def done(statuses: list[Any]) -> str:
    return f"{sum(status.state == 'done' for status in statuses)} of {plural(len(statuses), 'run')} done"
