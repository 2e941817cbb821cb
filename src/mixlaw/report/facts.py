"""Everything a report says, as one JSON-like tree: report.json, and what the page and the Markdown are made from.

Shape letters: R runs, K domains, J targets, S posterior draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mixlaw.core.errors import Infeasible
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import TOKEN_UNIT, Fit
from mixlaw.laws.transfer import Transfer, effective_tokens
from mixlaw.report.health import health_checks
from mixlaw.solve import Solution, solve_mixture

_BAND = (0.05, 0.95)
_CURVE_POINTS = 60
_PATH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def gather(
    runs: RunTable, fit: Fit, solution: Solution | None, title: str, study: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the facts of a report.

    Args:
        runs: the fitted runs.
        fit: their fit.
        solution: the best weights, or None for a report on runs alone.
        title: of the report.
        study: where the runs came from (cost, hashes, configuration), or None.
    """
    facts: dict[str, Any] = {
        "format": 1,
        "title": title,
        "headline": _headline(fit, solution),
        "cost": _cost(runs, study),
        "health": [check.__dict__ for check in health_checks(fit, solution, study)],
        "law": {"name": fit.law, "procedure": fit.procedure, "runs": len(fit)},
        "domains": list(fit.domains),
        "targets": list(fit.targets),
        "parameters": _parameters(fit),
        "curves": {target: _curve(fit, target, solution) for target in fit.targets},
        "runs": _runs(runs, fit),
        "study": dict(study) if study else None,
        "solution": None,
    }
    if solution is not None:
        facts["solution"] = solution.to_json()
        facts["weights"] = _weights(solution)
        facts["losses"] = _losses(solution)
        facts["gain"] = {
            name: _gain(fit, solution, baseline["weights"]) for name, baseline in solution.baselines.items()
        }
        facts["path"] = _path(fit, solution, study)
    return facts


def _headline(fit: Fit, solution: Solution | None) -> str:
    if solution is None:
        errors = [f"{name} {100 * t.cv_mre:.2g} %" for name, t in fit.targets.items() if math.isfinite(t.cv_mre)]
        text = f"{len(fit)} runs, law '{fit.law}'"
        return f"{text}: left-out runs are predicted with an error of {', '.join(errors)}." if errors else f"{text}."
    shares = ", ".join(f"{100 * w:.0f} % {name}" for name, w in _largest(solution.weights))
    name = "natural" if "natural" in solution.baselines else "equal"
    gain = _gain(fit, solution, solution.baselines[name]["weights"])
    against = "your natural mixture" if name == "natural" else "the equal mixture"
    text = f"Train on {shares} at {format_tokens(solution.budget_tokens)} tokens: predicted total loss "
    low, mean, high = gain["low_percent"], gain["mean_percent"], gain["high_percent"]
    if low > 0:
        return f"{text}{mean:.1f} % ({low:.1f} to {high:.1f}) below {against}."
    return (
        f"{text}{abs(mean):.1f} % {'below' if mean >= 0 else 'above'} {against}, but the runs do not settle the sign "
        f"({low:.1f} to {high:.1f} %)."
    )


def _largest(weights: Mapping[str, float], most: int = 6) -> list[tuple[str, float]]:
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    if len(ordered) <= most:
        return ordered
    return [*ordered[:most], (f"over {len(ordered) - most} others", sum(w for _, w in ordered[most:]))]


def _gain(fit: Fit, solution: Solution, weights: Mapping[str, float]) -> dict[str, float]:
    """Return how far the solution's total loss lies below a mixture's, in % of that, over the posterior draws."""
    best, other = (_total_draws(fit, solution, w) for w in (solution.weights, weights))
    gain = 100 * (1 - best / other)
    low, high = np.quantile(gain, _BAND)
    return {"mean_percent": float(gain.mean()), "low_percent": float(low), "high_percent": float(high)}


def _total_draws(fit: Fit, solution: Solution, weights: Mapping[str, float]) -> np.ndarray:
    tokens = np.array([weights[d] for d in fit.domains]) * solution.budget_tokens / TOKEN_UNIT
    total: np.ndarray | float = 0.0
    for target, importance in solution.target_weights.items():
        i = fit.domains.index(target)
        others = np.maximum(tokens.sum(keepdims=True) - tokens[i], 0)
        total = total + importance * Transfer().predict(fit.theta_draws(target), tokens[i : i + 1], others)[:, 0]
    return np.asarray(total)


def _cost(runs: RunTable, study: Mapping[str, Any] | None) -> dict[str, Any]:
    cost: dict[str, Any] = {"runs": len(runs), "tokens": float(runs.totals_R.sum())}
    if study:
        cost |= {"wall_s": study.get("train_wall_s"), "budget_tokens": study.get("budget_tokens")}
    return cost


