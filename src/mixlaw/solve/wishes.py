"""What the user asks of a mixture, once for Python, mix.yaml and the command line, and what is made of it.

`SolveWishes` holds what is said; `Criterion` what is minimised: which losses count, which are capped, and the prior.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

import numpy as np

from mixlaw.core.by_name import Read, amount, by_name, number, share
from mixlaw.core.errors import ConfigError
from mixlaw.core.linear_constraint import LinearConstraint
from mixlaw.core.mixture import Mixture
from mixlaw.core.percents import parse_percent
from mixlaw.core.renamed import renamed, with_new_names
from mixlaw.core.suggestions import suggest
from mixlaw.fit.result import Fit
from mixlaw.solve.constraints import Constraints
from mixlaw.solve.coupled_objective import Ceilings
from mixlaw.solve.prior import Prior

OBJECTIVES = ("mean", "weighted", "max")

Shares = str | Mapping[str, float]
"""A mixture by name, `natural` or `equal`, or domain -> share with a sum of 1."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class SolveWishes:
    """Objective and constraints of the best mixture.

    Attributes:
        objective: `mean` (every target counts 1), `weighted`, or `max` (the largest of the expected losses of the
            targets with a weight above 0). None: `weighted` where there are target weights, else `mean`.
        target_weight: target -> g_j >= 0; targets without one count 0. None: every target counts 1.
        min: domain -> smallest share.
        max: domain -> largest share.
        available: domain -> distinct training tokens; also determines the natural mixture and the epochs.
        max_epochs: largest number of passes over a domain; needs `available`.
        groups: further linear constraints on the shares, such as `code + math <= 0.5` (see
            `mixlaw.core.linear_constraint`).
        floor: target -> largest expected loss, nats.
        no_worse: target -> percent, 1 or "1 %", by which its expected loss may exceed that of the reference at most.
        reference: what `no_worse` compares with: `base`, the measured losses of the base model (how much may be
            forgotten), or a mixture: `natural`, `equal` or domain -> share. None: natural if the available tokens are
            known, else equal.
        prior: a mixture, given likewise, towards which the weights are pulled: + strength KL(w || prior). A domain of
            which it has nothing gets the weight 0.
        prior_strength: nats.
        certainty: how surely `floor` and `no_worse` are to hold over the posterior draws, percent from 50 to 99, 90 or
            "90 %"; beside a mixture both losses are of one draw. None: the expected losses keep to them, which holds
            about as often as not.
    """

    objective: str | None = None
    target_weight: Mapping[str, float] | None = None
    min: Mapping[str, float] | None = None
    max: Mapping[str, float] | None = None
    available: Mapping[str, float] | None = None
    max_epochs: float | None = None
    groups: Sequence[str | LinearConstraint] = ()
    floor: Mapping[str, float] | None = None
    no_worse: Mapping[str, float | str] | None = None
    reference: Shares | None = None
    prior: Shares | None = None
    prior_strength: float | None = None
    certainty: float | str | None = None

    @staticmethod
    def of_config(solve: Mapping[str, Any], available: Mapping[str, float] | None) -> SolveWishes:
        """Return what the part `solve` of a mix.yaml says; without available tokens there are no caps of epochs."""
        return SolveWishes(
            solve.get("objective"),
            solve.get("target_weight") or None,
            solve.get("min"),
            solve.get("max"),
            available,
            solve.get("max_epochs") if available else None,
            solve.get("groups") or (),
            solve.get("floor"),
            *(solve.get(key) for key in ("no_worse", "reference", "prior", "prior_strength", "certainty")),
        )

    @property
    def constraints(self) -> Constraints:
        """The bounds and groups."""
        available = dict(self.available or {})
        return Constraints(self.min or {}, self.max or {}, available, self.max_epochs, tuple(self.groups))


class WishesByName(TypedDict, total=False):
    """The fields of `SolveWishes` as keywords, for type checkers; a test holds the two against each other."""

    objective: str | None
    target_weight: Mapping[str, float] | None
    min: Mapping[str, float] | None
    max: Mapping[str, float] | None
    available: Mapping[str, Any] | None
    max_epochs: float | None
    groups: Sequence[str | LinearConstraint]
    floor: Mapping[str, float] | None
    no_worse: Mapping[str, float | str] | None
    reference: Shares | None
    prior: Shares | None
    prior_strength: float | None
    certainty: float | str | None


OLD_NAMES = {"minimum": "min", "maximum": "max", "ceilings": "floor", "target_weights": "target_weight"}
"""Old name of a field of `SolveWishes` -> its name, which is that of mix.yaml and the command line."""

SolveWishes.__init__ = renamed(**OLD_NAMES)(SolveWishes.__init__)


