"""Whether the base model's losses belong on the curve: the first few tokens may teach another thing than the rest.

A model that never answered in the wanted form learns the form from a few hundred tokens, and its loss drops by more
than any power law of the tokens says. Such a point says nothing about the budget and bends the whole curve. Where the
drop is small it is the best evidence of what the model knows before training. Held-out runs tell which it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import by_run, of_targets, relative_errors
from mixlaw.laws import LawKind

_HARMS = 1.0
"""Standard errors by which the base model's losses must raise a target's held-out error to be left out. Source:
Breiman et al. 1984, section 3.4.3, as for the choice of a law. Chosen on: the tuning half of the fine-tuning curves,
where a rule that fits it only for a clear gain predicts a little better but forgets points that are right; and, for a
target among several, planted tuning worlds, whose errors two standard errors leave larger (docs/lab.md)."""

_EACH, _DECIDING = 24, 8
"""Up to so many targets each is looked at; of more, so many decide for all. For speed. No data."""


def base_left_out(runs: RunTable, law: LawKind) -> tuple[tuple[str, ...], str]:
    """Return the targets for which runs of zero tokens should not be fitted with the others, and a sentence on them.

    Each target's held-out losses decide for it; of more than 24 targets, eight decide for all.

    Args:
        runs: of which some may have no tokens.
        law: that takes such runs; for others the answer is that they may stay.
    """
    J = len(runs.targets)
    if not law.knows_base or not (runs.totals_R == 0).any():
        return (), ""
    some = list(range(J)) if J <= _EACH else sorted({round(j) for j in np.linspace(0, J - 1, _DECIDING)})
    few = of_targets(runs, some)
    with_RJ, without_RJ = (relative_errors(few, kind) for kind in (law, replace(law, uses_base=False)))
    if J > _EACH:
        left_J = np.full(J, _harms(by_run(without_RJ, without_RJ) - by_run(with_RJ, without_RJ)))
    else:
        left_J = np.array([_harms(gain_R) for gain_R in (without_RJ - with_RJ).T])
    if not left_J.any():
        return (), ""
    known = np.isfinite(with_RJ) & np.isfinite(without_RJ) & left_J[some]
    figures = f"{100 * with_RJ[known].mean():.3g} % with them, {100 * without_RJ[known].mean():.3g} % without"
    left = tuple(target for target, out in zip(runs.targets, left_J, strict=True) if out)
    of = "" if left_J.all() else f" of {', '.join(left)}"
    return left, f"The base model's losses{of} are not fitted: held-out mixtures are predicted worse ({figures})."


def without_base(runs: RunTable, targets: Collection[str]) -> RunTable:
    """Return the runs, those of zero tokens without the losses of some targets."""
    if not targets:
        return runs
    gone_RJ = (runs.totals_R == 0)[:, None] & np.isin(runs.targets, list(targets))
    return replace(runs, losses_RJ=np.where(gone_RJ, np.nan, runs.losses_RJ))


def _harms(gain_R: np.ndarray) -> bool:
    """Return whether held-out runs are predicted worse, by how much they gain."""
    gain_R = gain_R[np.isfinite(gain_R)]
    return len(gain_R) > 1 and bool(gain_R.mean() < -_HARMS * gain_R.std(ddof=1) / np.sqrt(len(gain_R)))
