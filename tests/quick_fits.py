"""Fits without what a test does not ask for: draws that have settled, runs that are held out.

Of the time of a fit most goes into these; the search for the parameters is as thorough as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import judging
from mixlaw.fit.choosing import beyond, held_out
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.estimating import pairwise, transfer
from mixlaw.fit.posterior import around, hamiltonian
from mixlaw.laws import LawKind


@contextmanager
def few_draws() -> Iterator[None]:
    """End the sampling of a fit long before its draws have settled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(around, "_MOST_SWEEPS", 100)
        patch.setattr(hamiltonian, "_MOST", 48)
        yield


@contextmanager
def short_draws() -> Iterator[None]:
    """End the sampling of every law sooner yet than `few_draws`, which leaves `transfer` its time."""
    with few_draws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamiltonian, "_WARM_UP", (8, 12))
        patch.setattr(hamiltonian, "_MOST", 24)
        # Chains that were cut off have not settled: walkers would begin anew.
        patch.setattr(pairwise, "_FEW_COORDINATES", 0)
        patch.setattr(transfer, "sample", partial(transfer.sample, burn_in=40, most_sweeps=80))
        yield


@contextmanager
def few_folds(count: int) -> Iterator[None]:
    """Hold out the runs in so many parts instead of ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "_FOLDS", count)
        yield


@contextmanager
def none_held_out() -> Iterator[None]:
    """Fit a law that is asked for to all runs, and to nothing else: nothing is said of runs that were held out."""

    def unknown(runs: RunTable, kind: LawKind) -> LawRow:
        return LawRow(kind.name, np.full(runs.losses_RJ.shape, np.nan))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "held_out", unknown)
        patch.setattr(beyond, "_CUTS", 0)
        yield


@contextmanager
def draws_kept(count: int) -> Iterator[None]:
    """Keep so many draws with a fit instead of 200: what is solved for all of them takes so much less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "DRAWS", count)
        yield


@contextmanager
def points_only() -> Iterator[None]:
    """Fit the parameters of a law that is asked for, without draws around them and without holding out runs."""
    with none_held_out(), draws_kept(0):
        yield
