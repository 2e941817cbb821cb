"""The report's tables as values, which the page and the Markdown file each draw in their own way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.percents import probability
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import differences_in, is_metric, losses_in, perplexity_of
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit, TargetFit
from mixlaw.report.comparison import Change, intervals, target_changes, total_changes
from mixlaw.report.figures import in_order
from mixlaw.report.health import Check
from mixlaw.report.numbers import MISSING, digits_for, nats, percent, percent_interval, perplexity, significant, whole
from mixlaw.solve.solution import Solution

_SHOWN_ABOVE = (
    "wall_s", "train_wall_s", "model", "budget_tokens", "proxy_tokens", "runs_done", "runs_failed",
)  # fmt: skip

_AGAINST = {"": "its limit", "base": "base model", "your": "your mixture"}
"""What a limit compares with, where that is not the name of a mixture."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        note: smaller text under it (an interval, say).
        series: colour class of a swatch before the text.
        status: `pass`, `warn` or `fail`: the text is a badge.
        tone: class of the cell's background.
        id: anchor of the row that the cell heads.
        link: where the text leads: a relative address.
    """

    text: str
    note: str = ""
    series: str = ""
    status: str = ""
    tone: str = ""
    id: str = ""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column heads the rows.

    Attributes:
        caption: what it shows.
        columns: (name, whether its cells are numbers).
        rows: cells.
        tall: whether it may be long, so that it scrolls in a box.
    """

    caption: str
    columns: list[tuple[str, bool]]
    rows: list[list[Cell]]
    tall: bool = False


def _numbers(*names: str) -> list[tuple[str, bool]]:
    return [(name, True) for name in names]


def weights_table(solution: Solution, series: Mapping[str, str]) -> Table:
    """Return share, tokens and epochs of every domain, beside the baselines' shares."""
    baselines = list(solution.baselines)
    columns = [("Domain", False), *_numbers("Share", "Tokens"), *([("Epochs", True)] if solution.epochs else [])]
    rows = []
    for domain in in_order(solution.weights):
        share = solution.weights[domain]
        row = [Cell(domain, series=series[domain]), Cell(percent(share)), Cell(whole(solution.tokens[domain]))]
        if solution.epochs:
            row.append(Cell(_epochs(solution.epochs.get(domain))))
        for name in baselines:
            other = solution.baselines[name]
            passes = other.get("epochs", {}).get(domain)
            note = f"{_epochs(passes)} epochs" if passes and len(solution.weights) <= 8 else ""
            row.append(Cell(percent(other["weights"][domain]), note))
        rows.append(row)
    caption = f"Recommended mixture of {whole(solution.budget_tokens)} training tokens, and the baselines' shares"
    return Table(caption, columns + _numbers(*(name.capitalize() for name in baselines)), rows)


