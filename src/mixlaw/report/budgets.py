"""The best weights at other budgets, under the same bounds as the report's solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mixlaw.core.errors import Infeasible
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import available_of
from mixlaw.solve.solution import Solution
from mixlaw.solve.solving import solve_mixture
from mixlaw.solve.wishes import SolveWishes

_FACTORS = (1.0, 0.1, 0.2, 0.5, 2.0, 5.0, 10.0)
_SAME = 1e-4


def solution_path(fit: Fit, solution: Solution, study: Mapping[str, Any]) -> list[Solution]:
    """Return solutions at budgets from a tenth to ten times the report's, smallest first.

    Where the runs are smaller than a tenth, one at the largest run's total as well: from there on the law extrapolates.

    The bounds are those of the study's configuration. Where they do not give back the report's own weights (it was
    solved under others, given on the command line), there is no path; budgets that no mixture can meet are left out.

    Args:
        fit: the fit.
        solution: the report's solution.
        study: with `config` (its `solve` part) and `available_tokens`; without, the supplies are those that the
            solution was solved with.
    """
    wishes = (study.get("config") or {}).get("solve") or {}
    available = available_of(solution, study)
    path, fit = [], fit.of_domains(list(solution.weights))
    asked = replace(
        SolveWishes.of_config(wishes, available),
        objective=solution.objective if solution.target_weights else None,
        target_weight=None if solution.objective == "mean" else solution.target_weights or None,
    )
    largest = fit.largest_run / solution.budget_tokens
    for factor in (*_FACTORS, *([largest] if 0 < largest < min(_FACTORS) else [])):
        try:
            best = solve_mixture(fit, max(1, round(solution.budget_tokens * factor)), asked, regrets=False)
        except Infeasible:
            best = None
        if factor == 1.0 and not (best and _close(best, solution)):
            return []
        path += [best] if best else []
    return sorted(path, key=lambda found: found.budget_tokens)


def _close(one: Solution, other: Solution) -> bool:
    return all(abs(one.weights[domain] - share) <= _SAME for domain, share in other.weights.items())
