"""What fit, laws, solve and predict answer, and the tables behind it."""

from __future__ import annotations

import math
from typing import Any

from mixlaw.cli.answers import Fact, fitting, named, packed, runs_cost
from mixlaw.cli.output import note, table
from mixlaw.core.percents import probability
from mixlaw.core.plurals import plural
from mixlaw.core.target_units import differences_in, is_metric, losses_in
from mixlaw.core.tokens import format_tokens
from mixlaw.solve.solution import BASE_COLUMNS

_ALIKE = 0.01
"""Prices whose largest relative difference this is are one price. No data."""


def solution_details(solution: Any) -> None:
    """Print a solution's weights, predicted losses and promises."""
    prices = [solution.marginal[name] for name in solution.weights]
    # Domains strictly between their bounds have one price: then it is no column, but a sentence.
    alike = max(prices) - min(prices) <= _ALIKE * max(map(abs, prices), default=0.0)
    columns = ["domain", "weight", "tokens", *(["epochs"] if solution.epochs else [])]
    (size, step), unit = solution.further(), solution.unit
    columns += [*([] if alike else [f"{unit} per further {step}"]), f"{unit} per further {step}, 90 %"]
    rows = []
    for name, weight in solution.weights.items():
        row: list[Any] = [name, f"{100 * weight:.1f} %", format_tokens(solution.tokens[name])]
        row += [solution.epochs.get(name, float("nan"))] if solution.epochs else []
        row += [] if alike else [size * solution.marginal[name]]
        interval = solution.marginal_interval.get(name)
        row += [""] if interval is None else [f"{size * interval['low']:.2g} to {size * interval['high']:.2g}"]
        rows.append(row)
    table(f"Best mixture at {format_tokens(solution.budget_tokens)} tokens", columns, rows)
    if alike:
        note(f"A further {step} tokens of any domain lowers the objective by about {size * prices[0]:.3g} {unit}.")
    names = ["best", *solution.baselines]
    parts = [solution.predicted, *(baseline["predicted"] for baseline in solution.baselines.values())]
    losses = [[target, *(part[target]["mean"] for part in parts)] for target in solution.predicted]
    totals = [solution.total_loss, *(baseline["total_loss"] for baseline in solution.baselines.values())]
    if solution.objective == "max":
        counted = [target for target, weight in solution.target_weights.items() if weight > 0]
        totals = [max(part[target]["mean"] for target in counted) for part in parts]
    rows, columns = [*losses, ["objective", *totals]], ["target", *names]
    if solution.base:
        columns, rows = [*columns, *BASE_COLUMNS], [[*row, *solution.against_base(row[0])] for row in rows]
    table(f"Predicted loss, {losses_in(solution.predicted)}", columns, rows)
    _show_trust(solution)


def _show_trust(solution: Any) -> None:
    rows = [[f"expected regret, {solution.unit}", _regret(solution.expected_regret)]]
    for name, baseline in solution.baselines.items():
        if "regret" in baseline:
            rows.append([f"expected regret of {name}", _regret(baseline["regret"])])
            rows.append([f"probability of being better than {name}", probability(baseline["probability_better"])])
    for limit in solution.limits:
        if limit["probability_kept"] is not None:
            rows.append(
                [f"probability that the limit of {limit['target']} is kept", probability(limit["probability_kept"])]
            )
    table(
        "Trust",
        ["what", "value"],
        [
            *rows,
            ["largest KKT residual", f"{solution.certificate.kkt_residual:.1e}"],
            [f"duality gap, {solution.unit}", f"{solution.certificate.gap:.1e}"],
            ["proof", solution.certificate.kind],
            ["budget / largest run", f"{solution.extrapolation_factor:.1f}"],
        ],
    )


def _regret(regret: Any) -> str:
    return f"{regret['mean']:.4f} (95th percentile {regret['p95']:.4f})"


def fit_facts(fit: Any, ratios: dict[str, float] | None) -> list[Fact]:
    held_out = {name: target for name, target in fit.targets.items() if math.isfinite(target.cv_mre)}
    errors = [f"{named(name)} {100 * target.cv_mre:.2g} %" for name, target in held_out.items()]
    means = [100 * target.cv_mre_mean for target in held_out.values()]
    mean = f"the runs' mean errs by {_span(means)} %; " if means else ""
    # Runs scatter by another amount in each unit: those of losses are shown, and of metrics where there are no others.
    alike = [name for name in fit.targets if not is_metric(name)] or list(fit.targets)
    noise = [fit.targets[name].noise_nats for name in alike]
    odd = [f"{named(name)} {target.status.replace('_', ' ')}" for name, target in fit.targets.items()]
    odd = [text for text in odd if not text.endswith(" converged")]
    how = f"fitted to {plural(len(fit), 'run')} ({fit.procedure.replace('_', ' ')})"
    facts = [
        ("law", fitting([f"{fit.law} {how}", *odd])),
        ("error", fitting(errors, "held out: ") if errors else "not known: no runs could be held out"),
        ("sure", f"{mean}runs scatter by {_span(noise)} {differences_in(alike)}"),
    ]
    if ratios is not None:
        shown = [f"{named(name)} {ratio:.2f}" for name, ratio in ratios.items()]
        facts.append(("refits", fitting(shown, "their spread over that of the draws (1: right): ")))
    return [*facts, ("cost", runs_cost(fit))]


def _span(values: list[float]) -> str:
    low, high = (f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def fit_details(fit: Any) -> None:
    # Parameters of a source, t[math], are too many for a table: --json and fit.json have them.
    names = fit.curve_parameters
    rows = []
    for name, target in fit.targets.items():
        row: list[Any] = [name, target.status, *(target.parameters.get(p, "") for p in names), target.noise_nats]
        rows.append([*row, 100 * target.cv_mre, 100 * target.cv_mre_mean])
    table(
        f"{fit.law}, {fit.procedure} fit of {len(fit)} runs (tokens in millions, losses in "
        f"{differences_in(fit.targets)})",
        ["target", "status", *names, "noise", "held-out error %", "mean's error %"],
        rows,
    )
    if fit.choice:
        note(fit.choice)


def laws_facts(rows: Any) -> list[Fact]:
    known = [row for row in rows if row.mre == row.mre]
    mean = next((row.mre for row in known if row.name == "mean"), float("inf"))
    texts = {row.name: f"{named(row.name)} {100 * row.mre:.2g} %" for row in known}
    good = [row for row in known if row.mre < mean]
    poor = [texts[row.name] for row in known if row.mre >= mean and row.name != "mean"]
    facts = []
    if good:
        first = good[0]
        more = f", rank correlation {first.spearman:.2f}" if first.spearman == first.spearman else ""
        facts.append(("best", f"{named(first.name)}: error {100 * first.mre:.2g} % on held-out mixtures{more}"))
    facts.append(("then", fitting([texts[row.name] for row in good[1:]])))
    if mean < float("inf"):
        facts.append(("poor", fitting(poor, f"no better than the runs' mean ({100 * mean:.2g} %): ")))
    if failed := [f"{named(row.name)} ({row.note})" for row in rows if row.mre != row.mre]:
        facts.append(("none", fitting(failed, "no figures for ")))
    return facts


def predicted_facts(predicted: Any) -> list[Fact]:
    items = [f"{named(name)} {p['mean']:.3f} ({p['low']:.3f} to {p['high']:.3f})" for name, p in predicted.items()]
    short = "nats per supervised token" if not any(map(is_metric, predicted)) else "nats"
    head = f"predicted, {losses_in(predicted, short)} (90 % interval of a run):"
    return [("losses", head), *packed("", items, 3)]
