"""Targets that no law follows, set apart: they choose their law, and are fitted, without the others.

What targets share (which law is the better one, whether interference is switched on, how far parameters scatter) is
told by errors on held-out runs. Those of a target that switches between two levels are many times those of a target
that a law follows, so it alone would decide for all.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.by_target import EXPLAINED, ByTarget, by_target, explained
from mixlaw.fit.choosing.choice import Choice, choose
from mixlaw.fit.choosing.held_out import of_targets

_FAR = 10.0
"""A target is set apart if its error, in nats, is so many times the median one of targets that a law follows. Chosen
on: planted tuning worlds. In 36 of three sorts of domains (bench/planted) no target that follows its law has more than
2.5 times, in 31 of bench/laws/unfollowed those with heavy tails have 3 to 8, those that switch 14 and more. Relative
errors would not do: a low floor alone makes them ten times the others'."""


@dataclass(frozen=True)
class Part:
    """Targets that choose their law together.

    Attributes:
        places: of its targets in the table.
        runs: with the losses of its targets only.
        choice: of its targets together.
        chosen: what serves each of them.
    """

    places: tuple[int, ...]
    runs: RunTable
    choice: Choice
    chosen: ByTarget


def parts_of(runs: RunTable, uses_base: bool = True, alone: bool = True) -> list[Part]:
    """Return the targets that laws follow, or all, then those that are set apart, if any.

    Args:
        runs: that are fitted, with repeated tokens counted.
        uses_base: whether laws that take runs without tokens get them.
        alone: False where merged models are evidence, too: all targets stay together.

    Raises:
        NotIdentifiable: the runs leave a parameter of `transfer` open.
        MixlawError: no law could be fitted; the first one's reason.
    """
    choice = choose(runs, uses_base)
    places = tuple(range(len(runs.targets)))
    odd = set_apart(runs, choice) if alone else ()
    if not odd:
        return [Part(places, runs, choice, by_target(runs, choice, uses_base, alone))]
    found = []
    for some in (tuple(j for j in places if j not in odd), odd):
        few = of_targets(runs, some)
        choice = choose(few, uses_base)
        found.append(Part(some, few, choice, by_target(few, choice, uses_base, alone)))
    return found


def set_apart(runs: RunTable, choice: Choice) -> tuple[int, ...]:
    """Return the places of the targets that no law follows beside others that one does."""
    rows = [row for row in choice.rows if np.isfinite(row.mre)]
    if not rows:
        return ()
    J = len(runs.targets)
    explained_J = np.array([max(explained(row, runs, j) for row in rows) for j in range(J)])
    error_J = np.min([np.nanmean(np.abs(row.predicted_RJ - runs.losses_RJ), axis=0) for row in rows], axis=0)
    followed_J = explained_J >= EXPLAINED
    if not followed_J.any():
        return ()
    far_J = ~followed_J & (error_J > _FAR * np.median(error_J[followed_J]))
    return tuple(int(j) for j in np.flatnonzero(far_J))


def notes_of(parts: Sequence[Part]) -> list[str]:
    """Return sentences on targets whose law is not that of most."""
    notes = list(parts[0].chosen.notes) if parts else []
    for part in parts[1:]:
        named = " and ".join(f"'{target}'" for target in part.runs.targets)
        notes.append(f"Fitted apart from the other targets, whose law it shall not decide: {named}.")
        notes += part.chosen.notes
    return notes