def with_wishes(function: Function) -> Function:
    """Show the fields of `SolveWishes` as keywords of a function that takes them as `**named`."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    more = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in dataclasses.fields(SolveWishes)
    ]
    function.__signature__ = signature.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
    return function


def wishes_of(wishes: SolveWishes | None, named: Mapping[str, Any]) -> SolveWishes:
    """Return the wishes with those named besides; raise ConfigError for a name that is none."""
    known = [f.name for f in dataclasses.fields(SolveWishes)]
    named = with_new_names(named, OLD_NAMES)
    for name in named:
        if name not in known:
            raise ConfigError(f"solve takes no '{name}'; {suggest(name, known)}.", "See help(mixlaw.solve).")
    if not (wishes is None or isinstance(wishes, SolveWishes)):
        raise ConfigError(
            f"The wishes are a value of type {type(wishes).__name__}; they must be a SolveWishes.",
            "Give its fields by name: solve(fit, '20M', max={'math': 0.4}).",
        )
    return _as_numbers(dataclasses.replace(wishes or SolveWishes(), **named))


_BY_NAME: dict[str, Read] = {
    **{"target_weight": number, "min": share, "max": share, "available": amount, "floor": number},
    **{"no_worse": parse_percent, "reference": share, "prior": share},
}
"""Fields that say a number for each name, and how it is read."""


def _as_numbers(wishes: SolveWishes) -> SolveWishes:
    """Return the wishes with numbers in the place of texts; raise ConfigError for what is neither."""
    read: dict[str, Any] = {}
    for key, value in ((key, getattr(wishes, key)) for key in _BY_NAME):
        if value is not None and not (isinstance(value, str) and key in ("reference", "prior")):
            read[key] = by_name(value, key, _BY_NAME[key])
    for key, reads in {"max_epochs": number, "prior_strength": number, "certainty": parse_percent}.items():
        if (value := getattr(wishes, key)) is not None:
            read[key] = reads(value, key)
    one = isinstance(wishes.groups, (str, LinearConstraint))
    return dataclasses.replace(wishes, **read, groups=(wishes.groups,) if one else tuple(wishes.groups or ()))


@dataclass(frozen=True)
class Criterion:
    """What is minimised.

    Attributes:
        objective: `mean`, `weighted` or `max`.
        importance: target -> g_j; where the worst counts, those above 0 count alike.
        ceilings: losses that may not be exceeded, or None.
        prior: the pull towards a mixture, or None.
        available: domain -> distinct tokens there are, where repeats count.
    """

    objective: str
    importance: dict[str, float]
    ceilings: Ceilings | None = None
    prior: Prior | None = None
    available: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> bool:
        """Whether the largest loss is minimised."""
        return self.objective == "max"


def importance_of(fit: Fit, objective: str | None, target_weights: Mapping[str, float] | None) -> tuple[str, dict]:
    """Return the objective's name and target -> g_j.

    Args:
        fit: with the targets.
        objective: None: `weighted` where there are weights, else `mean`.
        target_weights: targets left out count 0; None: every target counts 1.

    Raises:
        ConfigError: an unknown objective or target, a weight out of its range, or weights that the objective ignores.
    """
    objective = objective or ("mean" if target_weights is None else "weighted")
    if objective not in OBJECTIVES:
        raise ConfigError(f"There is no objective '{objective}'.", f"Choose from: {', '.join(OBJECTIVES)}.")
    if objective == "mean" and target_weights is not None:
        raise ConfigError(
            "The objective 'mean' counts all targets the same; it takes no weights.", "Choose weighted or max."
        )
    if objective == "weighted" and not target_weights:
        raise ConfigError("The objective 'weighted' needs the weight of at least one target.", "Give target weights.")
    given = dict.fromkeys(fit.targets, 1.0) if target_weights is None else dict(target_weights)
    for target, value in given.items():
        require_target(fit, target, "The weights")
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"The weight of target '{target}' is {value}; it must be >= 0.", "Correct the value.")
    if not any(value > 0 for value in given.values()):
        raise ConfigError("All target weights are 0, so there is nothing to minimise.", "Give one target a weight.")
    return objective, {target: float(given.get(target, 0.0)) for target in fit.targets}


def prior_of(
    domains: tuple[str, ...], prior: Shares | None, strength: float | None, available: Mapping[str, float]
) -> Prior | None:
    """Return the pull towards a mixture; None where there is none or its strength is 0.

    Raises:
        ConfigError: one without the other, a strength out of its range, or a mixture that cannot be read.
    """
    if prior is None and strength is None:
        return None
    if prior is None:
        raise ConfigError(
            f"prior_strength is {strength}, but there is no prior: the mixture to pull towards.", "Set prior: equal."
        )
    if strength is None:
        raise ConfigError(
            "A prior needs prior_strength: how strongly the weights are pulled towards it.",
            "Set prior_strength, in nats, such as 0.1.",
        )
    if not (math.isfinite(strength) and strength >= 0):
        raise ConfigError(f"The prior strength is {strength} nats; it must be >= 0.", "Correct the value.")
    shares = shares_of(domains, prior, available, "prior")
    return Prior(shares, float(strength)) if strength > 0 else None


def shares_of(domains: tuple[str, ...], shares: Shares, available: Mapping[str, float], what: str) -> np.ndarray:
    """Return (K,) shares of a mixture said by name or by shares; raise ConfigError where that cannot be."""
    K = len(domains)
    if isinstance(shares, Mapping):
        for name in shares:
            if name not in domains:
                raise ConfigError(
                    f"{what}: there is no domain '{name}'; {suggest(name, domains)}.", "Correct the name."
                )
        try:
            mixture = Mixture({domain: float(shares.get(domain, 0.0)) for domain in domains}, 1)
        except ConfigError as error:
            raise ConfigError(f"{what}: {error.message}", error.hint) from None
        found = np.array([mixture.weights[domain] for domain in domains])
        return found / found.sum()
    if shares == "equal":
        return np.full(K, 1 / K)
    if shares != "natural":
        raise ConfigError(
            f"The {what} is '{shares}', which is not a mixture.", "Write natural, equal, or domain=share,..."
        )
    missing = [domain for domain in domains if domain not in available]
    total = math.fsum(available.get(domain, 0.0) for domain in domains)
    if missing or not total > 0:
        which = f"of {', '.join(map(repr, missing))}" if missing else "of any domain"
        raise ConfigError(
            f"The {what} is natural, but the available tokens {which} are not known.",
            "Give the available tokens, such as code=3M.",
        )
    return np.array([available[domain] for domain in domains]) / total


def require_target(fit: Fit, target: str, what: str) -> None:
    if target not in fit.targets:
        raise ConfigError(
            f"{what}: there is no target '{target}'; {suggest(target, fit.targets)}.", "Correct the name."
        )
