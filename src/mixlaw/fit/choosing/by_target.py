"""A law for every target: where held-out mixtures tell that one target follows another law than most, or none.

The law that all targets together choose (`mixlaw.fit.choosing.choice`) serves a target unless its own held-out runs
tell another from it. Where the best law leaves a tenth or more of a target's variance unexplained, more is tried: that
the mixture does not matter (`rectified`), that nothing does (`mean`), and regressors, which follow any loss but know
nothing beyond the runs, so that they take a law's place within the range of the runs alone. Each has to be better by
more than one standard error of the paired differences. With one domain each target's law is the one that predicts its
largest runs best.

Shape letters: R runs, J targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import has_checkpoints
from mixlaw.fit.choosing.choice import MORE_TO_CHOOSE, Choice, base_fitted, clearly_worse
from mixlaw.fit.choosing.held_out import held_out, of_targets
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.size import log_sizes
from mixlaw.laws import find

FLAT = ("mean", "rectified")
"""Laws in which the mixture does not matter, the simplest first."""

REGRESSORS = ("gp", "gbdt")
"""What may take a law's place within the range of the runs: a Gaussian process; trees where LightGBM is installed."""

_DEPARTS = 2.0
"""Standard errors of the paired difference by which something must be better for one target than what most targets
have. Chosen on: planted tuning worlds (bench/laws/unfollowed), where one let luck decide for targets of much noise."""

EXPLAINED = 0.9
"""A target of whose variance its law explains so much on held-out mixtures needs no other. For speed. No data."""

_FEWEST = 12
"""Different mixtures that a regressor needs. No data."""

_LARGE = 200_000
"""Squared runs times domains above which no Gaussian process is tried. For speed. No data."""

_NAMES = {"gp": "a Gaussian process ('gp')", "gbdt": "boosted trees ('gbdt')"}


@dataclass(frozen=True)
class Served:
    """What serves one target.

    Attributes:
        law: name of its law.
        alternative: a second law on which decisions rest as well, or empty.
        inside: the regressor in the law's place within the range of the runs, or empty.
    """

    law: str
    alternative: str = ""
    inside: str = ""


@dataclass(frozen=True)
class ByTarget:
    """What serves each target.

    Attributes:
        served: of the J targets.
        rows: law -> its figures on held-out mixtures, as far as they are known; of some targets only, the others NaN.
        notes: sentences on targets whose law is not that of most.
        warnings: sentences on targets that no law follows.
    """

    served: tuple[Served, ...]
    rows: Mapping[str, LawRow] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def by_target(runs: RunTable, choice: Choice, uses_base: bool = True, alone: bool = True) -> ByTarget:
    """Return what serves each target.

    Args:
        runs: that are fitted, with repeated tokens counted.
        choice: of all targets together.
        uses_base: whether laws that take runs without tokens get them.
        alone: False where merged models are evidence, too: they vouch for one law.
    """
    alternative = "" if choice.alternative is None else choice.alternative.name
    everyone = Served(choice.law, alternative)
    rows = {row.name: row for row in choice.rows}
    some = runs.tokens_RK[runs.totals_R > 0]
    mixtures = len(np.unique(some, axis=0))
    few = mixtures < len(runs.domains) + MORE_TO_CHOOSE
    if few or not alone or log_sizes(runs) is not None or has_checkpoints(runs):
        return ByTarget((everyone,) * len(runs.targets), rows)
    if len(runs.domains) == 1:
        served = [Served(_best(choice.largest, runs, j) or choice.law) for j in range(len(runs.targets))]
    else:
        usable = [row for row in choice.rows if np.isfinite(row.mre)]
        served = [
            # a law to which the base model's losses belong, as for all targets together
            everyone if base_fitted(runs, uses_base, j) else _own_law(runs, j, everyone, usable)
            for j in range(len(runs.targets))
        ]
    for name in dict.fromkeys(one.law for one in served):
        if name not in rows:
            rows[name] = held_out(runs, replace(find(name), uses_base=uses_base))
    notes = [
        f"'{target}' has law '{one.law}': its own held-out runs tell it from '{choice.law}'."
        for target, one in zip(runs.targets, served, strict=True)
        if one.law != choice.law
    ]
    warnings: list[str] = []
    open_ = [j for j, one in enumerate(served) if explained(rows[one.law], runs, j) < EXPLAINED]
    if open_:
        tried = _tried(runs, open_, uses_base, mixtures, set(rows))
        for j in open_:
            served[j], said = _without_law(runs, j, served[j], rows, tried)
            warnings += said
        rows |= {name: row for name, row in tried.items() if name not in REGRESSORS}
        rows |= {name: tried[name] for name in {one.inside for one in served} - {""}}
    return ByTarget(tuple(served), rows, tuple(notes), tuple(warnings))


