"""Whether the base model's losses belong on the curve: the first few tokens may teach another thing than the rest.

A model that never answered in the wanted form learns the form from a few hundred tokens, and its loss drops by more
than any power law of the tokens says. Such a point says nothing about the budget and bends the whole curve. Where the
drop is small it is the best evidence of what the model knows before training. Held-out runs tell which it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import by_run, of_targets, relative_errors
from mixlaw.laws import LawKind

_HARMS = 1.0
"""Standard errors by which the base model's losses must raise the error on held-out mixtures to be left out. Source:
Breiman et al. 1984, section 3.4.3, as for the choice of a law. Chosen on: the tuning half of the fine-tuning curves,
where a rule that fits it only for a clear gain predicts a little better but forgets points that are right."""

_DECIDING = 8
"""Targets that decide at the most. For speed. No data."""


def base_counts(runs: RunTable, law: LawKind) -> tuple[bool, str]:
    """Return whether the runs of zero tokens should be fitted with the others, and a sentence where they should not.

    Args:
        runs: of which some may have no tokens.
        law: that takes such runs; for others the answer is that they may stay.
    """
    if not law.knows_base or not (runs.totals_R == 0).any():
        return True, ""
    some = sorted({round(j) for j in np.linspace(0, len(runs.targets) - 1, min(len(runs.targets), _DECIDING))})
    few = of_targets(runs, some)
    with_RJ, without_RJ = (relative_errors(few, kind) for kind in (law, replace(law, uses_base=False)))
    gain_R = by_run(without_RJ, without_RJ) - by_run(with_RJ, without_RJ)
    gain_R = gain_R[np.isfinite(gain_R)]
    if len(gain_R) < 2 or gain_R.mean() >= -_HARMS * gain_R.std(ddof=1) / np.sqrt(len(gain_R)):
        return True, ""
    known = np.isfinite(with_RJ) & np.isfinite(without_RJ)
    figures = f"{100 * with_RJ[known].mean():.3g} % with them, {100 * without_RJ[known].mean():.3g} % without"
    return False, f"The base model's losses are not fitted: held-out mixtures are predicted worse ({figures})."
