"""Targets' estimates judged: what held-out runs say of each, its status, and what decisions rest on.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.apart import Part
from mixlaw.fit.choosing.beyond import measured
from mixlaw.fit.choosing.by_target import ByTarget
from mixlaw.fit.choosing.held_out import Errors, errors_of, estimator_of, held_out, of_targets
from mixlaw.fit.choosing.odd import said_of_odd
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.curve import Belief, Curve
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.estimating.inside import inside
from mixlaw.fit.fidelity import Evidence
from mixlaw.fit.posterior.extrapolation import Beyond, standard_normals
from mixlaw.fit.target_fit import CHECKED, TargetFit
from mixlaw.laws import LawKind, find

DRAWS = 200
"""How many posterior draws are kept with a fit. No data."""


def each_by_its_law(
    runs: RunTable, chosen: ByTarget, uses_base: bool, seed: int, found: Evidence
) -> dict[str, TargetFit]:
    """Return the targets, each fitted by what serves it.

    Args:
        runs: with repeated tokens counted.
        chosen: what serves each target.
        uses_base: whether laws that take runs without tokens get them.
        seed: of the posterior draws.
        found: as in `judged_targets`.
    """
    names = dict.fromkeys([one.law for one in chosen.served] + [one.alternative for one in chosen.served])
    by_law = {
        name: _of_law(runs, replace(find(name), uses_base=uses_base), chosen, seed, found) for name in names if name
    }
    targets = {}
    for j, (target, one) in enumerate(zip(runs.targets, chosen.served, strict=True)):
        fitted = by_law[one.law][target]
        if one.alternative:
            fitted = _believing_both(fitted, by_law[one.alternative][target])
        targets[target] = _inside(fitted, runs, j, one.inside, chosen.rows[one.inside]) if one.inside else fitted
    return targets


def of_parts(
    runs: RunTable, parts: Sequence[Part], uses_base: bool, seed: int, found: Evidence
) -> dict[str, TargetFit]:
    """Return the targets in the order of the table, each fitted with its part by what serves it.

    Args: as `each_by_its_law`; `found` is of all targets, so it says nothing where there are several parts.
    """
    if len(parts) == 1:
        return each_by_its_law(runs, parts[0].chosen, uses_base, seed, found)
    by_place = {}
    for part in parts:
        none = Evidence(part.runs, np.full(part.runs.losses_RJ.shape, np.nan))
        fits = each_by_its_law(part.runs, part.chosen, uses_base, seed, none)
        by_place |= {j: _of_table(fitted, runs, j) for j, fitted in zip(part.places, fits.values(), strict=True)}
    return {target: by_place[j] for j, target in enumerate(runs.targets)}


def _of_law(runs: RunTable, kind: LawKind, chosen: ByTarget, seed: int, found: Evidence) -> dict[str, TargetFit]:
    """Return the targets of one law: all of them where its figures are of all, since they share strength."""
    row = chosen.rows.get(kind.name)
    some = [j for j in range(len(runs.targets)) if row is None or np.isfinite(row.predicted_RJ[:, j]).any()]
    if row is None or len(some) == len(runs.targets) or not some:
        return judged_targets(runs, kind, seed, row, found)
    few, row = of_targets(runs, some), replace(row, predicted_RJ=row.predicted_RJ[:, some])
    targets = judged_targets(few, kind, seed, row, Evidence(few, np.full(few.losses_RJ.shape, np.nan)))
    return {name: _of_table(fitted, runs, runs.targets.index(name)) for name, fitted in targets.items()}


def _of_table(fitted: TargetFit, runs: RunTable, j: int) -> TargetFit:
    """Return the fit of a target that was fitted without others, with the normals of its place among them."""
    normals_S = standard_normals(runs.losses_RJ, j, len(fitted.belief.normals_S))
    return replace(fitted, belief=replace(fitted.belief, normals_S=normals_S))


def _inside(fitted: TargetFit, runs: RunTable, j: int, name: str, row: LawRow) -> TargetFit:
    """Return a target's fit with a regressor in its law's place within the range of the runs."""
    kind, beyond, curve = find(name), fitted.belief.beyond, fitted.curve
    # Beyond the runs the law is as far off as it is within.
    off = curve.scatter.sd_nats / float(np.nanmedian(np.abs(runs.losses_RJ[:, j])))
    belief = replace(
        fitted.belief,
        curves=(inside(curve, kind, runs),),
        beyond=replace(beyond, shock=float(np.hypot(beyond.shock, off))),
    )
    errors = errors_of(row.predicted_RJ[:, j], runs.losses_RJ[:, j], runs.tokens_RK)
    status, message = _verdict(Estimated(belief.curve), errors, row.note)
    return replace(
        fitted,
        belief=belief,
        status=status,
        message=f"{message} ('{name}' within the range of the runs, '{curve.law.name}' beyond it.)",
        at_bound=(),
        **dict(zip(CHECKED, errors, strict=True)),
    )


def judged_targets(
    runs: RunTable, kind: LawKind, seed: int, checked: LawRow | None, found: Evidence
) -> dict[str, TargetFit]:
    """Return the targets fitted to all evidence and judged by held-out runs.

    Args:
        runs: with repeated tokens counted.
        kind: the law of all targets.
        seed: of the posterior draws.
        checked: losses predicted while mixtures were held out, where they are known already.
        found: the runs, and the merges that they vouch for.

    Raises:
        DataError: a regressor cannot be held to account.
    """
    estimates = estimator_of(kind).fit(found.runs, seed, DRAWS)
    checked = checked or held_out(runs, kind)
    known_RJ = np.isfinite(found.predicted_RJ)
    checked = replace(checked, predicted_RJ=np.where(known_RJ, found.predicted_RJ, checked.predicted_RJ))
    if checked.note and kind.law is None:
        raise DataError(checked.note, "Choose another law.")
    beyond = measured(runs, kind, estimates, checked)
    return {target: _judged(runs, j, estimates[j], checked, beyond[j]) for j, target in enumerate(runs.targets)}


def _judged(runs: RunTable, j: int, one: Estimated, checked: LawRow, beyond: Beyond) -> TargetFit:
    """Return a target's fit with its errors on held-out mixtures and a verdict."""
    errors = errors_of(checked.predicted_RJ[:, j], runs.losses_RJ[:, j], runs.tokens_RK)
    status, message = _verdict(one, errors, checked.note)
    odd = said_of_odd(runs, j, checked.predicted_RJ[:, j])
    known = (one.information, one.convergence)
    return TargetFit(belief_of(runs, j, one.curve, beyond), status, message, one.at_bound, *errors, *known, odd)


