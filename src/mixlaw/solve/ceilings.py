"""What losses may be at the most: limits in nats and beside a reference, and how surely they are to hold.

Shape letters: J targets, S draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mixlaw.core.errors import ConfigError
from mixlaw.core.percents import parse_percent, probability
from mixlaw.core.target_units import differences_in
from mixlaw.fit.result import Fit
from mixlaw.solve.coupled_objective import Ceiling, Ceilings, Losses
from mixlaw.solve.sure import SureLosses, probability_below
from mixlaw.solve.wishes import Shares, SolveWishes, require_target, shares_of

BASE = "base"
"""As the reference of `no_worse`: the base model as it was before any training."""

SURE = 0.895
"""A limit that holds less surely is warned of: the certainty of the intervals shown, 90 %, rounded. No data."""


def ceilings_of(fit: Fit, budget_tokens: float, available: Mapping[str, float], wishes: SolveWishes) -> Ceilings | None:
    """Return what losses may not exceed; None where nothing is said.

    Raises:
        ConfigError: an unknown target, a value out of its range, a reference or a certainty without its limits, a
            certainty of a fit without draws, or the base model as the reference of a target on which it was not
            measured.
    """
    floor, reference = dict(wishes.floor or {}), wishes.reference
    no_worse: dict[str, Any] = dict(wishes.no_worse or {})
    if reference is not None and not no_worse:
        raise ConfigError(
            "A reference is set, but no target that must be no worse than with it.", "Set no_worse, such as code=2."
        )
    certainty = _certainty_of(wishes.certainty, bool(floor or no_worse))
    for target, nats in floor.items():
        require_target(fit, target, "floor")
        unit = differences_in([target])
        if not (math.isfinite(nats) and nats > 0):
            raise ConfigError(
                f"The ceiling of target '{target}' is {nats} {unit}; it must be > 0.", "Correct the value."
            )
    for target, percent in no_worse.items():
        require_target(fit, target, "no_worse")
        if not (math.isfinite(percent) and percent > -100):
            raise ConfigError(
                f"no_worse of target '{target}' is {percent} %; it must be a number above -100.", "Correct the value."
            )
    if not floor and not no_worse:
        return None
    losses = Losses.of(fit, [*floor, *no_worse], budget_tokens, available)
    each = [Ceiling(target, nats) for target, nats in floor.items()]
    limits = [np.full(losses.draws, ceiling.nats) for ceiling in each]
    if no_worse:
        reference = reference or usual_reference(fit.domains, available)
        there_JS = _at_reference(
            fit, list(no_worse), reference, available, replace(losses, drawn=losses.drawn[len(floor) :])
        )
        named = reference if isinstance(reference, str) else "your"
        for (target, percent), there_S in zip(no_worse.items(), there_JS, strict=True):
            times = 1 + percent / 100
            each.append(Ceiling(target, times * float(there_S.mean()), named, percent))
            limits.append(times * there_S)
    limits_JS = np.array(limits)
    if certainty is not None:
        if losses.draws < 2:
            raise ConfigError(
                f"certainty is {100 * certainty:g} %, but a fit by '{fit.procedure}' has no intervals.",
                "Leave certainty out, or fit with the procedure joint.",
            )
        losses = SureLosses.under(losses, certainty, limits_JS)
    return Ceilings(losses, tuple(each), limits_JS, certainty)


def kept(ceilings: Ceilings, weights_K: np.ndarray) -> tuple[dict[str, Any], ...]:
    """Return how weights stand to the limits, as `Solution.limits`."""
    found = []
    for ceiling, excess_S in zip(ceilings.each, ceilings.excess_by_draw(weights_K), strict=True):
        expected, reference = ceiling.nats + float(excess_S.mean()), ceiling.nats / (1 + ceiling.percent / 100)
        found.append(
            {
                "target": ceiling.target,
                "reference": ceiling.reference,
                "limit_percent": ceiling.percent,
                "predicted_percent": 100 * (expected / reference - 1),
                "probability_kept": probability_below(excess_S) if len(excess_S) > 1 else None,
            }
        )
    return tuple(found)


def unsure(limits: Sequence[Mapping[str, Any]], ceilings: Ceilings | None) -> list[str]:
    """Return a sentence on the limits that expected losses keep to, but that hold hardly more surely than not."""
    if ceilings is None or ceilings.certainty is not None:
        return []
    chances = [(limit["target"], limit["probability_kept"]) for limit in limits]
    named = [f"{target} {probability(p)}" for target, p in chances if p is not None and p < SURE]
    if not named:
        return []
    return [
        f"By the law the limits hold with a probability of: {', '.join(named)}. For weights that keep to them more "
        "surely, set certainty: 90 %."
    ]


def _certainty_of(percent: float | str | None, limited: bool) -> float | None:
    """Return the certainty as a share of 1; raise ConfigError where it cannot be one or nothing is limited."""
    if percent is None:
        return None
    value = parse_percent(percent, "certainty")
    if not 50 <= value <= 99:
        raise ConfigError(f"certainty is {value:g} %; it must be from 50 to 99 %.", "Write it like 90 %.")
    if not limited:
        raise ConfigError(
            "A certainty is set, but no limit that is to hold with it.", "Set no_worse or floor, such as code=2."
        )
    return value / 100


def _at_reference(
    fit: Fit, targets: list[str], reference: Shares, available: Mapping[str, float], losses: Losses
) -> np.ndarray:
    """Return (J, S) losses of what `no_worse` compares with, in each draw of these targets' losses."""
    if reference == BASE:
        return np.repeat(_of_base(fit, targets)[:, None], losses.draws, axis=1)
    shares = shares_of(fit.domains, reference, available, "reference")
    return losses.by_draw(shares[None])[..., 0]


def usual_reference(domains: Sequence[str], available: Mapping[str, float]) -> str:
    """Return what `no_worse` compares with where nothing is said: natural weights where the tokens are known."""
    return "natural" if all(available.get(domain, 0) > 0 for domain in domains) else "equal"


def _of_base(fit: Fit, targets: list[str]) -> np.ndarray:
    """Return the base model's measured losses; raise ConfigError where there is none of a target."""
    base = fit.base
    if missing := [target for target in targets if target not in base]:
        size = "" if math.isnan(fit.params) else f" of {fit.params:.3g} parameters"
        raise ConfigError(
            f"The reference is base, but the base model{size} was not measured on {', '.join(map(repr, missing))}.",
            "Add a run of zero tokens with its losses to the runs and fit again; `mixlaw run` makes one where the "
            "trainer can.",
        )
    return np.array([base[target] for target in targets])
