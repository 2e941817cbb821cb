"""Which law: the simplest whose error on held-out mixtures is within one standard error of the best law's.

By paired differences (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3): a richer law has to earn its parameters
on runs that it has not seen. But where the base model's losses are fitted, `transfer` is out: by it a model that was
not trained has an infinite loss, and what it misses there it misses beyond the runs, where nothing is held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import figures_of, held_out, largest
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.estimating.estimator import trained
from mixlaw.fit.estimating.transfer import require_identifiable
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.size import log_sizes
from mixlaw.laws import LawKind, find

CANDIDATES = ("transfer", "pairwise")
"""What `auto` chooses from, the simplest first: laws that hold at other budgets and that `solve` solves."""

ALONE = ("transfer", "pairwise", "rectified")
"""The same where there is one domain. `transfer` is a power law with a floor there."""

_LARGEST, _KEPT = 2, 4
"""With one domain: how many of the largest sizes are held out, and how many others are needed. Chosen on: the tuning
half of the fine-tuning curves, where two chose better than three, four or all of these together."""

MORE_TO_CHOOSE = 5
"""Laws are tested on held-out mixtures only if there are this many more different mixtures than domains: the
parameters of one curve of `pairwise`, and one mixture to hold out. No data."""

_TOLD_APART = 1.0
"""Standard errors of the paired difference by which one law must be better than another. Source: Breiman et
al. 1984, section 3.4.3. Chosen on: the demo and earlier planted worlds, where two let a worse law decide."""


@dataclass(frozen=True)
class Choice:
    """A law and why it was chosen.

    Attributes:
        law: its name.
        reason: a sentence; empty where the law was the user's wish.
        checked: its figures on held-out mixtures, where they are known already.
        alternative: the figures of the law that held-out mixtures do not tell from it, or None.
        rows: the figures of all laws on held-out mixtures, where they were asked for.
        largest: the same on the largest runs, with one domain.
    """

    law: str
    reason: str = ""
    checked: LawRow | None = None
    alternative: LawRow | None = None
    rows: tuple[LawRow, ...] = ()
    largest: tuple[LawRow, ...] = ()


def choose(runs: RunTable, uses_base: bool = True) -> Choice:
    """Return the law that held-out mixtures choose, and the alternative where they do not tell the two apart.

    Args:
        runs: the runs.
        uses_base: whether laws that take runs without tokens get them (`mixlaw.fit.choosing.base_model`).

    Raises:
        NotIdentifiable: the runs leave a parameter of `transfer` open.
        MixlawError: no law could be fitted; the first one's reason.
    """
    K = len(runs.domains)
    if log_sizes(runs) is not None:
        return Choice("pairwise", "Law 'pairwise' was chosen, because the runs have several model sizes.")
    if K < 2:
        return _for_one_domain(runs, uses_base)
    if not set(runs.targets) <= set(runs.domains):
        return Choice("pairwise", "Law 'pairwise' was chosen, because some targets are not domains.")
    few = len(np.unique(runs.tokens_RK, axis=0)) < K + MORE_TO_CHOOSE
    if not few:
        # Priors would hide from `pairwise` what the runs cannot tell; the user should know.
        require_identifiable(trained(runs))
    transfer, pairwise = rows = [held_out(runs, _kind(name, uses_base)) for name in CANDIDATES]
    usable = [row for row in rows if np.isfinite(row.mre)]
    if few or not usable:
        reason = "Law 'transfer' was chosen, because there are too few different mixtures to hold some out."
        return Choice("transfer", reason if few else "", transfer, pairwise if len(usable) == 2 else None, tuple(rows))
    if len(usable) == 2 and base_fitted(runs, uses_base):
        reason = f"has the smallest error on held-out mixtures ({_figures(rows)})."
        if not pairwise.mre <= transfer.mre:
            reason = (
                "was chosen, because the base model's losses are fitted, and by 'transfer' they would be infinite "
                f"(errors on held-out mixtures: {_figures(rows)})."
            )
        return Choice("pairwise", f"Law 'pairwise' {reason}", pairwise, rows=tuple(rows))
    name, reason = simplest_good(rows, runs)
    chosen, other = (transfer, pairwise) if name == "transfer" else (pairwise, transfer)
    if len(usable) < 2 or told_apart(chosen, other, runs):
        return Choice(name, reason, chosen, rows=tuple(rows))
    reason += f" Held-out mixtures cannot tell it from '{other.name}', so decisions average both."
    return Choice(name, reason, chosen, other, tuple(rows))


def _kind(name: str, uses_base: bool) -> LawKind:
    return replace(find(name), uses_base=uses_base)


def _for_one_domain(runs: RunTable, uses_base: bool) -> Choice:
    """Return the law that predicts the largest runs best from the smaller ones: one domain's runs differ in size alone,
    and what is asked of them lies beyond the largest."""
    held = largest(runs, _LARGEST, _KEPT)
    if held is None:
        name = "pairwise" if (runs.totals_R == 0).any() or not set(runs.targets) <= set(runs.domains) else "transfer"
        return Choice(
            name,
            f"Law '{name}' was chosen, because there is only one domain, and too few sizes to hold the largest out.",
        )
    rows = [figures_of(runs, _kind(name, uses_base), [held]) for name in ALONE]
    usable = [row for row in rows if np.isfinite(row.mre)]
    if not usable:
        return Choice("pairwise")
    best = min(usable, key=lambda row: row.mre)
    return Choice(
        best.name,
        f"Law '{best.name}' has the smallest error on the {_LARGEST} largest sizes, held out ({_figures(usable)}).",
        largest=tuple(rows),
    )


def base_fitted(runs: RunTable, uses_base: bool, j: int | None = None) -> bool:
    """Return whether losses of runs without tokens, the base model's, are fitted: of target j; None: of any."""
    losses_RJ = runs.losses_RJ[runs.totals_R == 0]
    return uses_base and bool(np.isfinite(losses_RJ if j is None else losses_RJ[:, j]).any())


