"""Everything the report knows as one JSON-like value: report.json, and the data inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mixlaw.core.documents import KINDS
from mixlaw.core.files import json_ready
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import is_metric, perplexity_of
from mixlaw.fit.result import Fit
from mixlaw.report.answer import answer, cost
from mixlaw.report.comparison import base_level, intervals, target_changes, total_changes
from mixlaw.report.health import Check
from mixlaw.report.matrix import TransferMatrix
from mixlaw.solve.solution import Solution


def build_document(
    title: str,
    fit: Fit,
    runs: RunTable,
    solution: Solution | None,
    checks: list[Check],
    study: Mapping[str, Any] | None,
    path: Sequence[Solution],
    *,
    notes: Sequence[str] = (),
    matrix: TransferMatrix | None = None,
) -> dict[str, Any]:
    """Return all numbers of the report; a number that does not exist is None (docs/report.md names every key)."""
    sentence, beside = answer(fit, solution)
    ends = intervals(fit)
    value: dict[str, Any] = {
        "format": KINDS["report"].format,
        "title": title,
        "answer": sentence,
        "answer_notes": [*notes, *beside, *runs.notes],
        "cost": cost(runs, study),
        "solution": _solution(solution) if solution else None,
        "fit": fit.summary(),
        "parameter_intervals": {t: {p: list(pair) for p, pair in of.items()} for t, of in ends.items()},
        "base_level_tokens": _levels(fit, runs),
        "predicted_runs": _predictions(fit, runs),
        "runs": runs.to_rows(),
        "path": [{"budget": s.budget_tokens, "weights": dict(s.weights), "total_loss": s.total_loss} for s in path],
        "transfer": matrix.to_json() if matrix else None,
        "health": [asdict(check) for check in checks],
        "study": study,
    }
    if solution:
        value["change_of_total"] = {name: c.to_json() for name, c in total_changes(fit, solution).items()}
        if "equal" in solution.baselines:
            value["change_from_equal"] = {
                mixture: {target: c.to_json() for target, c in of.items()}
                for mixture, of in target_changes(fit, solution).items()
            }
    return json_ready(value)


def _solution(solution: Solution) -> dict[str, Any]:
    value = solution.to_json()
    value["perplexity"] = {
        t: {k: perplexity_of(v) for k, v in p.items()} for t, p in value["predicted"].items() if not is_metric(t)
    }
    return value


def _levels(fit: Fit, runs: RunTable) -> dict[str, float]:
    found = {}
    for target in fit.targets:
        if target in runs.domains:
            there = np.isfinite(runs.losses_RJ[:, runs.targets.index(target)])
            found[target] = base_level((runs.totals_R - runs.tokens_RK[:, runs.domains.index(target)])[there])
    return found


def _predictions(fit: Fit, runs: RunTable) -> dict[str, dict[str, Any]]:
    predicted, used = fit.predict(runs), set(fit.runs.runs)
    return {
        run: {
            "in_fit": run in used,
            **predicted.of_mixture(r),
        }
        for r, run in enumerate(runs.runs)
    }
