"""The answer of a verb in at most five lines of 80 columns, from which `--verbose` leads to all tables.

A fact is a label with a text: the weights, who gains, who loses, how sure that is, what it cost, what comes next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlaw.cli.output import LABEL, finish, labelled, near, stdout, warn
from mixlaw.core.percents import probability as chance
from mixlaw.core.plurals import plural
from mixlaw.core.target_units import is_metric
from mixlaw.core.tokens import format_tokens

if TYPE_CHECKING:
    from mixlaw.fit import Fit
    from mixlaw.solve import Solution

Fact = tuple[str, str]
"""Label and text."""

LINES, COLUMNS = 5, 80
"""Of an answer."""

_NAME = 18
"""Characters of a name in a line with others; a longer one is cut in its middle."""

_LARGEST_CHANGE = math.log(1000)
"""Nats: a perplexity that changes a thousandfold and more is not shown in per cent."""

_COST = "cost"
"""The label of the fact that is left out first where the lines are too many."""


def show_answer(
    facts: Sequence[Fact],
    next_step: str,
    *,
    before: str = "",
    written: Mapping[str, Any] | None = None,
    warnings: Iterable[str] = (),
    verbose: bool = False,
    details: Callable[[], None] | None = None,
) -> None:
    """Print the answer, then the warnings.

    Args:
        facts: in their order.
        next_step: the command that comes next.
        before: what to do before it, in words.
        written: what -> path: files that the user has asked for.
        warnings: sentences.
        verbose: whether the details follow, and no line is left out.
        details: prints them.
    """
    console = stdout()
    own = {"wrote": ", ".join(near(path) for path in (written or {}).values())} if written else {}
    lines = [(label, text) for label, text in (*facts, *own.items()) if text]
    beside = None
    if not verbose and (not console.is_terminal or console.width >= COLUMNS):
        lines, beside = _few(lines, next_step, before)
    for label, text in lines:
        labelled(console, label, text, "green" if label == "wrote" else "bold")
    if details and verbose:
        details()
    finish({}, next_step, before, beside)
    warn(warnings)


def _few(lines: list[Fact], next_step: str, before: str) -> tuple[list[Fact], Fact | None]:
    """Return the lines, joined and left out until they are few enough, and a fact that stands beside the command."""
    most = LINES - bool(next_step or before)
    cheap = [line for line in lines if line[0] != _COST]
    found: tuple[list[Fact], Fact | None] = (lines, None)
    for kept in (lines, cheap):  # what it cost is left out before anything else is
        beside = [line for line in kept if line[0] in (_COST, "wrote") and _fits(line, ("next", next_step))]
        for one in (None, *(beside if next_step and not before else [])):
            found = _together([line for line in kept if line is not one], most), one
            if len(found[0]) <= most:
                return found
    return found


def _together(lines: list[Fact], most: int) -> list[Fact]:
    """Return the lines, neighbours that fit into one line joined until there are few enough."""
    lines = list(lines)
    while len(lines) > most and (pairs := [i for i in range(len(lines) - 1) if _fits(lines[i], lines[i + 1])]):
        i = pairs[-1]
        lines[i : i + 2] = [(lines[i][0], _joined(lines[i], lines[i + 1]))]
    return lines


def _fits(first: Fact, second: Fact) -> bool:
    return LABEL + len(_joined(first, second)) <= COLUMNS


def _joined(first: Fact, second: Fact) -> str:
    return f"{first[1]}; {second[0]}: {second[1]}"


def fitting(items: Iterable[str], before: str = "", after: str = "") -> str:
    """Return as many items as fit into a line of an answer, and how many there are besides."""
    items = list(items)
    for count in range(len(items), 0, -1):
        more = f" and {len(items) - count} more" if count < len(items) else ""
        text = f"{before}{', '.join(items[:count])}{more}{after}"
        if len(text) + LABEL <= COLUMNS or count == 1:
            return text
    return f"{before}none{after}"


def packed(label: str, items: Sequence[str], most: int) -> list[Fact]:
    """Return items in at most so many lines; the last says how many are left out."""
    lines: list[str] = []
    for i, item in enumerate(items):
        left = len(items) - i - 1
        text = f"{lines[-1]}, {item}" if lines else item
        more = f" and {left} more" if left and len(lines) == most else ""
        if lines and len(text + more) + LABEL <= COLUMNS:
            lines[-1] = text
        elif len(lines) < most:
            lines.append(item)
        else:
            lines[-1] += f" and {left + 1} more"
            break
    return [("" if i else label, line) for i, line in enumerate(lines)]


def named(name: str) -> str:
    """Return a name as short as a line with others needs it."""
    from mixlaw.report.numbers import shortened

    return shortened(name, _NAME)


def mixture_facts(fit: Fit, solution: Solution, cost: str = "") -> list[Fact]:
    """Return the answer of `solve` and `run`.

    Args:
        fit: the fit.
        solution: its best mixture.
        cost: what the runs cost; empty for their tokens beside the budget.
    """
    against = "natural" if "natural" in solution.baselines else "equal"
    shares = sorted(solution.weights.items(), key=lambda pair: -pair[1])
    weights = [f"{100 * share:.1f} % {named(name)}" for name, share in shares if share >= 5e-4]
    facts = [("weights", fitting(weights, after=f" of {format_tokens(solution.budget_tokens)} tokens"))]
    if against in solution.baselines:
        facts += _who(fit, solution, against)
        facts.append(("sure", _sure(fit, solution, against)))
    return [*facts, (_COST, cost or runs_cost(fit, solution.budget_tokens))]


def _who(fit: Fit, solution: Solution, against: str) -> list[Fact]:
    from mixlaw.report.comparison import target_changes

    other = solution.baselines[against]["predicted"]
    nats = {t: solution.predicted[t]["mean"] - other[t]["mean"] for t in solution.predicted}
    changes = target_changes(fit, solution, against)["recommended"]
    unsure = {t for t, change in changes.items() if change.has_interval and not change.sure}
    return who(nats, unsure, against)


def who(nats: Mapping[str, float], unsure: set[str], against: str) -> list[Fact]:
    """Return who gains and who loses against a mixture.

    Args:
        nats: target -> by how much its loss changes.
        unsure: targets whose change may have the other sign.
        against: the name of the mixture.
    """
    ranked = sorted((target for target, d in nats.items() if d), key=lambda target: -abs(nats[target]))
    signs = {"gains": -1, "loses": 1}
    groups = {label: [t for t in ranked if nats[t] * sign > 0] for label, sign in signs.items()}
    facts = []
    for label, targets in groups.items():
        if not targets:
            facts.append((label, "none"))
            continue
        first = not any(text != "none" for _, text in facts)
        before = f"{_compared(targets)} vs {against}: " if first else ""
        for detail in (" nats", "", None):  # as much of each as there is room for all
            items = [
                _change(t, nats[t], t in unsure, detail if not i else detail and "") for i, t in enumerate(targets)
            ]
            if LABEL + len(before + ", ".join(items)) <= COLUMNS:
                break
        facts.append((label, fitting(items, before)))
    return facts


def _compared(targets: Sequence[str]) -> str:
    """Return what a line compares; beside losses, a metric's own name says that its change is no perplexity."""
    return "distance from the best" if all(map(is_metric, targets)) else "perplexity"


