"""`solve_mixture`: from a fit to the best weights at a budget, with what they promise and a proof.

    minimise over w on the simplex   sum_i g_i E_theta[ L_i(w_i N; theta) ]      lower_i <= w_i <= upper_i

The expectation runs over the posterior draws of the law's parameters: a domain whose curve is uncertain is not bet on.
It keeps the problem separable and convex, so it is solved exactly.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eq. 6 and appendices B, C. Differs: the expected loss instead of the loss
at the point estimate, bounds on the weights, and the exact multiplier search instead of SLSQP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mixlaw.core.errors import ConfigError, SolveError
from mixlaw.core.mixture import Mixture
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import TOKEN_UNIT, Fit
from mixlaw.laws.transfer import Transfer
from mixlaw.solve.allocation import allocate
from mixlaw.solve.constraints import Constraints
from mixlaw.solve.objective import TransferObjective
from mixlaw.solve.solution import Certificate, Solution

_FAR = 1.5
"""Budgets this many times beyond the largest run earn a warning."""


def solve_mixture(
    fit: Fit,
    budget_tokens: float,
    *,
    target_weights: Mapping[str, float] | None = None,
    minimum: Mapping[str, float] | None = None,
    maximum: Mapping[str, float] | None = None,
    available: Mapping[str, float] | None = None,
    max_epochs: float | None = None,
) -> Solution:
    """Return the weights with the smallest expected weighted loss at a budget.

    Args:
        fit: a fitted law.
        budget_tokens: N, training tokens.
        target_weights: target -> g_i >= 0; targets left out count 0. None: every target counts 1.
        minimum: domain -> smallest share.
        maximum: domain -> largest share.
        available: domain -> distinct training tokens there are; also gives the natural mixture and the epochs.
        max_epochs: most passes over a domain; needs `available`.

    Raises:
        ConfigError: a budget, weight or bound out of its range, or an unknown name.
        Infeasible: no mixture meets the bounds.
        SolveError: the law gives no finite loss.
    """
    if not (math.isfinite(budget_tokens) and budget_tokens >= 1):
        raise ConfigError(f"The budget is {budget_tokens} tokens; it must be at least 1.", "Write it like 20M.")
    domains, budget_tokens = fit.domains, round(budget_tokens)
    importance = _importance(fit, target_weights)
    available = dict(available or {})
    if max_epochs is not None and not available:
        raise ConfigError("max_epochs needs the available tokens of the domains.", "Say --available code=3M.")
    constraints = Constraints(minimum or {}, maximum or {}, available, max_epochs)
    lower, upper = constraints.bounds(domains, budget_tokens)
    theta_KSP = _draws(fit)
    objective = TransferObjective(theta_KSP, importance, budget_tokens / TOKEN_UNIT, average=True)
    best = allocate(objective, lower, upper)
    weights = best.weights_KB[:, 0]
    if not np.all(np.isfinite(weights)):
        raise SolveError("The law has no finite marginal gain at any mixture.", "Look at the fit's parameters.")
    mixture = _mixture(domains, weights, budget_tokens)
    baselines = _baselines(domains, available, budget_tokens)
    regret = _regret(theta_KSP, importance, budget_tokens / TOKEN_UNIT, weights, lower, upper)
    predicted = _predicted(fit, mixture.tokens)
    factor = float(budget_tokens / fit.tokens_RK.sum(axis=1).max())
    solution = Solution(
        status="optimal",
        budget_tokens=budget_tokens,
        weights=dict(mixture.weights),
        tokens=mixture.tokens,
        epochs=_epochs(mixture, available),
        predicted=predicted,
        expected_regret={"mean": float(regret.mean()), "p95": float(np.quantile(regret, 0.95))},
        baselines={
            name: {
                "weights": dict(other.weights),
                "epochs": _epochs(other, available),
                "predicted": _predicted(fit, other.tokens),
                "total_loss": _total(fit, other, importance),
            }
            for name, other in baselines.items()
        },
        total_loss=_total(fit, mixture, importance),
        marginal=_marginal(fit, importance, weights, budget_tokens),
        certificate=Certificate(float(best.kkt_residual_B[0]), float(best.gap_B[0]), float(best.multiplier_B[0])),
        extrapolation_factor=factor,
        target_weights={target: float(importance[domains.index(target)]) for target in fit.targets},
    )
    return _with_warnings(solution, fit, theta_KSP, importance)


def _importance(fit: Fit, target_weights: Mapping[str, float] | None) -> np.ndarray:
    """Return (K,) g_i in the order of the domains; 0 for domains without a target."""
    given = dict.fromkeys(fit.targets, 1.0) if target_weights is None else dict(target_weights)
    for target, value in given.items():
        if target not in fit.targets:
            raise ConfigError(
                f"There is no target '{target}'; there are {', '.join(map(repr, fit.targets))}.", "Mend the name."
            )
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"The weight of target '{target}' is {value}; it must be >= 0.", "Mend the value.")
    if not any(value > 0 for value in given.values()):
        raise ConfigError("All target weights are 0: nothing is to be minimised.", "Give one target a weight.")
    return np.array([given.get(domain, 0.0) for domain in fit.domains])


def _draws(fit: Fit) -> np.ndarray:
    """Return (K, S, P) posterior draws; a domain without a target has a constant loss of 0."""
    some = next(iter(fit.targets))
    nothing = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (len(fit.theta_draws(some)), 1))
    return np.stack([fit.theta_draws(d) if d in fit.targets else nothing for d in fit.domains])


def _mixture(domains: tuple[str, ...], weights: np.ndarray, budget_tokens: int) -> Mixture:
    return Mixture(dict(zip(domains, map(float, weights / weights.sum()), strict=True)), budget_tokens)


def _baselines(domains: tuple[str, ...], available: Mapping[str, float], budget_tokens: int) -> dict[str, Mixture]:
    mixtures = {"equal": Mixture.equal(list(domains), budget_tokens)}
    if all(available.get(domain, 0) > 0 for domain in domains):
        mixtures["natural"] = Mixture.natural({domain: available[domain] for domain in domains}, budget_tokens)
    return mixtures


def _epochs(mixture: Mixture, available: Mapping[str, float]) -> dict[str, float]:
    return {
        domain: tokens / available[domain] for domain, tokens in mixture.tokens.items() if available.get(domain, 0) > 0
    }


def _predicted(fit: Fit, tokens: Mapping[str, int]) -> dict[str, dict[str, float]]:
    prediction = fit.predict(tokens)
    return {
        target: {part: float(getattr(prediction, part)[0, j]) for part in ("mean", "low", "high")}
        for j, target in enumerate(fit.targets)
    }


def _total(fit: Fit, mixture: Mixture, importance: np.ndarray) -> float:
    losses = fit.predict(mixture.tokens).mean[0]
    return float(sum(importance[fit.domains.index(t)] * loss for t, loss in zip(fit.targets, losses, strict=True)))


def _regret(
    theta_KSP: np.ndarray,
    importance: np.ndarray,
    budget: float,
    weights: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> np.ndarray:
    """Return (S,) objective at the weights minus at each draw's own optimum, nats."""
    each = TransferObjective(theta_KSP, importance, budget, average=False)
    S = theta_KSP.shape[1]
    best = allocate(each, lower, upper, problems=S).weights_KB
    here = np.broadcast_to(weights[:, None], best.shape)
    return np.maximum((each.value(here) - each.value(best)).sum(axis=0), 0)