def _figures(rows: Sequence[LawRow]) -> str:
    return ", ".join(f"{row.name} {100 * row.mre:.3g} %" for row in rows)


def simplest_good(rows: Sequence[LawRow], runs: RunTable) -> tuple[str, str]:
    """Return the chosen law's name and the reason; `rows` from the simplest law to the richest."""
    usable = [row for row in rows if np.isfinite(row.mre)]
    best = min(usable, key=lambda row: row.mre)
    figures = _figures(usable)
    row = next(row for row in usable if row is best or not clearly_worse(row, best, runs))
    if row is best:
        return row.name, f"Law '{row.name}' has the smallest error on held-out mixtures ({figures})."
    return row.name, (
        f"Law '{row.name}' is the simplest within one standard error of the best, '{best.name}', on held-out mixtures "
        f"({figures})."
    )


def told_apart(row: LawRow, other: LawRow, runs: RunTable) -> bool:
    """Return whether one of two laws is better on held-out mixtures, by more than one standard error."""
    return clearly_worse(row, other, runs) or clearly_worse(other, row, runs)


def clearly_worse(
    row: LawRow, other: LawRow, runs: RunTable, j: int | None = None, errors: float = _TOLD_APART
) -> bool:
    """Return whether a law's relative error on held-out runs is larger than another's by so many standard errors.

    Args:
        row: the law.
        other: the other.
        runs: that were held out.
        j: of one target; None: of all, means over them.
        errors: standard errors of the paired differences.
    """
    columns = slice(None) if j is None else [j]
    losses_RJ = runs.losses_RJ[:, columns]
    sizes_RJ = magnitudes(losses_RJ)
    each_RJ = np.abs(row.predicted_RJ[:, columns] - losses_RJ) - np.abs(other.predicted_RJ[:, columns] - losses_RJ)
    known = np.isfinite(each_RJ).any(axis=1)
    each_R = np.nanmean(each_RJ[known] / sizes_RJ[known], axis=1)
    return not each_R.mean() <= errors * each_R.std(ddof=1) / np.sqrt(len(each_R))