def _change(target: str, nats: float, unsure: bool, unit: str | None) -> str:
    """Return `code -1.6 % (-0.016 nats)`, or without the nats; a metric, which is no loss in nats, has its change."""
    if is_metric(target):
        return f"{named(target)} {nats:+.3g}{' (unsure)' if unsure else ''}"
    if nats > _LARGEST_CHANGE:
        return f"{named(target)} {nats:+.3g} nats"
    percent = 100 * math.expm1(nats)
    text = f"{named(target)} {percent:+.{1 if abs(percent) >= 1 else 2}f} %"
    if unsure:
        return f"{text} (unsure)"
    return text if unit is None else f"{text} ({nats:+.2g}{unit})"


def _sure(fit: Fit, solution: Solution, against: str) -> str:
    from mixlaw.report.answer import loss_name
    from mixlaw.report.comparison import total_changes
    from mixlaw.report.numbers import digits_for

    baseline = solution.baselines[against]
    change = total_changes(fit, solution)[against]
    if "probability_better" not in baseline or not change.has_interval:
        return f"not known: a fit by '{fit.procedure}' has no intervals"
    probability = f"{chance(baseline['probability_better'])} likely better than {against}"
    if solution.objective == "max":
        return f"{probability} for the worst target"
    d = digits_for(change.mean, change.low, change.high)
    ends = f"{100 * change.low:+.{d}f} to {100 * change.high:+.{d}f}"
    return f"{probability}: {loss_name(solution)} {100 * change.mean:+.{d}f} % ({ends})"


def runs_cost(fit: Fit, budget: float = 0.0) -> str:
    """Return how many runs a fit rests on and their tokens, beside a budget."""
    from mixlaw.core.cost import percent
    from mixlaw.report.answer import cost

    spent = cost(fit.runs, None)
    text = f"{plural(spent['runs'], 'run')} of {format_tokens(spent['tokens'])} tokens in all"
    return f"{text}, {percent(spent['tokens'] / budget)} of the budget" if budget else text


def checks_facts(checks: Sequence[Any]) -> list[Fact]:
    """Return the checks of the data that are no PASS, by name, and how many there are in all."""
    found = [f"{check.status} {check.name}" for check in checks if check.status != "PASS"]
    passed = f"{len(checks) - len(found)} of {len(checks)} checks passed"
    return [("data", fitting(found, f"{passed}: ") if found else f"all {len(checks)} checks passed")] if checks else []


def config_of(source: Path) -> str:
    """Return the mix.yaml that a file or folder of a study belongs to, as it is reached from here; else empty."""
    from mixlaw.study.origin import origin_of

    if source.suffix in (".yaml", ".yml"):
        return near(source)
    found = origin_of(source if source.is_dir() else source.parent)
    if found is not None:
        return near(found)
    return "mix.yaml" if Path("mix.yaml").is_file() else ""
