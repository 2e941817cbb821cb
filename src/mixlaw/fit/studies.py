"""Runs of several studies together: what the losses of each lie above those of the first, target by target.

    y_r = L(w_r) + s_{study of r} + e_r

Studies of one base model and the same data may differ in learning rate, batch size, hardware or trainer; what that does
to a loss is taken to be one shift of all of a study's runs. In the likelihood it is free (`mixlaw.fit.free_line`), so
that runs of other studies speak of the law's shape alone; how high losses are, the first study's runs say.

Shape letters: R runs, J targets, S posterior draws.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import estimator_of
from mixlaw.fit.size import log_sizes
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind

_ROUNDS = 2
"""How often shifts are found, each time from the losses without those found before: a floor cannot lie above any loss,
which binds only before the first. No data."""

_DRAWS = 100
"""Posterior draws from which a shift's standard deviation is taken: 7 % of it at 100. No data."""


_SAID = 6
"""The most targets whose shift a sentence names. No data."""


def aligned(runs: RunTable, kind: LawKind) -> RunTable:
    """Return the runs with the shifts of their studies taken off and written into `shifts`.

    Args:
        runs: with several studies; otherwise they are returned as they are.
        kind: the law that tells runs of one study from those of another.

    Raises:
        DataError: a study did not measure a target that another one did.
        TooFewRuns: too few different mixtures for the law.
    """
    if len(runs.studies) < 2:
        return runs
    for name in runs.studies:
        of_study = np.array([study == name for study in runs.study])
        known_J = np.isfinite(runs.losses_RJ[of_study]).any(axis=0)
        if not known_J.all():
            target = runs.targets[int(np.flatnonzero(~known_J)[0])]
            raise DataError(
                f"No run of study '{name}' measured '{target}', so its level there is unknown.",
                "Measure it, or leave out the study or the target.",
            )
    shifts = np.zeros((len(runs.studies), len(runs.targets)))
    of_R = np.array([runs.studies.index(study) for study in runs.study])
    for _ in range(_ROUNDS):
        now = replace(runs, losses_RJ=runs.losses_RJ - shifts[of_R])
        shifts += _levels(now, kind, of_R, 0)[0]
    now = replace(runs, losses_RJ=runs.losses_RJ - shifts[of_R])
    left, sd = _levels(now, kind, of_R, _DRAWS)
    shifts += left
    return replace(
        runs,
        losses_RJ=runs.losses_RJ - shifts[of_R],
        shifts={
            study: {
                target: {"mean": float(shifts[i, j]), "sd": float(sd[i, j])} for j, target in enumerate(runs.targets)
            }
            for i, study in enumerate(runs.studies)
            if i
        },
    )


def said_of(runs: RunTable) -> str:
    """Return a sentence on the shifts of aligned runs; empty where all are of one study."""
    parts = []
    for study, by_target in runs.shifts.items():
        shown = [f"{target} {shift['mean']:+.3f} ± {shift['sd']:.3f}" for target, shift in by_target.items()]
        more = [f"and {len(shown) - _SAID} more"] * (len(shown) > _SAID)
        parts.append(f"'{study}' lies {', '.join(shown[:_SAID] + more)} nats above it")
    return f"Losses are those of study '{runs.studies[0]}'; {'; '.join(parts)}." if parts else ""


def _levels(runs: RunTable, kind: LawKind, of_R: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (studies, J) means and standard deviations of how far each study's losses lie above the law; the first
    study's are 0."""
    estimates = estimator_of(kind).fit(runs, 0, draws)
    means, sds = np.zeros((2, int(of_R.max()) + 1, len(runs.targets)))
    tokens_RK = runs.tokens_RK / MILLION
    for j, one in enumerate(estimates):
        curve = one.curve
        sizes_R = None if curve.sizes is None else log_sizes(runs)
        point_R = curve.losses(tokens_RK, sizes_R)
        drawn_SR = curve.losses_by_draw(tokens_RK, sizes_R) if draws else point_R[None]
        for i in range(1, len(means)):
            rows = np.flatnonzero((of_R == i) & np.isfinite(runs.losses_RJ[:, j]))
            away_SR = runs.losses_RJ[rows, j] - drawn_SR[:, rows]
            means[i, j] = np.median(runs.losses_RJ[rows, j] - point_R[rows]) if not draws else away_SR.mean()
            sds[i, j] = np.sqrt(away_SR.mean(axis=1).var() + curve.scatter.sd_nats**2 / len(rows))
    return means, sds