def _epochs(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def losses_table(fit: Fit, solution: Solution) -> Table:
    """Return the predicted loss of every target with its band, nats, and its change from equal and the base model."""
    mixtures = _mixtures(solution)
    changes = target_changes(fit, solution)["recommended"] if "equal" in solution.baselines else {}
    rows = []
    for target in fit.targets:
        row = [Cell(target)]
        for predicted in mixtures.values():
            p = predicted[target]
            row.append(Cell(nats(p["mean"]), f"{nats(p['mean_low'])} to {nats(p['mean_high'])}"))
        row += [_change(changes[target])] if changes else []
        rows.append([*row, *(_against_base(solution, target) if solution.base else [])])
    g = solution.target_weights
    totals = [sum(g.get(t, 1.0) * p[t]["mean"] for t in fit.targets) for p in mixtures.values()]
    last = [Cell("total" if len({*g.values()}) <= 1 else "weighted total"), *(Cell(nats(total)) for total in totals)]
    last += [_change(total_changes(fit, solution)["equal"])] if changes else []
    last += [Cell("")] * (2 if solution.base else 0)
    columns = [("Target", False), *_numbers(*mixtures), *_numbers(*(["Change from equal"] if changes else []))]
    columns += _numbers("Base model", "Change from the base model") if solution.base else []
    return Table(f"Predicted loss, {losses_in(fit.targets)}, with the law's 90 % band", columns, [*rows, last])


def perplexity_table(fit: Fit, solution: Solution) -> Table:
    """Return every target's perplexity, the exponential of its predicted loss, and their mean over the targets.

    Metrics have none. The mean is weighted as the objective is, and is the measure of the paper's own tables. Source:
    Li, Liu and Xing 2025, arXiv 2508.11953, section 4.
    """
    mixtures, targets = _mixtures(solution), [t for t in fit.targets if not is_metric(t)]
    losses = {name: {t: p[t]["mean"] for t in targets} for name, p in mixtures.items()}
    if solution.base:
        losses["Base model"] = {t: solution.base.get(t, math.nan) for t in targets}
    rows = [[Cell(t), *(Cell(perplexity(of[t])) for of in losses.values())] for t in targets]
    means = [mean_perplexity(of, solution.target_weights) for of in losses.values()]
    rows.append([Cell("mean"), *(Cell(significant(mean, 4)) for mean in means)])
    return Table("Predicted perplexity, and its mean over the targets", [("Target", False), *_numbers(*losses)], rows)


def mean_perplexity(losses: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the mean over targets of exp(loss), weighted by g_j; NaN where it is not a number that can be shown."""
    shares = {target: weights.get(target, 1.0) for target in losses}
    used = {target: g for target, g in shares.items() if g > 0}
    return (
        sum(g * perplexity_of(losses[target]) for target, g in used.items()) / sum(used.values()) if used else math.nan
    )


def _mixtures(solution: Solution) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """Return name -> target -> predicted, the recommended mixture first."""
    others = {name.capitalize(): baseline["predicted"] for name, baseline in solution.baselines.items()}
    return {"Recommended": solution.predicted} | others


def _against_base(solution: Solution, target: str) -> list[Cell]:
    change = solution.change_from_base.get(target)
    if change is None:
        return [Cell(MISSING), Cell(MISSING)]
    return [Cell(nats(solution.base[target])), Cell(percent(change / 100, 1, True))]


def _change(change: Change) -> Cell:
    digits = digits_for(change.mean, change.low, change.high)
    note = percent_interval(change.low, change.high, digits, True) if change.has_interval else ""
    return Cell(percent(change.mean, digits, True), note)


def regret_table(solution: Solution) -> Table:
    """Return what each mixture is expected to lose against the best one, over the draws of the law's parameters."""
    rows = [[Cell("recommended"), *_regret(solution.expected_regret), Cell("")]]
    for name, baseline in solution.baselines.items():
        if "regret" in baseline:
            rows.append([Cell(name), *_regret(baseline["regret"]), Cell(probability(baseline["probability_better"]))])
    columns = [("Mixture", False), *_numbers(f"Expected, {solution.unit}", f"95th percentile, {solution.unit}")]
    return Table(
        "Regret: how far the loss is above that of the best mixture",
        [*columns, *_numbers("The recommended one is better")],
        rows,
    )


def limits_table(solution: Solution) -> Table:
    """Return how the expected losses stand to the limits that were asked for, and how surely these hold."""
    rows = []
    for limit in solution.limits:
        chance = limit["probability_kept"]
        cells = [Cell(limit["target"]), Cell(_AGAINST.get(against := limit["reference"] or "", against))]
        cells += [Cell(percent(limit[key] / 100, 1, True)) for key in ("limit_percent", "predicted_percent")]
        rows.append([*cells, Cell(MISSING if chance is None else probability(chance))])
    columns = [("Target", False), ("Against", False), *_numbers("At most", "Expected", "Kept with a probability of")]
    return Table("Limits: how far a loss may lie above another, and how sure that is", columns, rows)


def _regret(regret: Mapping[str, float]) -> tuple[Cell, Cell]:
    return Cell(significant(regret["mean"], 2)), Cell(significant(regret["p95"], 2))


def marginal_table(solution: Solution) -> Table:
    """Return what more tokens of each domain would be worth, with its interval where the fit has one."""
    (size, step), rows = solution.further(), []
    for domain in sorted(solution.marginal, key=lambda domain: -solution.marginal[domain]):
        ends = solution.marginal_interval.get(domain)
        note = f"{significant(size * ends['low'], 2)} to {significant(size * ends['high'], 2)}" if ends else ""
        share = percent(size * ends["percent"] / 100, 2) if ends else ""
        rows.append([Cell(domain), Cell(significant(size * solution.marginal[domain]), note), Cell(share)])
    return Table(
        f"How much the minimised loss falls with a further {step} tokens, with 90 % interval",
        [("Domain", False), *_numbers(f"{solution.unit.capitalize()} per {step} tokens", "Share of that loss")],
        rows,
    )


def path_table(path: list[Solution]) -> Table:
    """Return the best shares at every budget of the path."""
    columns = [("Budget", False), *_numbers(*path[0].weights)]
    rows = [[Cell(format_tokens(s.budget_tokens)), *(Cell(percent(w)) for w in s.weights.values())] for s in path]
    return Table("Best share of every domain at each budget", columns, rows)


def parameters_table(fit: Fit) -> Table:
    """Return the parameters with 90 % intervals, noise, errors on held-out runs and the status of each target."""
    ends = intervals(fit)
    curve = next(iter(fit.targets.values())).curve
    sized = [name for name in curve.names if name not in {parameter.name for parameter in curve.law.parameters}]
    names = [*fit.curve_parameters, *sized]
    rows = []
    for target, fitted in fit.targets.items():
        row = [Cell(target), *(_parameter(fitted, name, ends[target]) for name in names)]
        row += [
            Cell(significant(fitted.noise_nats, 2)),
            Cell(percent(fitted.cv_mre, 2), f"mean: {percent(fitted.cv_mre_mean, 2)}"),
            Cell(significant(fitted.cv_spearman, 2)),
            Cell(fitted.status.replace("_", " ")),
        ]
        rows.append(row)
    unit = differences_in(fit.targets)
    numbers = _numbers(*names, f"Noise, {unit}", "Held-out error", "Rank correlation")
    caption = (
        f"Parameters: best fit, with the 90 % interval of the posterior draws; tokens in millions, losses in {unit}"
    )
    return Table(caption, [("Target", False), *numbers, ("Status", False)], rows)


def _parameter(fitted: TargetFit, name: str, ends: Mapping[str, tuple[float, float]]) -> Cell:
    if name not in ends:
        return Cell(MISSING)
    low, high = ends[name]
    note = f"{significant(low)} to {significant(high)}" if high > low else "no interval"
    mark = " (bound)" if name in fitted.at_bound else ""
    return Cell(significant(fitted.parameters[name], 4) + mark, note)


def source_tables(fit: Fit) -> list[Table]:
    """Return one table for every parameter that has a value a source: rows are targets, columns the other domains."""
    ends = intervals(fit)
    symbols: dict[str, dict[str, dict[str, str]]] = {}
    for target, fitted in fit.targets.items():
        for parameter in fitted.curve.law.parameters:
            if parameter.source:
                cells = symbols.setdefault(parameter.name.partition("[")[0], {}).setdefault(target, {})
                cells[parameter.source] = parameter.name
    tables = []
    for symbol, names in symbols.items():
        if not any(fit.targets[target].parameters[n] for target, by in names.items() for n in by.values()):
            continue
        rows = []
        for target, by in names.items():
            cells = [
                _parameter(fit.targets[target], by[d], ends[target]) if d in by else Cell(MISSING) for d in fit.domains
            ]
            rows.append([Cell(target), *cells])
        columns = [("Target", False), *_numbers(*fit.domains)]
        tables.append(Table(f"{symbol} of each source, with 90 % intervals", columns, rows))
    return tables


def health_table(checks: list[Check]) -> Table:
    """Return the health checks."""
    rows = [
        [Cell(c.status, status=c.status.lower()), Cell(c.name), Cell(c.finding), Cell(c.next_step or MISSING)]
        for c in checks
    ]
    return Table("Health checks", [("Status", False), ("Check", False), ("Finding", False), ("Next", False)], rows)


def anchors_of(runs: RunTable) -> dict[str, str]:
    """Return run -> the anchor of its row in the page."""
    return {run: f"run-{r + 1}" for r, run in enumerate(runs.runs)}


def runs_table(runs: RunTable, fit: Fit, folders: Mapping[str, str] | None = None) -> Table:
    """Return every run with its tokens and losses; a name leads to the run's folder, where that is given."""
    anchors = anchors_of(runs)
    used = set(fit.runs.runs)
    columns = [("Run", False), *([("Seed", True)] if runs.seeds else []), ("All tokens", True)]
    columns += _numbers(*(f"{domain}, tokens" for domain in runs.domains))
    columns += _numbers(*(f"{target}, {differences_in([target])}" for target in runs.targets))
    rows = []
    for r, run in enumerate(runs.runs):
        note, link = "" if run in used else "not in the fit", (folders or {}).get(run, "")
        row = [Cell(run, note, id=anchors[run], link=link)]
        row += [Cell(runs.seeds[r])] if runs.seeds else []
        row.append(Cell(whole(runs.totals_R[r])))
        row += [Cell(whole(tokens)) for tokens in runs.tokens_RK[r]]
        row += [Cell(nats(loss)) for loss in runs.losses_RJ[r]]
        rows.append(row)
    return Table("Training tokens of every domain, measured loss of every target", columns, rows, tall=True)


def study_tables(study: Mapping[str, Any]) -> list[Table]:
    """Return what the study says of itself: versions, hashes, and its other single values."""
    tables, hashes = [], {**(study.get("inputs") or {}), **(study.get("hashes") or {})}
    single = {
        key: value
        for key, value in study.items()
        if isinstance(value, (str, int, float, bool, np.number)) and key not in _SHOWN_ABOVE
    }
    for caption, values in (("Study", single), ("Versions", study.get("versions")), ("Hashes", hashes)):
        if isinstance(values, Mapping) and values:
            rows = [[Cell(str(key)), Cell(str(value))] for key, value in values.items()]
            tables.append(Table(caption, [("Name", False), ("Value", False)], rows))
    return tables
