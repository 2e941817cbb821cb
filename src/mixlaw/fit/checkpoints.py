"""What runs of one batch share, and checkpoints along runs as data: how much the early ones say.

    L = law + u_b      u_b ~ N(0, tau^2 (last / now)^6)      b: rows of one model size after as many tokens

Runs of one size and one total have the same steps and schedule: what these do to a loss is no matter of the mixture,
and no law of tokens says it. Where a table has several such levels, each with enough mixtures to tell, their shocks are
fitted (last = now). They may be large: what levels differ by is a drift of the curve as much as a shock, and a law that
takes it for its slope carries it on. So tau starts wide and follows what the shocks are found to be, with what is left
open of them; a small start would let the slope explain them first, and then confirm itself.

Checkpoints after as many tokens of runs of one length were taken at one learning rate and one point of its schedule, in
every run alike: that shock is theirs together. A longer run is at another point of its schedule after as many tokens,
but at a similar one after the same share of its own: where runs are of several lengths, checkpoints at one share have a
shock in common as well. The law is of runs that have ended; a checkpoint is allowed to lie further from it, the more so
the earlier it is. Checkpoints of one run share that run's shock too, so many of them say less of the mixture than as
many runs (`repeats`).

A point along a run (`fidelity: point`) is a checkpoint whose training was brought to an end as that of a run is. Points
at one share of their runs have a shock in common, whatever the totals of these; of runs that ended none is known.

Shape letters: R runs, B batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.size import log_sizes

EARLY = 3.0
"""Power of (last / now) tokens by which a checkpoint's shock grows. Chosen on: the tuning half of a public pretraining
sweep's mixtures, where 2 and 1 predict a larger size and more tokens worse (docs/lab.md)."""

POINT_EARLY = 1.5
"""The same power for points along runs. Chosen on: one of two designs of real runs of the demo's base (seed 0), where 0
and 3 predict four times the tokens a little worse (docs/lab.md)."""

TAU = 0.002
"""Standard deviation of the shock of ended runs, as a share of the loss, before any run is seen. Chosen on: as `EARLY`;
a fifth to five times as much changes little."""

WIDE = 0.03
"""The same of levels of ended runs in the first search. Chosen on: planted tuning worlds, drifts of sd 0, .03 and .1 an
e-fold (docs/lab.md)."""

TAU_BATCHES = 2.0
"""How many batches of runs count as much as the prior `TAU`. Few, so a weak prior. No data."""

LEVEL = 8
"""A level of runs that have ended has a shock where it has so many different mixtures: with fewer their noise hides it.
No data."""

_SAME = 0.05
"""Totals closer than this (in natural logarithm) belong to one batch. No data."""


