"""`solve_mixture`: from a fit to the best weights at a budget, with what they promise and a proof.

    minimise over w on the simplex   sum_i g_i E_theta[ L_i(w_i N; theta) ]      lower_i <= w_i <= upper_i

The expectation runs over the posterior draws of the law's parameters: a domain whose curve is uncertain is not bet on.
With the law `transfer` the problem stays separable and convex and is solved exactly; other laws couple the domains and
are solved by `mixlaw.solve.coupled`, with a certificate of their own.

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
from mixlaw.fit.result import BAND, TOKEN_UNIT, Fit
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve.allocation import allocate
from mixlaw.solve.constraints import Constraints
from mixlaw.solve.coupled import CoupledObjective, best_by_draw, minimise
from mixlaw.solve.objective import TransferObjective
from mixlaw.solve.solution import Certificate, Solution

_REGRET_DRAWS = 50
"""Posterior draws whose own optimum is searched for where the law couples the domains."""

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
    engine = (_Separable if fit.law == "transfer" else _Coupled)(fit, importance, budget_tokens, lower, upper)
    weights, certificate = engine.best()
    if not np.all(np.isfinite(weights)):
        raise SolveError("The law has no finite marginal gain at any mixture.", "Look at the fit's parameters.")
    mixture = _mixture(domains, weights, budget_tokens)
    baselines = _baselines(domains, available, budget_tokens)
    regret = engine.regret(weights)
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
        marginal=engine.marginal(weights),
        certificate=certificate,
        extrapolation_factor=factor,
        target_weights=importance,
    )
    return _with_warnings(solution, fit, engine)


def _importance(fit: Fit, target_weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return target -> g_j."""
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
    return {target: float(given.get(target, 0.0)) for target in fit.targets}


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
        target: {part: float(getattr(prediction, name)[0, j]) for part, name in BAND.items()}
        for j, target in enumerate(fit.targets)
    }


def _total(fit: Fit, mixture: Mixture, importance: Mapping[str, float]) -> float:
    losses = fit.predict(mixture.tokens).mean[0]
    return float(sum(importance[target] * loss for target, loss in zip(fit.targets, losses, strict=True)))


class _Separable:
    """The law `transfer`: each domain's loss depends on its own weight alone."""

    def __init__(
        self, fit: Fit, importance: Mapping[str, float], budget_tokens: float, lower: np.ndarray, upper: np.ndarray
    ) -> None:
        self.fit, self.lower, self.upper, self.budget = fit, lower, upper, budget_tokens / TOKEN_UNIT
        self.theta_KSP = _draws(fit)
        self.importance_K = np.array([importance.get(domain, 0.0) for domain in fit.domains])

    def objective(self, average: bool) -> TransferObjective:
        return TransferObjective(self.theta_KSP, self.importance_K, self.budget, average)

    def best(self) -> tuple[np.ndarray, Certificate]:
        best = allocate(self.objective(average=True), self.lower, self.upper)
        residual, gap, price = (float(x[0]) for x in (best.kkt_residual_B, best.gap_B, best.multiplier_B))
        return best.weights_KB[:, 0], Certificate(residual, gap, price)

    def regret(self, weights: np.ndarray) -> np.ndarray:
        """Return (S,) objective at the weights minus at each draw's own optimum, nats."""
        each, S = self.objective(average=False), self.theta_KSP.shape[1]
        best = allocate(each, self.lower, self.upper, problems=S).weights_KB
        here = np.broadcast_to(weights[:, None], best.shape)
        return np.maximum((each.value(here) - each.value(best)).sum(axis=0), 0)

    def expected(self, weights: np.ndarray) -> float:
        with np.errstate(divide="ignore"):
            return float(self.objective(average=True).value(weights[:, None]).sum())

    def marginal(self, weights: np.ndarray) -> dict[str, float]:
        """Return how fast the expected objective falls per million further tokens of each domain, at the margin, nats.

        A domain's tokens serve its own target as own tokens and every other target as other tokens.
        """
        tokens = weights * self.budget
        others = tokens.sum() - tokens
        step = 1e-4 * max(self.budget, 1e-6)
        as_own, as_other = np.zeros(len(tokens)), np.zeros(len(tokens))
        for target in self.fit.targets:
            i = self.fit.domains.index(target)
            own = np.array([tokens[i], tokens[i] + step, tokens[i]])
            other = np.array([others[i], others[i], others[i] + step])
            losses = self.importance_K[i] * transfer_losses(self.fit.theta_draws(target), own, other).mean(axis=0)
            as_own[i], as_other[i] = (losses[0] - losses[1:]) / step
        return {d: float(as_own[i] + as_other.sum() - as_other[i]) for i, d in enumerate(self.fit.domains)}


class _Coupled:
    """Any other law: every loss may depend on every weight."""

    def __init__(
        self, fit: Fit, importance: Mapping[str, float], budget_tokens: float, lower: np.ndarray, upper: np.ndarray
    ) -> None:
        self.fit, self.lower, self.upper = fit, lower, upper
        self.objective = CoupledObjective.of(fit, importance, budget_tokens)

    def best(self) -> tuple[np.ndarray, Certificate]:
        best = minimise(self.objective, self.lower, self.upper)
        kind = "global" if best.convex else "stationary"
        return best.weights_K, Certificate(best.kkt_residual, best.gap, best.multiplier, kind)

    def regret(self, weights: np.ndarray) -> np.ndarray:
        return best_by_draw(self.objective, weights, self.lower, self.upper, _REGRET_DRAWS)

    def expected(self, weights: np.ndarray) -> float:
        return self.objective.value(weights)

    def marginal(self, weights: np.ndarray) -> dict[str, float]:
        slope = self.objective.slope(weights) / self.objective.budget
        return {domain: float(-slope[i]) for i, domain in enumerate(self.fit.domains)}


def _with_warnings(solution: Solution, fit: Fit, engine: _Separable | _Coupled) -> Solution:
    warnings = list(fit.warnings)
    if solution.extrapolation_factor > _FAR:
        warnings.append(
            f"The budget of {format_tokens(solution.budget_tokens)} is {solution.extrapolation_factor:.1f} times the "
            "largest run of the fit: the floors and exponents are extrapolated that far."
        )

    def expected(weights: Mapping[str, float]) -> float:
        return engine.expected(np.array([weights[domain] for domain in fit.domains]))

    here = expected(solution.weights)
    for name, baseline in solution.baselines.items():
        if expected(baseline["weights"]) <= here:
            warnings.append(
                f"No gain over the {name} mixture is expected: the bounds, or what the runs say, leave none."
            )
    return Solution(**{**solution.__dict__, "warnings": tuple(warnings)})
