"""Checkpoints along runs as data: what they share, and how much the early ones say.

    L = law + u_b      u_b ~ N(0, tau^2 (last / now)^6)      b: checkpoints of one model size after as many tokens

Checkpoints after as many tokens were taken at one learning rate and one point of its schedule, in every run alike: that
shock is theirs together. The law is of runs that have ended; a checkpoint at a share of its run is allowed to lie
further from it, the more so the earlier it is. Checkpoints of one run share that run's shock too, so many of them say
less of the mixture than as many runs (`repeats`).

Shape letters: R runs, B batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.core.runtable import RunTable

EARLY = 3.0
"""Power of (last / now) tokens by which a checkpoint's shock grows. Chosen on: the tuning half of a public pretraining
sweep's mixtures, where 2 and 1 predict a larger size and more tokens worse (docs/lab.md)."""

TAU = 0.002
"""Standard deviation of the shock of ended runs, as a share of the loss, before any run is seen. Chosen on: as `EARLY`;
a fifth to five times as much changes little."""

TAU_BATCHES = 2.0
"""How many batches of runs count as much as the prior `TAU`. Few, so a weak prior. No data."""

_SAME = 0.05
"""Totals closer than this (in natural logarithm) belong to one batch. No data."""


@dataclass(frozen=True)
class Batches:
    """Which rows share a shock.

    Attributes:
        member_RB: 1 where a row is of a batch.
        early_B: standard deviation of each batch's shock over that of ended runs.
    """

    member_RB: np.ndarray
    early_B: np.ndarray

    def __len__(self) -> int:
        return len(self.early_B)

    @staticmethod
    def of(runs: RunTable) -> Batches | None:
        """Return the batches of a table; None where no row is a checkpoint of another's run."""
        if not has_checkpoints(runs):
            return None
        totals_R = np.maximum(runs.totals_R, 1.0)
        last = {name: totals_R[rows].max() for name, rows in rows_by_run(runs).items()}
        ages_R = np.array([last[name] for name in runs.checkpoint_of]) / totals_R
        sizes_R = np.zeros(len(runs)) if runs.params_R is None else np.log(np.maximum(runs.params_R, 1.0))
        keys = np.unique(np.round(np.column_stack([sizes_R, np.log(totals_R)]) / _SAME), axis=0, return_inverse=True)[1]
        member_RB = np.eye(keys.max() + 1)[keys.ravel()]
        early_B = np.array([np.median(ages_R[rows > 0]) for rows in member_RB.T]) ** EARLY
        return Batches(member_RB, early_B)

    def take(self, rows: np.ndarray) -> Batches:
        """Return the batches of some rows; those without a row stay, at their prior."""
        return Batches(self.member_RB[rows], self.early_B)

    def tau(self, shocks_B: np.ndarray, loss: float) -> np.ndarray:
        """Return (B,) standard deviations of the shocks, nats, from what they are; `loss` is a typical one."""
        known = self.member_RB.any(axis=0)
        squares = ((shocks_B / self.early_B)[known] ** 2).sum() + TAU_BATCHES * (TAU * loss) ** 2
        return np.sqrt(squares / (known.sum() + TAU_BATCHES)) * self.early_B


def has_checkpoints(runs: RunTable) -> bool:
    """Return whether several rows of a table are of one run."""
    return len(set(runs.checkpoint_of)) < len(runs.checkpoint_of)


def rows_by_run(runs: RunTable) -> dict[str, np.ndarray]:
    """Return run -> the rows that are its checkpoints."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(runs.checkpoint_of):
        found.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


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