@dataclass(frozen=True)
class Batches:
    """Which rows share a shock.

    Attributes:
        member_RB: 1 where a row is of a batch.
        early_B: standard deviation of each batch's shock over that of ended runs.
        checkpoints: whether rows are checkpoints of one run.
        levels: whether they are levels of runs that have ended, of one model size.
    """

    member_RB: np.ndarray
    early_B: np.ndarray
    checkpoints: bool = True
    levels: bool = False

    def __len__(self) -> int:
        return len(self.early_B)

    @staticmethod
    def of(runs: RunTable) -> Batches | None:
        """Return the batches of a table; None where no rows are checkpoints of one run, and no two levels of ended runs
        have enough mixtures."""
        if not has_checkpoints(runs):
            return Batches._levels(runs)
        if runs.point_R.any():
            return Batches._points(runs)
        shares_R, trained_R = share_of_run(runs), _trained(runs)
        totals_R = np.maximum(runs.totals_R, 1.0)
        last = {name: totals_R[rows].max() for name, rows in rows_by_run(runs).items()}
        last_R = np.array([last[name] for name in runs.checkpoint_of])
        ages_R, lengths_R = last_R / totals_R, np.round(np.log(last_R) / _SAME)
        batch_R = np.unique(np.column_stack([batch_of(runs), shares_R]), axis=0, return_inverse=True)[1].ravel()
        batches = [(batch_R == b) & trained_R for b in np.unique(batch_R[trained_R])]
        for share in np.unique(shares_R[shares_R < 1]):
            rows = (shares_R == share) & trained_R
            if len(np.unique(lengths_R[rows])) > 1:
                batches.append(rows)
        return Batches(np.array(batches, float).T, np.array([np.median(ages_R[rows]) for rows in batches]) ** EARLY)

    @staticmethod
    def _points(runs: RunTable) -> Batches:
        # By their share of the run, of which runs of all totals have the same; runs that ended have no shock.
        shares_R = share_of_run(runs)
        shares = np.unique(shares_R[runs.point_R])
        member_RB = ((shares_R[:, None] == shares) & runs.point_R[:, None]).astype(float)
        return Batches(member_RB, shares**-POINT_EARLY, checkpoints=False)

    @staticmethod
    def _levels(runs: RunTable) -> Batches | None:
        # A merged model's loss has a level of its own anyway.
        batch_R = np.where(_trained(runs), batch_of(runs), -1)
        mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel()
        some = [
            b
            for b in np.unique(batch_R[(runs.totals_R > 0) & (batch_R >= 0)])
            if len(np.unique(mixtures[batch_R == b])) >= LEVEL
        ]
        if len(some) < 2:
            return None
        member_RB = (batch_R[:, None] == np.array(some)).astype(float)
        return Batches(member_RB, np.ones(len(some)), checkpoints=False, levels=log_sizes(runs) is None)

    def take(self, rows: np.ndarray) -> Batches:
        """Return the batches of some rows; those without a row stay, at their prior."""
        return replace(self, member_RB=self.member_RB[rows])

    def tau(self, shocks_B: np.ndarray, loss: float, variance_B: np.ndarray | None = None) -> np.ndarray:
        """Return (B,) standard deviations of the shocks, nats.

        Args:
            shocks_B: what they are.
            loss: a typical one.
            variance_B: what is open of them; it counts for levels alone. None before the first search.
        """
        known, found_B = self.member_RB.any(axis=0), (shocks_B / self.early_B) ** 2
        if self.levels:
            if variance_B is None:
                return np.full(len(self), WIDE * loss)
            found_B = found_B + variance_B
        squares = found_B[known].sum() + TAU_BATCHES * (TAU * loss) ** 2
        return np.sqrt(squares / (known.sum() + TAU_BATCHES)) * self.early_B


def _trained(runs: RunTable) -> np.ndarray:
    """Return which rows are runs that were trained; the others are merged models."""
    if runs.merged_RJ is None:
        return np.ones(len(runs), bool)
    return np.asarray(np.isnan(runs.merged_RJ).all(axis=1))


def batch_of(runs: RunTable) -> np.ndarray:
    """Return (R,) numbers that are the same for runs of one model size and one total of tokens."""
    totals_R = np.log(np.maximum(runs.totals_R, 1.0))
    sizes_R = np.zeros(len(runs)) if runs.params_R is None else np.log(np.nan_to_num(np.maximum(runs.params_R, 1.0)))
    keys_R2 = np.round(np.column_stack([sizes_R, totals_R]) / _SAME)
    return np.unique(keys_R2, axis=0, return_inverse=True)[1].ravel()


def has_checkpoints(runs: RunTable) -> bool:
    """Return whether several rows of a table are of one run."""
    return len(set(runs.checkpoint_of)) < len(runs.checkpoint_of)


def rows_by_run(runs: RunTable) -> dict[str, np.ndarray]:
    """Return run -> the rows that are its checkpoints."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(runs.checkpoint_of):
        found.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def share_of_run(runs: RunTable) -> np.ndarray:
    """Return (R,) tokens of each row over those of its run's last row, to the nearest half power of 2.

    Whole conversations and steps make the shares of short runs differ from their plan.
    """
    totals_R = np.maximum(runs.totals_R, 1.0)
    shares_R = np.ones(len(runs))
    for rows in rows_by_run(runs).values():
        shares_R[rows] = totals_R[rows] / totals_R[rows].max()
    return 2 ** (np.round(2 * np.log2(shares_R)) / 2)


def repeats(residuals_R: np.ndarray, groups_R: np.ndarray | None) -> np.ndarray:
    """Return (R,) by how much rows are fewer than they seem: 1 + (n - 1) rho, n rows of a run that correlate by rho.

    Source: Kish 1965, Survey Sampling, section 5.4, the design effect of clusters; rho by its moments.
    """
    if groups_R is None:
        return np.ones(len(residuals_R))
    counts = np.bincount(groups_R)
    sums, squares = np.bincount(groups_R, residuals_R), np.bincount(groups_R, residuals_R**2)
    pairs = float((counts * (counts - 1)).sum())
    total = float(squares.sum()) / max(len(residuals_R), 1)
    rho = float((sums**2 - squares).sum()) / pairs / total if pairs and total > 0 else 0.0
    return 1 + (counts[groups_R] - 1) * float(np.clip(rho, 0.0, 1.0))
