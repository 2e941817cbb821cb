"""The answer in one sentence, with its interval, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixlaw.core.cost import percent as share_percent
from mixlaw.core.durations import duration
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import is_metric
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import Change, total_changes
from mixlaw.report.numbers import (
    digits_for,
    listed,
    percent,
    percent_interval,
    shortened,
    whole,
    whole_percents,
)
from mixlaw.solve.solution import Solution

_NAMED = 6
"""Domains that the sentence names; the others are counted."""

_BASELINES = {"equal": "equal weights", "natural": "your natural mix"}


def answer(fit: Fit, solution: Solution | None) -> tuple[str, list[str]]:
    """Return the answer: one sentence, and what else must be said beside it.

    Args:
        fit: the fit.
        solution: the solution, or None where no budget was asked for.
    """
    if solution is None:
        law = fit.law
        return (
            f"The law '{law}' is fitted to {fit.runs.counted}; no weights have been solved for yet.",
            ["Solve for the best weights at your budget: mixlaw solve fit.json --budget 20M"],
        )
    changes = total_changes(fit, solution)
    # What people would train otherwise, where that is known.
    first, *others = sorted(changes, key=lambda name: name != "natural")
    what = loss_name(solution)
    head = f"Train on {_shares(solution.weights)} at {format_tokens(solution.budget_tokens)} tokens: "
    sentence = head + _promise(changes[first], _BASELINES.get(first, first), what) + "."
    beside = [f"Against {_BASELINES.get(name, name)}: {_short(changes[name])}." for name in others]
    if any(change.has_interval for change in changes.values()):
        beside.append(f"Predicted from {fit.runs.counted}; all intervals are 90 % intervals.")
    else:
        beside.append(
            f"This way of fitting ('{fit.procedure}') gives no intervals, so it is not known how certain the "
            "figures are."
        )
    return sentence, beside


def loss_name(solution: Solution) -> str:
    """Return what is minimised: `total loss`, `medical loss` or `weighted loss`; with metrics, what is added up."""
    weights = {target: g for target, g in solution.target_weights.items() if g > 0}
    if len(weights) == 1:
        name = next(iter(weights))
        return f"distance of {name} from its best" if is_metric(name) else f"{name} loss"
    if any(map(is_metric, weights)):
        return "sum of losses and metrics" if not all(map(is_metric, weights)) else "sum of metrics"
    return "total loss" if len(set(weights.values())) <= 1 else "weighted loss"


def _shares(weights: Mapping[str, float]) -> str:
    whole_numbers = whole_percents(weights)
    order = sorted((d for d in weights if whole_numbers[d] > 0), key=lambda d: -weights[d])
    named = order if len(order) <= _NAMED else order[: _NAMED - 1]
    parts = [f"{whole_numbers[domain]} % {domain}" for domain in named]
    if left := [domain for domain in order if domain not in named]:
        parts.append(f"{sum(whole_numbers[d] for d in left)} % in {len(left)} others")
    return listed(parts)


def _promise(change: Change, baseline: str, what: str) -> str:
    digits = digits_for(change.mean, change.low, change.high)
    size = percent(abs(change.mean), digits)
    if change.sure and change.mean < 0:
        interval = percent_interval(-change.high, -change.low, digits).removesuffix(" %")
        return f"{what} {size} ({interval}) below {baseline}"
    if change.sure:
        interval = percent_interval(change.low, change.high, digits).removesuffix(" %")
        return f"{what} {size} ({interval}) above {baseline}"
    side = "below" if change.mean < 0 else "above"
    if not change.has_interval:
        if abs(change.mean) < 5e-7:
            return f"{what} the same as with {baseline}"
        return f"{what} {size} {side} {baseline}, interval unknown"
    interval = percent_interval(change.low, change.high, digits, True)
    return f"{what} {size} {side} {baseline}, but the runs allow anything from {interval}, so no gain is shown"


def _short(change: Change) -> str:
    side = "below" if change.mean < 0 else "above"
    digits = digits_for(change.mean, change.low, change.high)
    text = f"{percent(abs(change.mean), digits)} {side}"
    if change.sure:
        near, far = sorted((abs(change.low), abs(change.high)))
        return f"{text} ({percent_interval(near, far, digits).removesuffix(' %')})"
    if change.has_interval:
        interval = percent_interval(change.low, change.high, digits, True)
        return f"{text}, but the runs allow anything from {interval}, so no gain is shown"
    return text


def cost(runs: RunTable, study: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the answer cost: `runs` that were trained, their `tokens`, and where the study says it, `wall_s` or
    `train_wall_s`.

    As well `share_of_final_run`, failed runs included, and `share_of_failed_runs`.
    """
    trained_R = ~runs.merged_R & ~runs.point_R & (runs.totals_R > 0)
    value: dict[str, Any] = {"runs": int(trained_R.sum()), "tokens": float(runs.totals_R[trained_R].sum())}
    times = {key: float((study or {}).get(key) or 0) for key in ("wall_s", "train_wall_s")}
    if priced := (study or {}).get("cost"):
        shares = [priced[part]["share_of_final_run"] for part in ("done", "failed")]
        value["share_of_final_run"], value["share_of_failed_runs"] = sum(shares), shares[1]
    return value | {key: seconds for key, seconds in times.items() if seconds > 0}


def facts(fit: Fit, runs: RunTable, solution: Solution | None, study: Mapping[str, Any] | None) -> list[tuple]:
    """Return the few figures under the answer, (name, value)."""
    spent = cost(runs, study)
    found = [("Proxy runs", whole(spent["runs"])), ("Tokens trained on", format_tokens(spent["tokens"]))]
    if "share_of_final_run" in spent:
        found.append(("Cost", f"{share_percent(spent['share_of_final_run'])} of the final run"))
    if "wall_s" in spent:
        found.append(("Wall time", duration(spent["wall_s"])))
    elif "train_wall_s" in spent:
        found.append(("Training time, all runs", duration(spent["train_wall_s"])))
    if solution:
        found.append(("Budget", format_tokens(solution.budget_tokens)))
    found.append(("Law", f"{fit.law}, {fit.procedure.replace('_', ' ')} fit"))
    if study and study.get("model"):
        found.append(("Base model", shortened(str(study["model"]), 32)))
    return found
