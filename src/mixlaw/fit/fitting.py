"""`fit_law`: from a run table to a Fit, by any law, and for `transfer` by one of three procedures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from mixlaw.core.errors import ConfigError, DataError, FitError, NotIdentifiable
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.choosing.apart import Part, notes_of, parts_of
from mixlaw.fit.choosing.base_model import base_left_out, without_base
from mixlaw.fit.choosing.choice import Choice
from mixlaw.fit.choosing.held_out import require_one_size
from mixlaw.fit.choosing.repetition import counted, find_decay
from mixlaw.fit.curve import Curve, Scatter
from mixlaw.fit.estimating.estimator import Estimated, trained
from mixlaw.fit.estimating.own_curve import own_curve_rows
from mixlaw.fit.estimating.published import PUBLISHED_OWN, fit_published
from mixlaw.fit.estimating.transfer import TransferEstimator
from mixlaw.fit.fidelity import Evidence, evidence, split
from mixlaw.fit.judging import belief_of, judged_targets, of_parts
from mixlaw.fit.posterior.convergence import EFFECTIVE, RHAT
from mixlaw.fit.posterior.extrapolation import Beyond
from mixlaw.fit.result import Fit, TargetFit
from mixlaw.fit.size import largest_size, log_sizes
from mixlaw.fit.studies import aligned, said_of
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind, find
from mixlaw.laws.transfer import Transfer

PROCEDURES = ("joint", "own_curve", "published")

_SAME = 0.01
"""A domain whose tokens differ by no more than this part of them is the same in every run. No data."""

_ALIKE = 0.7
"""Similarity (difflib) above which the name of a target may be a misspelt name of a domain. No data."""


def fit_law(
    runs: RunTable, law: Any = "auto", procedure: str = "joint", seed: int = 0, repetition: float | str = "auto"
) -> Fit:
    """Fit a law to every target's own loss, nats per supervised token.

    Args:
        runs: R runs.
        law: a law or regressor, by name, class or instance (see `mixlaw.laws.find`), or `auto`: of `transfer` and
            `pairwise` the simplest whose error on held-out mixtures is within one standard error of the smaller one;
            with one domain, of `transfer`, `pairwise` and `rectified` the one that predicts the largest runs best.
            Targets that follow another law, or none, get what serves them (`mixlaw.fit.choosing.by_target`).
        procedure: `joint` (all runs at once, with priors and uncertainty); for `transfer` also `own_curve` (each
            domain's own perturbation runs, without priors) and `published` (the paper's two steps).
        seed: of the posterior draws.
        repetition: how repeated tokens count, where the table has `unique_RK`: `auto` (fitted where runs repeat),
            `off` (in full), or the decay R* of `mixlaw.laws.repetition`.

    Returns:
        The fit; each target has a status and a sentence. Runs of zero tokens are the base model as it is: laws that
        know it take them, unless held-out runs are then predicted worse (`mixlaw.fit.choosing.base_model`). Runs of
        several studies are brought to the level of the first (`mixlaw.fit.studies`); its `runs.shifts` say how.

    Raises:
        ConfigError: no such law or procedure; a law that knows one model size and runs of several.
        DataError: a target was never measured.
        FitError: a target is not a domain where the law needs it, or the procedure does not fit the design.
        TooFewRuns: too few distinct mixtures for the law.
        NotIdentifiable: the runs leave parameters open, or a target has one and the same loss in all of them.

    Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eqs. 2-5. Differs: see `mixlaw.fit.estimating`.
    """
    asked = _asked(law, procedure)
    runs, merged = split(runs)
    require_losses(runs)
    runs = aligned(runs, find("pairwise") if asked is None or asked.law is None else asked)
    parts: list[Part] = []
    decay, fresh, notes, left = float("inf"), runs, ["", ""], ()
    choice = Choice("transfer" if asked is None else asked.name)
    if procedure == "joint":
        first = asked or find("transfer" if set(runs.targets) <= set(runs.domains) else "pairwise")
        decay, notes[0] = find_decay(runs, first, repetition)
        fresh = counted(runs, decay)
        left, notes[1] = base_left_out(fresh, asked or find("pairwise"))
        fresh = without_base(fresh, left)
    uses_base = set(left) != set(runs.targets)
    if procedure == "joint" and asked is None:
        parts = parts_of(fresh, uses_base, alone=merged is None)
        choice = parts[0].choice
    kind = replace(asked or find(choice.law), uses_base=uses_base)
    if asked is None and uses_base and not kind.knows_base and (runs.totals_R == 0).any():
        notes[1] = f"Law '{kind.name}' says nothing of the base model as it is: its losses are not fitted."
    require_one_size(runs, kind)
    found = Evidence(fresh, np.full(fresh.losses_RJ.shape, np.nan))
    if merged is not None and procedure == "joint":
        found = evidence(fresh, merged, kind)
    if procedure != "joint":
        targets = _by_curves(runs, procedure)
    elif asked is not None:
        targets = judged_targets(fresh, kind, seed, choice.checked, found)
    else:
        targets = of_parts(fresh, parts, uses_base, seed, found)
    return Fit(
        kind.name,
        procedure,
        runs.domains,
        targets,
        runs,
        (
            *(text for part in parts for text in part.chosen.warnings),
            *_warnings(targets),
            *_warnings_of_runs(runs, kind, asked is not None and uses_base),
            *found.warnings,
        ),
        " ".join(filter(None, [choice.reason, *notes_of(parts), *notes, *found.notes, said_of(runs)])),
        decay,
        float("nan") if log_sizes(runs) is None else largest_size(runs),
        left,
    )


def _asked(law: Any, procedure: str) -> LawKind | None:
    """Return the law that is wished for; None where it is to be chosen."""
    kind = None if isinstance(law, str) and law == "auto" else find(law)
    if procedure not in PROCEDURES:
        raise ConfigError(f"There is no procedure '{procedure}'.", f"Choose one of: {', '.join(PROCEDURES)}.")
    if procedure != "joint" and kind is not None and kind.law is not Transfer:
        raise ConfigError(
            f"Procedure '{procedure}' belongs to law 'transfer', not to '{kind.name}'.",
            "Leave out the procedure, or change the law.",
        )
    return kind


def require_losses(runs: RunTable) -> None:
    """Raise where there is no target, or one whose losses show nothing: DataError or NotIdentifiable."""
    if not runs.targets:
        metrics = ", ".join(runs.metrics) or "none"
        raise DataError(
            f"The runs have no losses (metrics: {metrics}).",
            "Fit a metric: metrics={'accuracy': 'higher'} in Python, --metric accuracy=higher on the command line.",
        )
    for target, column in zip(runs.targets, runs.losses_RJ.T, strict=True):
        known = np.isfinite(column)
        if not known.any():
            raise DataError(f"Target '{target}' has no loss in any run.", "Delete its column, or measure it.")
        if known.sum() > 1 and np.ptp(column[known]) == 0 and len(np.unique(runs.tokens_RK[known], axis=0)) > 1:
            raise NotIdentifiable(
                f"Target '{target}' has the loss {column[known][0]:.6g} in all of its {known.sum()} runs, so "
                "nothing shows what changes it.",
                "Write losses with all of their digits, or delete its column.",
            )


def _warnings(targets: dict[str, TargetFit]) -> tuple[str, ...]:
    said = [f"{name}: {fitted.message}" for name, fitted in targets.items() if fitted.status == "worse_than_mean"]
    bound = {name: ", ".join(fitted.at_bound) for name, fitted in targets.items() if fitted.at_bound}
    said += [fitted.odd for fitted in targets.values() if fitted.odd]
    said += [f"{name}: {which} ended at a bound." for name, which in bound.items()]
    poor = {n: t.convergence for n, t in targets.items() if t.convergence is not None and t.convergence.poor}
    if poor:
        worst = min(poor, key=lambda name: poor[name].effective)
        said.append(
            f"{', '.join(poor)}: the posterior draws had not settled when their time was up ({worst}: they are worth "
            f"{poor[worst].effective:.0f} independent ones, where {EFFECTIVE:.0f} are enough, and R-hat is "
            f"{poor[worst].rhat:.2f}, where it should be below {RHAT:g}). Expected losses and intervals may be off: "
            "add runs, or choose a simpler law."
        )
    return tuple(said)


def _warnings_of_runs(runs: RunTable, kind: LawKind, asked: bool) -> tuple[str, ...]:
    """Return sentences about runs and columns that are not what they seem, to a law that was asked for or chosen."""
    said, bare = [], [d for d in runs.domains if d not in runs.targets]
    idle = [name for name, total in zip(runs.runs, runs.totals_R, strict=True) if total == 0]
    if idle and asked and not kind.knows_base:
        said.append(
            f"{', '.join(idle)}: not used, because law '{kind.name}' cannot use a run without tokens (the base "
            "model). pairwise can, and rectified if there is one domain."
        )
    known_RK = runs.tokens_RK[runs.totals_R > 0]
    for name, tokens_R in zip(runs.domains, known_RK.T, strict=True):
        top = float(tokens_R.max())
        if len(runs.domains) > 1 and len(known_RK) > 1 and np.ptp(tokens_R) <= _SAME * top:
            amount = f"{format_tokens(top)} tokens in every run" if top else "no tokens in any run"
            said.append(
                f"'{name}' has {amount}, so the runs cannot tell what it is worth, and its weight is a guess. Vary it "
                "in some runs, or set its weight yourself (min, max)."
            )
    for target in (t for t in runs.targets if t not in runs.domains):
        if near := get_close_matches(target, bare, 1, _ALIKE):
            said.append(
                f"'{target}' is fitted as a target that is not a domain, and domain '{near[0]}' has no loss: if they "
                f"are the same, rename the column loss:{target}."
            )
    return tuple(said)


def _by_curves(runs: RunTable, procedure: str) -> dict[str, TargetFit]:
    """Return the targets fitted to their own curves, as the paper does: only k R^alpha is determined."""
    found: dict[str, TargetFit] = {}
    runs = trained(runs)
    for j, target in enumerate(runs.targets):
        if target not in runs.domains:
            raise FitError(
                f"Procedure '{procedure}' needs a domain for every target; '{target}' has none.", "Delete its column."
            )
        measured = runs.take(np.isfinite(runs.losses_RJ[:, j]))
        curve_runs = measured.take(own_curve_rows(measured, target))
        one = replace(curve_runs, targets=(target,), losses_RJ=curve_runs.losses_RJ[:, [j]], counts_RJ=None)
        fit = _published if procedure == "published" else TransferEstimator(informed=False).fit
        (estimated,) = fit(one)
        found[target] = TargetFit(
            belief_of(runs, j, estimated.curve, Beyond()), "not_identifiable", _BY_CURVES[procedure], estimated.at_bound
        )
    return found


_BY_CURVES = {
    "own_curve": "The tokens of the other domains are constant on this curve, so only k R^alpha is determined.",
    "published": "The published procedure fits one curve on which only k R^alpha is determined; it has no intervals.",
}


def _published(runs: RunTable) -> Sequence[Estimated]:
    """Return one target's curve by the paper's two steps."""
    (target,), losses_R = runs.targets, runs.losses_RJ[:, 0]
    own_R = runs.tokens_RK[:, runs.domains.index(target)] / MILLION
    others = float(np.median(np.maximum(runs.totals_R / MILLION - own_R, 0)))
    # Its fixed starts suit runs of the published size, so amounts are told in a unit in which these have that size.
    scale = PUBLISHED_OWN / float(np.median(own_R))
    C, k, alpha, beta, E = fit_published(scale * own_R, scale * others, losses_R)
    C, k = C * scale**-beta, k * scale ** (alpha - 1)
    theta_P = np.array([C, k, alpha, beta, E])
    predicted = C * (own_R + k * others**alpha) ** -beta + E
    degrees = max(len(own_R) - 4, 1)
    scatter = Scatter(float(np.sqrt(((predicted - losses_R) ** 2).sum() / degrees)))
    law = Transfer(runs.domains, target)
    return [Estimated(Curve(law, theta_P, np.repeat(theta_P[None], 2, axis=0), scatter))]
