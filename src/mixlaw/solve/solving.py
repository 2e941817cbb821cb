"""`solve_mixture`: from a fit to the best weights at a budget, with what they promise and a proof.

    minimise over w    sum_j g_j E_theta[ L_j(w N; theta) ]  or  max_j E_theta[ L_j ],   + s KL(w || p)
    subject to         sum_i w_i = 1,  lower <= w <= upper,  A w <= b,  E_theta[ L_m ] <= c_m,
                       or L_m <= c_m with a certainty (`mixlaw.solve.sure`)

The expectation runs over the posterior draws of the law's parameters: a domain whose curve is uncertain is not bet on.
The regret runs over the same draws, but doubts what the runs cannot show: beyond the largest run half of the draws are
those before domains were taken to gain alike (`mixlaw.fit.alike`), and where the best mixture lies outside what the
runs can be mixed to, each target's gains are moved by a factor of their own (`mixlaw.fit.posterior.extrapolation`).
Best weights, certificate, predictions and probabilities do without these doubts.
With a law whose losses depend on one weight each, such as `transfer`, a weighted objective and bounds only, the problem
is separable and convex and is solved exactly (`mixlaw.solve.allocation`); everything else is solved by
`mixlaw.solve.coupled`, with a certificate of its own.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eq. 6 and appendices B, C. Differs: the expected loss instead of the loss
at the point estimate, other objectives, constraints, and the exact multiplier search instead of SLSQP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from mixlaw.core.by_name import amount
from mixlaw.core.errors import ConfigError, SolveError
from mixlaw.core.mixture import Mixture
from mixlaw.fit.posterior.extrapolation import part_outside
from mixlaw.fit.reach import outside, unlike
from mixlaw.fit.result import Fit
from mixlaw.solve.ceilings import ceilings_of, kept, unsure
from mixlaw.solve.coupled_objective import Losses
from mixlaw.solve.engines import Engine, engine_for
from mixlaw.solve.mixed_units import mixed_units
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.solution import Certificate, Solution
from mixlaw.solve.wishes import (
    Criterion,
    SolveWishes,
    WishesByName,
    importance_of,
    prior_of,
    wishes_of,
    with_wishes,
)

_GAIN = 1e-12
"""A gain of a smaller part of the objective is rounding. No data."""

_MET = 1e-9
"""How far weights may miss a constraint and still count as meeting it. No data."""

_INTERVAL = (0.05, 0.95)
"""Quantiles of the 90 % interval of marginal values. Usual. No data."""


@with_wishes
def solve_mixture(
    fit: Fit,
    budget_tokens: float,
    wishes: SolveWishes | None = None,
    *,
    regrets: bool = True,
    **named: Unpack[WishesByName],
) -> Solution:
    """Return the weights with the smallest expected loss at a budget.

    Where no gain over a natural mixture that the constraints allow is expected, that mixture is recommended.

    Args:
        fit: a fitted law.
        budget_tokens: N, training tokens.
        wishes: what is asked of the mixture; None: nothing.
        regrets: whether regrets are wanted, which take most of the time; without, `expected_regret` is empty.
        named: fields of `SolveWishes` by name, in their place.

    Raises:
        ConfigError: a budget, weight or bound out of its range, an unknown name, or a group that cannot be read.
        Infeasible: no mixture meets the constraints; names those that bind.
        SolveError: the law gives no finite loss.
    """
    budget_tokens = amount(budget_tokens, "The budget")
    if not (math.isfinite(budget_tokens) and budget_tokens >= 1):
        raise ConfigError(f"The budget is {budget_tokens} tokens; it must be at least 1.", "Write it like 20M.")
    wishes = wishes_of(wishes, named)
    budget_tokens, available = round(budget_tokens), dict(wishes.available or {})
    name, importance = importance_of(fit, wishes.objective, wishes.target_weight)
    if wishes.max_epochs is not None and not available:
        raise ConfigError(
            "max_epochs needs the available tokens of the domains.", "Give them with --available code=3M."
        )
    constraints = wishes.constraints
    constraints.check(fit.domains)
    pull = prior_of(fit.domains, wishes.prior, wishes.prior_strength, available)
    if pull is not None:
        without = tuple(d for d, share in zip(fit.domains, pull.share_K, strict=True) if share == 0)
        constraints = replace(constraints, excluded=without)
    polytope = constraints.polytope(fit.domains, budget_tokens)
    caps = ceilings_of(fit, budget_tokens, available, wishes)
    criterion = Criterion(name, importance, caps, pull, available)
    engine = engine_for(fit, criterion, budget_tokens, polytope)
    weights, certificate = engine.best()
    if not np.all(np.isfinite(weights)):
        raise SolveError("The law has no finite marginal gain at any mixture.", "Check the parameters of the fit.")
    mixtures = {"best": _mixture(fit.domains, weights, budget_tokens), **_baselines(fit, available, budget_tokens)}
    # What a mixture is worth is a matter of losses: a pull towards a prior decides on the weights alone.
    free = replace(criterion, prior=None)
    judge = engine if pull is None else engine_for(fit, free, budget_tokens, polytope)
    mixtures, warnings = _or_natural(mixtures, engine, criterion, polytope)
    warnings += _no_gain(mixtures, judge)
    if constraints.excluded:
        warnings.append(
            f"The prior gives {', '.join(map(repr, constraints.excluded))} no share, so the solution gives none."
        )
    return _solution(fit, free, polytope, (engine, judge), certificate, mixtures, warnings, regrets)


def _mixture(domains: tuple[str, ...], weights: np.ndarray, budget_tokens: int) -> Mixture:
    return Mixture(dict(zip(domains, map(float, weights / weights.sum()), strict=True)), budget_tokens)


def _baselines(fit: Fit, available: Mapping[str, float], budget_tokens: int) -> dict[str, Mixture]:
    mixtures = {"equal": Mixture.equal(list(fit.domains), budget_tokens)}
    if all(available.get(domain, 0) > 0 for domain in fit.domains):
        mixtures["natural"] = Mixture.natural({domain: available[domain] for domain in fit.domains}, budget_tokens)
    return mixtures


def _or_natural(
    mixtures: dict[str, Mixture], engine: Engine, criterion: Criterion, polytope: Polytope
) -> tuple[dict[str, Mixture], list[str]]:
    """Return the mixtures, with natural as the best where nothing is gained over it, and a sentence about that."""
    if "natural" not in mixtures or not _allowed(_shares(mixtures["natural"]), criterion, polytope):
        return mixtures, []
    best, natural = (engine.expected(_shares(mixtures[name])) for name in ("best", "natural"))
    if natural - best > _GAIN * abs(natural):
        return mixtures, []
    text = "The natural mixture is recommended: no other mixture is expected to be better."
    return mixtures | {"best": mixtures["natural"]}, [text]


def _no_gain(mixtures: Mapping[str, Mixture], judge: Engine) -> list[str]:
    """Return a sentence for each mixture, other than the best itself, over which nothing is gained."""
    best = judge.expected(_shares(mixtures["best"]))
    others = {name: mixture for name, mixture in mixtures.items() if mixture is not mixtures["best"]}
    values = {name: judge.expected(_shares(mixture)) for name, mixture in others.items()}
    return [
        f"No gain over the {name} mixture is expected: the bounds, the prior or the runs leave no room for one."
        for name, value in values.items()
        if value - best <= _GAIN * abs(value)
    ]


def _allowed(weights_K: np.ndarray, criterion: Criterion, polytope: Polytope) -> bool:
    over = 0.0 if criterion.ceilings is None else float(criterion.ceilings.excess(weights_K).max())
    return polytope.violation(weights_K) <= _MET and over <= _MET


def _shares(mixture: Mixture) -> np.ndarray:
    return np.array(list(mixture.weights.values()))


def _solution(
    fit: Fit,
    criterion: Criterion,
    polytope: Polytope,
    engines: tuple[Engine, Engine],
    certificate: Certificate,
    mixtures: Mapping[str, Mixture],
    warnings: list[str],
    regrets: bool,
) -> Solution:
    """Return the solution; `engines` are the one that found the weights, and the one that judges losses alone."""
    engine, judge = engines
    part = part_outside(_shares(mixtures["best"]), fit.runs.tokens_RK)
    doubting = None
    if regrets:
        budget = mixtures["best"].budget_tokens
        sure = part == 0 and not float(fit.distance(budget)) > 0
        doubting = judge if sure else engine_for(fit, criterion, budget, polytope, doubt=part)
    described = _described(fit, criterion, judge, doubting, mixtures)
    best, mixture = described.pop("best"), mixtures["best"]
    weights = _shares(mixture)
    marginal_SK = engine.marginal(weights)
    marginal = marginal_SK.mean(axis=0)
    low, high = np.quantile(marginal_SK, _INTERVAL, axis=0)
    percent = 100 * marginal / best["objective_value"] if best["objective_value"] else np.full(len(marginal), np.nan)
    factor = mixture.budget_tokens / fit.largest_run
    base = fit.base
    far = outside(np.array([float(mixture.budget_tokens)]), fit.runs.totals_R, "The budget")
    warnings = [*fit.warnings, *far, *unlike(part), *warnings, *_forgotten(base, best["predicted"])]
    warnings += _backwards(fit, criterion, mixture)
    limits = () if criterion.ceilings is None else kept(criterion.ceilings, weights)
    warnings += unsure(limits, criterion.ceilings)
    warnings += mixed_units(fit, criterion.importance, criterion.objective)
    return Solution(
        status="optimal",
        budget_tokens=mixture.budget_tokens,
        weights=dict(mixture.weights),
        tokens=mixture.tokens,
        epochs=best["epochs"],
        predicted=best["predicted"],
        expected_regret=best["regret"],
        baselines=described,
        total_loss=best["total_loss"],
        marginal={domain: float(marginal[i]) for i, domain in enumerate(fit.domains)},
        certificate=certificate,
        extrapolation_factor=factor,
        target_weights=criterion.importance,
        warnings=tuple(warnings),
        objective=criterion.objective,
        objective_value=best["objective_value"],
        marginal_interval={
            domain: {"low": float(low[i]), "high": float(high[i]), "percent": float(percent[i])}
            for i, domain in enumerate(fit.domains)
        },
        base=base,
        limits=limits,
    )


def _described(
    fit: Fit, criterion: Criterion, engine: Engine, doubting: Engine | None, mixtures: Mapping[str, Mixture]
) -> dict[str, dict[str, Any]]:
    """Return what `Solution.baselines` says of each mixture; `best` is the first.

    Regrets are those of the engine that doubts what the law says outside the runs' mixtures, all else of the other;
    without one there are none.
    """
    tokens = [list(mixture.tokens.values()) for mixture in mixtures.values()]
    prediction = fit.predict(np.array(tokens, float), criterion.available or None)
    best_S = engine.by_draw(_shares(mixtures["best"]))
    regret_of = _regrets(doubting, _shares(mixtures["best"])) if doubting else lambda _: {}
    found = {}
    for row, (name, mixture) in enumerate(mixtures.items()):
        weights = _shares(mixture)
        each_S = engine.by_draw(weights)
        losses = zip(fit.targets, prediction.mean[row], strict=True)
        found[name] = {
            "weights": dict(mixture.weights),
            "epochs": _epochs(mixture, criterion.available),
            "predicted": prediction.of_mixture(row),
            "total_loss": float(sum(criterion.importance[target] * loss for target, loss in losses)),
            "objective_value": engine.expected(weights),
            "regret": regret_of(weights),
            "probability_better": float(np.mean(best_S < each_S)),
        }
    return found


def _regrets(engine: Engine, best_K: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """Return what gives the regret of weights: mean and 95th percentile over the draws."""
    draws, lowest = engine.best_by_draw(best_K)
    lowest = np.minimum(lowest, engine.by_draw(best_K)[draws])

    def regret_of(weights_K: np.ndarray) -> dict[str, float]:
        regret = engine.by_draw(weights_K)[draws] - lowest
        return {"mean": float(regret.mean()), "p95": float(np.quantile(regret, 0.95))}

    return regret_of


def _epochs(mixture: Mixture, available: Mapping[str, float]) -> dict[str, float]:
    return {
        domain: tokens / available[domain] for domain, tokens in mixture.tokens.items() if available.get(domain, 0) > 0
    }


def _backwards(fit: Fit, criterion: Criterion, mixture: Mixture) -> list[str]:
    """Return a sentence on the targets whose loss a domain's own tokens raise at a mixture, in most of the draws."""
    own = [target for target in fit.targets if target in fit.domains and criterion.importance.get(target, 0) > 0]
    if not own:
        return []
    losses = Losses.of(fit, own, mixture.budget_tokens, criterion.available)
    slopes = zip(own, losses.slopes_by_draw(_shares(mixture)), strict=True)
    raised = [target for target, slope_SK in slopes if np.mean(slope_SK[:, fit.domains.index(target)] > 0) > 0.5]
    return [
        f"{target}: by the law, more of its own tokens would raise this loss at these weights, which is hardly true. "
        "Set a least share of it (min), or fit another law, such as transfer."
        for target in raised
    ]


def _forgotten(base: Mapping[str, float], predicted: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a sentence on the targets that are expected to be worse than before the training."""
    worse = {t: 100 * (predicted[t]["mean"] / loss - 1) for t, loss in base.items() if predicted[t]["mean"] > loss > 0}
    if not worse:
        return []
    named = ", ".join(f"{target} {percent:.2g} %" for target, percent in worse.items())
    return [f"Expected to be forgotten, loss above the base model's: {named}. no_worse with reference base caps that."]
