"""What the report says, in order, before anybody decides how it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import is_metric
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.answer import loss_name
from mixlaw.report.curves import budget_figure, curve_figure, parity_figures, path_figure
from mixlaw.report.figures import changes_figure, marginal_figure, weights_figure
from mixlaw.report.health import Check
from mixlaw.report.logs import Log, losses_along, run_logs
from mixlaw.report.matrix import TransferMatrix, matrix_table
from mixlaw.report.next_run import next_section
from mixlaw.report.palette import series_of
from mixlaw.report.section import Section
from mixlaw.report.tables import (
    anchors_of,
    health_table,
    limits_table,
    losses_table,
    marginal_table,
    parameters_table,
    path_table,
    perplexity_table,
    regret_table,
    runs_table,
    source_tables,
    study_tables,
    weights_table,
)  # fmt: skip
from mixlaw.solve.solution import Solution

_POINTS, _CELLS = 5000, 20000
"""Points of one kind of figure and cells of the run table that keep the page under 5 MB."""


def build_sections(
    fit: Fit,
    runs: RunTable,
    solution: Solution | None,
    checks: list[Check],
    study: Mapping[str, Any] | None,
    path: Sequence[Solution],
    *,
    explorer: Mapping[str, Any] | None = None,
    matrix: TransferMatrix | None = None,
    logs: Mapping[str, Log] | None = None,
) -> list[Section]:
    """Return the sections that the material allows.

    Args:
        fit: the fit.
        runs: the runs.
        solution: the solution.
        checks: the health checks.
        study: what the study says of itself.
        path: the best weights at other budgets.
        explorer: its data, or why there is none.
        matrix: who helps whom.
        logs: run -> its training log.
    """
    few = _thinned(runs, _POINTS // len(fit.targets))
    listed = _thinned(runs, _CELLS // (len(runs.domains) + len(runs.targets)))
    links = anchors_of(listed)
    series = series_of(fit.domains, solution.weights if solution else None)
    sections = []
    if solution:
        sections.append(_weights(solution, series))
    if explorer:
        sections.append(_explorer(explorer))
    if solution:
        sections.append(_losses(fit, solution))
    sections.append(_health(fit, checks, solution))
    if path:
        sections.append(_path(fit, path, solution))
    sections.append(_curves(fit, few, solution, series, links))
    if matrix:
        sections.append(_matrix(matrix))
    sections.append(_parity(fit, few, series, links))
    if solution and solution.marginal:
        sections.append(_marginal(solution, series))
    if (study or {}).get("next_run"):
        sections.append(next_section((study or {})["next_run"], solution.unit if solution else "nats"))
    sections += [_parameters(fit), _runs(fit, runs, listed, logs or {}, (study or {}).get("run_folders"))]
    if study:
        sections.append(_again(study))
    return sections


def _weights(solution: Solution, series: Mapping[str, str]) -> Section:
    return Section(
        "weights",
        "Weights",
        "Shares of the budget in training tokens.",
        [weights_figure(solution, series)],
        [weights_table(solution, series)],
        layout="beside",
    )


def _explorer(explorer: Mapping[str, Any]) -> Section:
    if reason := explorer.get("why_not", ""):
        return Section("explorer", "Explorer", reason)
    lead = (
        "Move one weight, and the others change in proportion. The predicted losses and their 90 % band are "
        "updated at once."
    )
    if len(laws := explorer["laws"]) > 1:
        lead += f" Predictions are of both laws, '{laws[0]}' and '{laws[1]}', like the recommended weights."
    if table := explorer.get("table"):
        lead += (
            f" The page cannot compute the law '{laws[0]}'. It interpolates between {len(table['centres'])} mixtures "
            "and budgets that were computed before. Elsewhere, 95 % of its losses are within "
            f"{table['error']:.1g} nats of the law's."
        )
    return Section("explorer", "Explorer", lead, layout="explorer")


def _losses(fit: Fit, solution: Solution) -> Section:
    figures = [changes_figure(fit, solution)] if "equal" in solution.baselines else []
    limits = [limits_table(solution)] if solution.limits else []
    perplexities = [] if all(map(is_metric, fit.targets)) else [perplexity_table(fit, solution)]
    return Section(
        "losses",
        "Predicted losses",
        f"What the law expects on each validation set at {format_tokens(solution.budget_tokens)} tokens.",
        figures,
        [losses_table(fit, solution), *perplexities, regret_table(solution), *limits],
        notes=[
            "The bands show how uncertain the parameters of the law are. They do not include the error of a law of the "
            "wrong shape, nor the noise of a single run (see Noise under Parameters).",
            "A change is computed for each posterior draw, where both mixtures have the same parameters. So its "
            "interval can be much narrower than the bands of the two losses.",
        ],
        short="Losses",
        layout="stacked",
    )


def _health(fit: Fit, checks: list[Check], solution: Solution | None) -> Section:
    warnings = dict.fromkeys([*fit.warnings, *(solution.warnings if solution else ())])
    count = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}"
    summary = f"{count} from fit and solve" if warnings else ""
    return Section(
        "health",
        "Health checks",
        "Whether you can trust the answer, and what to do where you cannot.",
        (),
        [health_table(checks)],
        folded=(summary, list(warnings)),
        short="Health",
    )


def _curves(
    fit: Fit, runs: RunTable, solution: Solution | None, series: Mapping[str, str], links: Mapping[str, str]
) -> Section:
    figures = [curve_figure(fit, runs, t, solution, series[t], links) for t in fit.targets if t in fit.domains]
    notes = [
        "Along the line the tokens of the other domains stay the same. Hollow runs have more or fewer of them, so "
        "they lie off the line; compare those under Predicted against measured."
    ]
    lead = "Loss of each target against its own domain's training tokens (logarithmic)."
    return Section("curves", "Fitted curves", lead, figures, notes=notes, short="Curves", layout="panels")


def _path(fit: Fit, path: Sequence[Solution], solution: Solution | None) -> Section:
    ordered, asked = sorted(path, key=lambda s: s.budget_tokens), solution.budget_tokens if solution else None
    return Section(
        "budget",
        "Best weights at each budget",
        "The best weights depend on the budget; each budget is solved separately.",
        [path_figure(ordered, asked, fit), budget_figure(fit, ordered, asked)],
        [path_table(ordered)],
        notes=["The band of the loss widens outside the range of the runs."],
        short="Budgets",
        layout="stacked",
    )


def _matrix(matrix: TransferMatrix) -> Section:
    step = format_tokens(matrix.step_tokens)
    return Section(
        "matrix",
        "Who helps whom",
        f"Each column adds {step} tokens of one domain to the recommended mixture, a tenth of the budget, and leaves "
        "the others as they are. A domain helps if the loss falls.",
        (),
        [matrix_table(matrix)],
        [("help", "helps"), ("hurt", "hurts"), ("open", "unclear: the interval contains 0")],
        short="Transfer",
    )


def _parity(fit: Fit, runs: RunTable, series: Mapping[str, str], links: Mapping[str, str]) -> Section:
    return Section(
        "measured",
        "Predicted against measured",
        "Each point is a run that was used in the fit. The errors beside the names are those on held-out runs.",
        parity_figures(fit, runs, {target: series.get(target, "series-0") for target in fit.targets}, links),
        short="Fit",
        notes=[
            "'held out' is the mean relative error on held-out runs; 'mean' that of predicting the mean of the other "
            "runs."
        ],
        layout="panels",
    )


def _marginal(solution: Solution, series: Mapping[str, str]) -> Section:
    return Section(
        "marginal",
        "What more data would be worth",
        f"How much the {loss_name(solution)} would fall with a further {solution.further()[1]} tokens of one domain.",
        [marginal_figure(solution, series)],
        [marginal_table(solution)],
        notes=[
            "Means over the posterior draws. At the optimum, all domains between their bounds are worth the same. The "
            "intervals show how sure this is."
        ],
        short="More data",
        layout="beside",
    )


def _thinned(runs: RunTable, most: int) -> RunTable:
    """Return every run, or evenly chosen ones where the page would grow too large."""
    if len(runs) <= most:
        return runs
    return runs.take(np.linspace(0, len(runs) - 1, most).round().astype(int))


def _parameters(fit: Fit) -> Section:
    if equation := fit.kind.equation:
        formula = f"Law '{fit.law}': {equation}. Tokens in millions" + _tokens_of(equation) + "."
    else:
        formula = f"'{fit.law}' has no equation."
    return Section(
        "parameters",
        "Parameters",
        " ".join(part for part in (formula, fit.choice) if part),
        (),
        [parameters_table(fit), *source_tables(fit)],
        folded=("Notes of the fit on each target", [f"{t}: {f.message}" for t, f in fit.targets.items() if f.message]),
    )


def _tokens_of(equation: str) -> str:
    """Return which tokens the letters of an equation are."""
    if "N_i" in equation:
        return "; N_i are those of domain i"
    return "; N are those of the target's own domain, R those of all others" if " R^" in equation else ""


def _runs(
    fit: Fit, runs: RunTable, listed: RunTable, logs: Mapping[str, Log], folders: Mapping[str, str] | None
) -> Section:
    lead = f"{runs.counted}."
    if len(listed) < len(runs):
        lead += f" The table has {len(listed)} of them, the figures fewer still; all are in report.json."
    lead += " A point of the figures leads to the run's row" + (", and its name to its folder." if folders else ".")
    table = runs_table(listed, fit, folders)
    return Section(
        "runs", "Every run", lead, (), [table], short="Runs", logs=[*run_logs(runs, logs), *losses_along(runs)]
    )


def _again(study: Mapping[str, Any]) -> Section:
    config = study.get("config")
    commands = study.get("commands") or (["mixlaw run mix.yaml"] if config else [])
    text = "\n".join([commands] if isinstance(commands, str) else map(str, commands))
    code = [("Commands", text)] if text else []
    if config:
        from mixlaw.config import as_written

        code.append(("mix.yaml, with every default filled in", _yaml(as_written(config))))
    return Section(
        "again",
        "How to repeat this study",
        "The same commands on the same data give the same results." if text else "",
        (),
        study_tables(study),
        code=code,
        short="Repeat",
    )


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).rstrip()