def _marginal(fit: Fit, importance: np.ndarray, weights: np.ndarray, budget_tokens: int) -> dict[str, float]:
    """Return how fast the expected objective falls per million further tokens of each domain, at the margin, nats.

    A domain's tokens serve its own target as own tokens and every other target as other tokens.
    """
    law = Transfer()
    tokens = weights * budget_tokens / TOKEN_UNIT
    others = tokens.sum() - tokens
    step = 1e-4 * max(budget_tokens / TOKEN_UNIT, 1e-6)
    as_own, as_other = np.zeros(len(tokens)), np.zeros(len(tokens))
    for target in fit.targets:
        i = fit.domains.index(target)
        own = np.array([tokens[i], tokens[i] + step, tokens[i]])
        other = np.array([others[i], others[i], others[i] + step])
        losses = importance[i] * law.predict(fit.theta_draws(target), own, other).mean(axis=0)
        as_own[i], as_other[i] = (losses[0] - losses[1:]) / step
    return {domain: float(as_own[i] + as_other.sum() - as_other[i]) for i, domain in enumerate(fit.domains)}


def _with_warnings(solution: Solution, fit: Fit, theta_KSP: np.ndarray, importance: np.ndarray) -> Solution:
    warnings = list(fit.warnings)
    if solution.extrapolation_factor > _FAR:
        warnings.append(
            f"The budget of {format_tokens(solution.budget_tokens)} is {solution.extrapolation_factor:.1f} times the "
            "largest run of the fit: the floors and exponents are extrapolated that far."
        )
    objective = TransferObjective(theta_KSP, importance, solution.budget_tokens / TOKEN_UNIT, average=False)

    def expected(weights: Mapping[str, float]) -> float:
        array = np.array([weights[domain] for domain in fit.domains])
        with np.errstate(divide="ignore"):
            return float(objective.value(np.repeat(array[:, None], theta_KSP.shape[1], 1)).sum(axis=0).mean())

    here = expected(solution.weights)
    for name, baseline in solution.baselines.items():
        if expected(baseline["weights"]) <= here:
            warnings.append(
                f"No gain over the {name} mixture is expected: the bounds, or what the runs say, leave none."
            )
    return Solution(**{**solution.__dict__, "warnings": tuple(warnings)})
