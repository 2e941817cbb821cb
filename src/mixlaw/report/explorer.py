"""The data of the explorer: the law's parameters, posterior draws and mixtures, for `templates/law.js` to evaluate.

A law that `law.js` does not have, a user's own, comes as a table instead (`mixlaw.report.sampled`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import is_metric
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.alike import at_total, constants
from mixlaw.fit.posterior.extrapolation import SIGMA
from mixlaw.fit.prediction import CEILING
from mixlaw.fit.result import Fit
from mixlaw.fit.units import MILLION
from mixlaw.laws.base import places
from mixlaw.report.comparison import available_of
from mixlaw.report.palette import series_of
from mixlaw.report.sampled import sample_law
from mixlaw.solve.solution import Solution

_NUMBERS = 60_000
"""Drawn parameters in the page, about 0.7 MB; all draws where they are no more than that."""

_DIGITS = 9
"""Significant digits of a drawn parameter: as many as nobody can see, in half of the room."""

_RUNS = 400
_SPAN = 10.0


@cache
def evaluated() -> frozenset[str]:
    """Return the laws that `law.js` has."""
    text = files("mixlaw.report").joinpath("templates/law.js").read_text(encoding="utf-8")
    listed = text.partition("const laws = {")[2].partition("}")[0]
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def why_not(fit: Fit, solution: Solution | None) -> str:
    """Return why there is no explorer, in a sentence; empty where there is one."""
    if fit.kind.law is None:
        return f"There is no explorer: '{fit.law}' has no equation that a browser could evaluate."
    if solution is None:
        return "There is no explorer, because there are no weights yet. Give a budget: mixlaw report RUNS --budget 20M."
    if len(solution.weights) < 2:
        return "There is no explorer: one domain takes the whole budget."
    return ""


def explorer_fit(fit: Fit, solution: Solution) -> Fit:
    """Return the fit whose draws the page holds: of the solution's domains, evenly chosen and rounded."""
    fit = fit.of_domains(list(solution.weights))
    beliefs = [fitted.belief for fitted in fit.targets.values()]
    # The parameters, and the normal that bends the curve beyond the runs.
    size = sum(len(c.names) + 1 for belief in beliefs for c in belief.curves) // max(len(b.curves) for b in beliefs)
    most = min(len(belief.normals_S) for belief in beliefs)
    rows = np.linspace(0, most - 1, int(np.clip(_NUMBERS // size, 10, most))).round().astype(int)
    targets = {}
    for name, fitted in fit.targets.items():
        belief = fitted.belief.take(rows)
        curves = tuple(replace(curve, draws_SP=_rounded(curve.draws_SP)) for curve in belief.curves)
        targets[name] = replace(fitted, belief=replace(belief, curves=curves))
    return replace(fit, targets=targets)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.{_DIGITS - 1}e}") for value in values.ravel()]).reshape(values.shape)


def explorer_data(
    fit: Fit,
    runs: RunTable,
    solution: Solution | None,
    path: Sequence[Solution],
    study: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the explorer needs, or `{"why_not": sentence}` where there can be none.

    Args:
        fit: the fit.
        runs: the runs, for the map.
        solution: the solution.
        path: the best weights at other budgets.
        study: with `available_tokens` and `config`.
    """
    reason = why_not(fit, solution)
    if reason or solution is None:
        return {"why_not": reason}
    fit = explorer_fit(fit, solution)
    domains, first = list(fit.domains), next(iter(fit.targets.values())).belief
    available = available_of(solution, study)
    supplies = [available.get(domain) for domain in domains]
    series = series_of(list(solution.weights), solution.weights)
    wishes = ((study or {}).get("config") or {}).get("solve") or {}
    laws, budgets, mixtures = (
        [c.law.name for c in first.curves],
        _budgets(fit, solution, path),
        _mixtures(solution, domains),
    )
    kinds = {tuple(type(curve.law) for curve in fitted.belief.curves) for fitted in fit.targets.values()}
    if set(laws) <= evaluated() and len(kinds) == 1 and not fit.inside:
        how = {
            "decay": None if np.isinf(fit.decay) else fit.decay,
            "beyond": {
                "largest": fit.largest_run,
                "amplitudes": [places(curve.law, "amplitude").tolist() for curve in first.curves],
                "floors": [places(curve.law, "floor").tolist() for curve in first.curves],
            },
            "alike": constants(),
        }
        drawn = [_drawn(fit, target) for target in fit.targets]
    else:
        known = available if np.isfinite(fit.decay) else None
        settled = at_total(fit, solution.budget_tokens)
        how = {"table": sample_law(settled, [m["weights"] for m in mixtures], budgets, known).data()}
        drawn = [{} for _ in fit.targets]
    return {
        "laws": laws,
        "unit": MILLION,
        "domains": [{"name": domain, "series": series[domain]} for domain in domains],
        "targets": [_target(fit, j, name, solution) | drawn[j] for j, name in enumerate(fit.targets)],
        **how,
        "unique": supplies if any(supplies) else None,
        "max_epochs": wishes.get("max_epochs"),
        "objective": solution.objective,
        "total_unit": solution.unit,
        "budget": solution.budget_tokens,
        "budget_text": format_tokens(solution.budget_tokens),
        "budgets": budgets,
        "largest_run": float(runs.totals_R.max()),
        "smallest_run": float(runs.totals_R[runs.totals_R > 0].min(initial=runs.totals_R.max())),
        "mixtures": mixtures,
        "path": [
            {"budget": s.budget_tokens, "text": format_tokens(s.budget_tokens), "weights": _shares(s.weights, domains)}
            for s in path
        ],
        "runs": _runs(runs, domains),
    }


def _target(fit: Fit, j: int, name: str, solution: Solution) -> dict[str, Any]:
    column = fit.runs.losses_RJ[:, j]
    return {
        "name": name,
        "own": fit.domains.index(name) if name in fit.domains else -1,
        "importance": solution.target_weights.get(name, 1.0),
        "metric": is_metric(name),
        "ceiling": CEILING * float(np.nanmax(np.abs(column))),
    }


def _drawn(fit: Fit, target: str) -> dict[str, Any]:
    belief = fit.belief(target)
    draws = [theta_SP for _, theta_SP in belief.drawn().parts]
    return {
        "draws": [[v[0] if np.ptp(v) == 0 else v.tolist() for v in theta_SP.T] for theta_SP in draws],
        "counts": [len(theta_SP) for theta_SP in draws],
        "normals": [belief.normals_S.tolist() for _ in draws],
        "bend": [belief.beyond.tokens, belief.beyond.tried, max(belief.beyond.tokens, SIGMA)],
        "whole": belief.beyond.whole,
    }


def _shares(weights: Mapping[str, float], domains: Sequence[str]) -> list[float]:
    return [float(weights[domain]) for domain in domains]


def _mixtures(solution: Solution, domains: list[str]) -> list[dict[str, Any]]:
    """Return the optimum first, then the baselines: natural, equal, others."""
    found = [{"name": "optimum", "weights": _shares(solution.weights, domains), "budget": solution.budget_tokens}]
    order = sorted(solution.baselines, key=lambda name: name != "natural")
    return found + [{"name": name, "weights": _shares(solution.baselines[name]["weights"], domains)} for name in order]


def _budgets(fit: Fit, solution: Solution, path: Sequence[Solution]) -> list[float]:
    """Return the range of the budget slider: the path, the report's budget and the runs are within it."""
    totals = fit.runs.totals_R
    known = [solution.budget_tokens, *(s.budget_tokens for s in path), float(totals[totals > 0].min())]
    return [min(*known, solution.budget_tokens / _SPAN), max(*known, solution.budget_tokens * _SPAN)]


def _runs(runs: RunTable, domains: Sequence[str]) -> list[dict[str, Any]]:
    columns = [runs.domains.index(domain) for domain in domains]
    tokens_RK = runs.tokens_RK[:, columns]
    some = np.flatnonzero(tokens_RK.sum(axis=1) > 0)
    some = some[np.linspace(0, len(some) - 1, min(len(some), _RUNS)).round().astype(int)]
    return [
        {
            "name": runs.runs[r],
            "tokens": format_tokens(float(tokens_RK[r].sum())),
            "weights": [round(float(share), 5) for share in tokens_RK[r] / tokens_RK[r].sum()],
        }
        for r in some
    ]