def belief_of(runs: RunTable, j: int, curve: Curve, beyond: Beyond) -> Belief:
    return Belief((curve,), standard_normals(runs.losses_RJ, j, len(curve.draws_SP)), beyond)


def _believing_both(fitted: TargetFit, other: TargetFit) -> TargetFit:
    """Return a target's fit whose decisions rest on another law's curve too."""
    return replace(fitted, belief=replace(fitted.belief, curves=(fitted.curve, other.curve)))


def _verdict(one: Estimated, errors: Errors, note: str) -> tuple[str, str]:
    """Return status and sentence of one target's fit."""
    target, known = one.curve.law.target, one.information
    error, mean_error = 100 * errors.mre, 100 * errors.mre_mean
    text = note or "Too few runs to hold some out."
    if np.isfinite(error):
        text = (
            f"Held-out mixtures are predicted with an error of {error:.2g} %, and by the mean of the other runs "
            f"with {mean_error:.2g} %."
        )
        if error >= mean_error:
            return "worse_than_mean", (
                f"{text} The runs of '{target}' have no signal that the law can use: use more tokens in each run, "
                "or more seeds."
            )
    if known is not None and ((known.rank < known.parameters and not known.held) or "beta" in known.open):
        loose = ", ".join(known.open) or "some parameters"
        return "not_identifiable", (
            f"The runs do not determine {loose} (rank {known.rank} of {known.parameters}). Add runs in which each "
            f"domain and the total change independently, or choose a simpler law. {text}"
        )
    if known is not None and known.open:
        text += f" The runs do not determine {', '.join(known.open)}, so the value comes from the prior."
    if one.at_bound:
        meaning = ": tokens of other domains do not help here, or do harm" if one.at_bound == ("k",) else ""
        return "at_bound", f"{', '.join(one.at_bound)} ended at a bound{meaning}. {text}"
    return "converged", text