def _own_law(runs: RunTable, j: int, everyone: Served, rows: Sequence[LawRow]) -> Served:
    """Return the law of a target with several domains: everyone's, unless its own runs tell another from it."""
    of = {row.name: row for row in rows}
    mine = of.get(everyone.law)
    if mine is None or not _known(mine, runs, j):
        return everyone
    for name, row in of.items():
        if name != everyone.law and _known(row, runs, j):
            if clearly_worse(mine, row, runs, j, _DEPARTS):
                return Served(name)
            if name == everyone.alternative and clearly_worse(row, mine, runs, j, _DEPARTS):
                return Served(everyone.law)
    return everyone


def _best(rows: Sequence[LawRow], runs: RunTable, j: int) -> str:
    """Return the law with the smallest error on a target's largest runs; empty where none were held out."""
    known = {row.name: error_of(row, runs, j) for row in rows if _known(row, runs, j)}
    return min(known, key=lambda name: known[name]) if known else ""


def _tried(runs: RunTable, targets: list[int], uses_base: bool, mixtures: int, done: set[str]) -> dict[str, LawRow]:
    """Return the figures of flat laws and regressors on some targets, NaN on the others."""
    few = of_targets(runs, targets)
    names = [name for name in FLAT if name not in done]
    if mixtures >= _FEWEST:
        names += [name for name in REGRESSORS if _can(name, runs)]
    found = {}
    for name in names:
        row = held_out(few, replace(find(name), uses_base=uses_base))
        predicted_RJ = np.full(runs.losses_RJ.shape, np.nan)
        predicted_RJ[:, targets] = row.predicted_RJ
        found[name] = replace(row, predicted_RJ=predicted_RJ)
    return found


def _can(name: str, runs: RunTable) -> bool:
    if name == "gbdt":
        return find_spec("lightgbm") is not None
    return len(runs) ** 2 * len(runs.domains) <= _LARGE


def _without_law(
    runs: RunTable, j: int, served: Served, rows: Mapping[str, LawRow], tried: Mapping[str, LawRow]
) -> tuple[Served, list[str]]:
    """Return what serves a target that its law does not follow, and a sentence where that is another thing."""
    target, law = runs.targets[j], rows[served.law]
    if not _known(law, runs, j):
        return served, []
    best, said = law, []
    for name in FLAT:
        row = {**rows, **tried}.get(name)
        if row is None or name == served.law or not _known(row, runs, j):
            continue
        if clearly_worse(best, row, runs, j, _DEPARTS):
            best = row
    if best is not law:
        served = Served(best.name)
        meaning = "so it does not pull the weights" if best.name == "mean" else "whatever the mixture"
        said.append(
            f"{target}: no law of mixtures predicts its held-out runs ('{law.name}' {_percent(law, runs, j)}), so it "
            f"has '{best.name}' ({_percent(best, runs, j)}): {meaning}. Use more tokens in each run, or more seeds."
        )
    others = [tried[name] for name in REGRESSORS if name in tried and _known(tried[name], runs, j)]
    regressor = min(others, key=lambda row: error_of(row, runs, j), default=None)
    if regressor is None or not clearly_worse(best, regressor, runs, j, _DEPARTS):
        return served, said
    return replace(served, alternative="", inside=regressor.name), [
        f"{target}: no law follows its loss. Within the range of the runs' totals {_NAMES[regressor.name]} takes the "
        f"place of '{best.name}' (error on held-out runs {_percent(regressor, runs, j)} instead of "
        f"{_percent(best, runs, j)}); beyond it, '{best.name}' is all there is."
    ]


def _known(row: LawRow, runs: RunTable, j: int) -> bool:
    """Return whether held-out runs say anything of a law: two of them at least have a difference that scatters."""
    return int((np.isfinite(row.predicted_RJ[:, j]) & np.isfinite(runs.losses_RJ[:, j])).sum()) > 1


def error_of(row: LawRow, runs: RunTable, j: int) -> float:
    """Return a target's mean relative error."""
    losses_R = runs.losses_RJ[:, j]
    return float(np.nanmean(np.abs(row.predicted_RJ[:, j] - losses_R) / magnitudes(losses_R)))


def _percent(row: LawRow, runs: RunTable, j: int) -> str:
    return f"{100 * error_of(row, runs, j):.3g} %"


def explained(row: LawRow, runs: RunTable, j: int) -> float:
    """Return which part of a target's variance held-out predictions explain; 1 where there are none."""
    known = np.isfinite(row.predicted_RJ[:, j]) & np.isfinite(runs.losses_RJ[:, j])
    losses, predicted = runs.losses_RJ[known, j], row.predicted_RJ[known, j]
    spread = float(((losses - losses.mean()) ** 2).sum()) if known.any() else 0.0
    return 1 - float(((predicted - losses) ** 2).sum()) / spread if spread > 0 else 1.0
