"""The further run that would help most: its tokens, what it costs, and what it is worth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.api.sequential import Terms, further_runs
from mixlaw.core.errors import MixlawError
from mixlaw.design.spending import Spending
from mixlaw.fit import Fit
from mixlaw.solve import Solution

if TYPE_CHECKING:
    from mixlaw.api.project import Project


def next_run_of(fit: Fit, solution: Solution, project: Project | None = None) -> dict[str, Any]:
    """Return `next_run` with `tokens`, `cost` and `worth` (shares of the final run), `fall_nats` and `regret_nats`.

    Empty where none can be chosen: of a law without parameters, or a solution without expected regret. Without a study
    a run costs its tokens, and the final run the budget.

    Args:
        fit: the fit.
        solution: its solution at the budget.
        project: the study, for what runs cost there.
    """
    expected = solution.expected_regret.get("mean", math.nan)
    if fit.kind.law is None or not (math.isfinite(expected) and expected > 0):
        return {}
    fit = fit.of_domains(list(solution.weights))
    if project is not None:
        spending, base = replace(project.spending, most_tokens=math.inf), float(project.base_tokens)
        terms = Terms(base, 1, project.available_tokens, seed=project.config.plan.seed)
    else:
        spending, used = Spending(math.inf, 0.0, float(solution.budget_tokens)), fit.runs.tokens_RK
        terms = Terms(float(np.median(used[used > 0])), 1)
    try:
        found = further_runs(fit, solution, spending, terms)
    except (MixlawError, np.linalg.LinAlgError):
        return {}
    if not found.mixtures or not math.isfinite(found.falls[0]):
        return {}
    return {
        "next_run": {
            "tokens": found.mixtures[0],
            "cost": spending.cost(found.mixtures[:1]) / spending.final_tokens,
            "fall_nats": found.falls[0],
            "regret_nats": expected,
            "worth": found.worth(found.falls[0]),
        }
    }