def _weights(solution: Solution) -> list[dict[str, Any]]:
    return [
        {
            "domain": name,
            "weight": weight,
            "tokens": solution.tokens[name],
            "epochs": solution.epochs.get(name),
            "marginal": solution.marginal[name],
            **{baseline: value["weights"][name] for baseline, value in solution.baselines.items()},
        }
        for name, weight in solution.weights.items()
    ]


def _losses(solution: Solution) -> list[dict[str, Any]]:
    rows = []
    for target, best in solution.predicted.items():
        mixtures = {"best": best} | {name: value["predicted"][target] for name, value in solution.baselines.items()}
        rows.append({"target": target, "mixtures": mixtures})
    return rows


def _parameters(fit: Fit) -> list[dict[str, Any]]:
    rows = []
    for target, fitted in fit.targets.items():
        values = {}
        for name, value in fitted.parameters.items():
            low, high = np.quantile(fitted.draws[name], _BAND)
            values[name] = {"value": value, "low": min(float(low), value), "high": max(float(high), value)}
        rows.append(
            {
                "target": target,
                "status": fitted.status,
                "message": fitted.message,
                "at_bound": list(fitted.at_bound),
                "noise": fitted.noise_nats,
                "cv_mre": _none(fitted.cv_mre),
                "cv_mre_mean": _none(fitted.cv_mre_mean),
                "values": values,
            }
        )
    return rows


def _curve(fit: Fit, target: str, solution: Solution | None) -> dict[str, Any]:
    """Return one target's loss against its effective tokens, on which all of its runs share one curve."""
    C, k, alpha, beta, E = fit.theta(target)
    i, j = fit.domains.index(target), list(fit.targets).index(target)
    measured = fit.losses_RJ[:, j]
    tokens = fit.tokens_RK / TOKEN_UNIT
    effective = effective_tokens(k, alpha, tokens[:, i], tokens.sum(axis=1) - tokens[:, i])
    points = [
        {"run": name, "effective_tokens": float(TOKEN_UNIT * d), "loss": float(loss)}
        for name, d, loss in zip(fit.run_names, effective, measured, strict=True)
        if math.isfinite(loss)
    ]
    ends, marks = [effective.min(), effective.max()], []
    if solution is not None:
        mixtures = {"best": (solution.tokens, solution.predicted)}
        for name, baseline in solution.baselines.items():
            shares = {d: w * solution.budget_tokens for d, w in baseline["weights"].items()}
            mixtures[name] = (shares, baseline["predicted"])
        for name, (planned, predicted) in mixtures.items():
            own = planned[target] / TOKEN_UNIT
            others = max(sum(planned.values()) / TOKEN_UNIT - own, 0)
            D = float(effective_tokens(k, alpha, np.array(own), np.array(others)))
            marks.append({"mixture": name, "effective_tokens": TOKEN_UNIT * D, **predicted[target]})
            ends.append(D)
    grid = np.geomspace(max(min(ends) * 0.8, 1e-6), max(ends) * 1.25, _CURVE_POINTS)
    curve = C * grid**-beta + E
    return {
        "points": points,
        "marks": marks,
        "line": [[float(TOKEN_UNIT * x), float(y)] for x, y in zip(grid, curve, strict=True)],
    }


def _runs(runs: RunTable, fit: Fit) -> list[dict[str, Any]]:
    predicted = fit.predict(runs).mean
    return [
        {
            "run": name,
            "tokens": {d: float(runs.tokens_RK[r, i]) for i, d in enumerate(runs.domains)},
            "losses": {t: _none(float(runs.losses_RJ[r, j])) for j, t in enumerate(runs.targets)},
            "fitted": {t: float(predicted[r, list(fit.targets).index(t)]) for t in runs.targets},
        }
        for r, name in enumerate(runs.runs)
    ]


def _path(fit: Fit, solution: Solution, study: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the best weights at budgets around the solution's, under the same bounds."""
    wishes = ((study or {}).get("config") or {}).get("solve") or {}
    available = (study or {}).get("available_tokens") or {}
    path = []
    for factor in _PATH_FACTORS:
        try:
            best = solve_mixture(
                fit,
                max(1, round(solution.budget_tokens * factor)),
                target_weights=solution.target_weights,
                minimum=wishes.get("min"),
                maximum=wishes.get("max"),
                available=available,
                max_epochs=wishes.get("max_epochs") if available else None,
            )
        except Infeasible:  # the data end here
            break
        path.append({"budget_tokens": best.budget_tokens, "weights": dict(best.weights)})
    return path


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None
