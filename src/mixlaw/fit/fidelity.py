"""Merged models as a second fidelity: cheap losses that true runs have to vouch for, target by target.

    y_r + L(w_r, N) - L(w_r, N_r) = a + b m(w_r) + e_r        over the true runs r whose shares a merge has, too

m is the merged loss of a mixture, which knows no amount of tokens; y_r is the loss of a true run, moved by the law of
the true runs alone from its own tokens N_r to one amount N. The error e, as left-out runs show it, is each target's. A
merge without a true run of its shares then joins the fit as a row of N tokens, worth what this error allows beside a
run, whose loss the law tells up to a line over the merged losses (`mixlaw.fit.free_line`): it speaks of the law's
shape, not of how high losses are. Merges know the truth only through the runs that the line was fitted to, so together
they count for no more than as many runs; those whose merged losses lie outside the pairs' are left out.

A target takes merges only if the line explains half of the variance of left-out runs, and if the law with these rows
predicts held-out true runs better than the law without them, by more than a standard error.

Source: a cheap simulator as covariate of a dear one: Kennedy and O'Hagan 2000, Biometrika 87:1-13, Eq. 1. Differs: the
trend is the law, the dear loss is regressed on the cheap one, and held-out runs decide whether merges enter.

Shape letters: R true runs, M merged rows, K domains, J targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.errors import MixlawError
from mixlaw.core.fidelity import TRUE
from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import rows_by_run
from mixlaw.fit.choosing.held_out import estimator_of, folds
from mixlaw.fit.estimating.estimator import Estimated, predicted_by_refitting
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.size import largest_size
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind
from mixlaw.laws.pairwise import Pairwise

FEWEST = 4
"""True runs with a merge of their shares that a line needs: two for its parameters, two for its error. No data."""

SAME_SHARES = 0.02
"""Largest difference of a share between a true run and its merge: whole conversations make runs differ from their plan
by less. No data."""

PAYS = 1.0
"""Standard errors of the paired differences by which merges must lower the error on held-out runs. Source: Breiman et
al. 1984, section 3.4.3, as between laws (`mixlaw.fit.choosing.choice`). No data."""

EXPLAINED = 0.5
"""Part of the variance of left-out runs that the line must explain. No data."""


@dataclass(frozen=True)
class Evidence:
    """What a fit rests on where there are merged rows.

    Attributes:
        runs: the true runs, then the merges that are believed of any target.
        predicted_RJ: losses of held-out true runs by the law that is used for each target; NaN where none was held out.
        notes: sentences on what merges are believed of.
        warnings: sentences on those that are not, and why.
    """

    runs: RunTable
    predicted_RJ: np.ndarray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One target's line from merged losses to true ones.

    Attributes:
        pairs: how many true runs it was fitted to.
        centre: mean merged loss of these, nats.
        spread: sum of squares of their merged losses around it.
        height: true loss at the centre, nats.
        slope: true nats a merged one.
        sd: root mean square error of left-out runs, nats.
        explained: part of the variance of left-out runs that the line explains; below 0 where their mean is better.
        ends: smallest and largest merged loss of the pairs, nats.
    """

    pairs: int
    centre: float
    spread: float
    height: float
    slope: float
    sd: float
    explained: float
    ends: tuple[float, float]

    @staticmethod
    def of(merged: np.ndarray, true: np.ndarray) -> Line:
        """Return the least-squares line through at least 3 pairs of losses, nats."""
        n, centre, height = len(true), float(merged.mean()), float(true.mean())
        away = merged - centre
        spread = float(away @ away)
        slope = float(away @ (true - height)) / spread if spread > 0 else 0.0
        # What a run's own part in the fit hides of its error (PRESS): Allen 1974, Technometrics 16:125-127.
        hidden = 1 / n + (away**2 / spread if spread > 0 else 0.0)
        left_out = (true - height - slope * away) / np.maximum(1 - hidden, 1e-9)
        by_mean = (true - height) * n / (n - 1)
        explained = 1 - float(left_out @ left_out) / max(float(by_mean @ by_mean), 1e-300)
        sd, ends = float(np.sqrt(np.mean(left_out**2))), (float(merged.min()), float(merged.max()))
        return Line(n, centre, spread, height, slope, sd, explained, ends)

    def within(self, merged: np.ndarray) -> np.ndarray:
        """Return merged losses, nats, with NaN for those that lie outside what true runs vouch for."""
        return np.where((merged >= self.ends[0]) & (merged <= self.ends[1]), merged, np.nan)

    def at(self, merged: np.ndarray) -> np.ndarray:
        """Return the true losses that merged ones tell, nats."""
        return self.height + self.slope * (merged - self.centre)

    def variance(self, merged: np.ndarray) -> np.ndarray:
        """Return the squared errors to expect of `at`, nats^2, when all of these are used together."""
        lever = 1 / self.pairs + (merged - self.centre) ** 2 / max(self.spread, 1e-300)
        return self.sd**2 * (1 + lever) * max(1.0, np.isfinite(merged).sum() / self.pairs)


def split(runs: RunTable) -> tuple[RunTable, RunTable | None]:
    """Return the true runs of a table, and its merged rows or None."""
    merged_R = runs.merged_R
    if not merged_R.any():
        return runs, None
    true = runs.take(~merged_R)
    return true if true.point_R.any() else replace(true, fidelity=()), runs.take(merged_R)


def evidence(true: RunTable, merged: RunTable, kind: LawKind) -> Evidence:
    """Return the true runs with the merges that they vouch for.

    Args:
        true: R runs.
        merged: M rows with the same domains and targets.
        kind: the law that is fitted.
    """
    nothing = np.full(true.losses_RJ.shape, np.nan)
    if kind.law is None:
        return Evidence(
            true, nothing, warnings=(f"Merged models are not used: '{kind.name}' takes trained runs alone.",)
        )
    pairs = _Pairs.of(true, merged)
    try:
        whole = _calibrated(true, pairs, estimator_of(kind).fit(true, 0, 0))
        joined = _joined(true, pairs, whole, range(len(true.targets)))
        with_RJ, without_RJ = _held_out(true, joined, kind)
    except MixlawError as error:
        return Evidence(true, nothing, warnings=(f"Merged models are not used: {error.message}",))
    figures, why = {}, {}
    for j, target in enumerate(true.targets):
        with_R, without_R = (
            _errors(predicted_RJ[:, j], true.losses_RJ[:, j]) for predicted_RJ in (with_RJ, without_RJ)
        )
        figures[target] = f"{_mean(with_R):.2g} % with them and {_mean(without_R):.2g} % without"
        if reason := _disagreement(whole.lines[j], without_R - with_R):
            why[target] = reason.format(figures=figures[target])
    believed = [j for j, target in enumerate(true.targets) if target not in why]
    warnings = tuple(f"Merged models are not used for '{target}': {reason}." for target, reason in why.items())
    if not believed or not len(pairs.alone):
        return Evidence(true, nothing, warnings=warnings)
    said = ", ".join(f"'{true.targets[j]}' {figures[true.targets[j]]}" for j in believed)
    note = f"{len(pairs.alone)} merged models join the runs: held-out runs are predicted with an error of {said}."
    predicted_RJ = np.where(np.isin(np.arange(len(true.targets)), believed), with_RJ, np.nan)
    return Evidence(_joined(true, pairs, whole, believed), predicted_RJ, (note,), warnings)


def everything(true: RunTable, merged: RunTable, kind: LawKind) -> RunTable:
    """Return the true runs with all merges for which they give a line, whatever held-out runs say of them."""
    pairs = _Pairs.of(true, merged)
    whole = _calibrated(true, pairs, estimator_of(kind).fit(true, 0, 0))
    return _joined(true, pairs, whole, range(len(true.targets)))


@dataclass(frozen=True)
class _Pairs:
    """Which merges have the shares of a true run.

    Attributes:
        merged: M rows.
        shares_MK: of them.
        of_R: each run's row among them, or -1; a checkpoint that is not its run's last has none.
        alone: rows without a run.
    """

    merged: RunTable
    shares_MK: np.ndarray
    of_R: np.ndarray
    alone: np.ndarray

    @staticmethod
    def of(true: RunTable, merged: RunTable) -> _Pairs:
        shares_MK = merged.tokens_RK / np.maximum(merged.totals_R, 1e-300)[:, None]
        shares_RK = true.tokens_RK / np.maximum(true.totals_R, 1e-300)[:, None]
        apart_RM = np.abs(shares_RK[:, None] - shares_MK).max(axis=-1)
        nearest_R = apart_RM.argmin(axis=1)
        near_R = (apart_RM[np.arange(len(true)), nearest_R] <= SAME_SHARES) & (true.totals_R > 0)
        alone = np.flatnonzero(~(apart_RM[true.totals_R > 0] <= SAME_SHARES).any(axis=0))
        last_R = np.ones(len(true), bool)
        if true.checkpoint_of:
            for rows in rows_by_run(true).values():
                last_R[rows] = true.totals_R[rows] == true.totals_R[rows].max()
        return _Pairs(merged, shares_MK, np.where(near_R & last_R, nearest_R, -1), alone)


@dataclass(frozen=True)
class _Calibrated:
    """Each target's line, the tokens for which it tells losses, and how runs scatter around the law."""

    lines: tuple[Line | None, ...]
    total: float
    noise_J: tuple[float, ...]


def _calibrated(true: RunTable, pairs: _Pairs, fitted: Sequence[Estimated]) -> _Calibrated:
    """Return the lines through the pairs, with each run moved to the mean tokens of all by its law."""
    rows, lines = np.flatnonzero(pairs.of_R >= 0), []
    total = float(np.exp(np.log(true.totals_R[rows]).mean())) if len(rows) else float("nan")
    shares_RK = true.tokens_RK[rows] / true.totals_R[rows, None]
    for j, one in enumerate(fitted):
        moved_R = one.curve.losses(shares_RK * total / MILLION) - one.curve.losses(true.tokens_RK[rows] / MILLION)
        of_R, losses_R = pairs.of_R[rows], true.losses_RJ[rows, j] + moved_R
        known = np.isfinite(losses_R) & np.isfinite(pairs.merged.losses_RJ[of_R, j])
        # Replicates of one mixture are one pair.
        places = np.unique(of_R[known])
        means = np.array([losses_R[known & (of_R == place)].mean() for place in places])
        lines.append(Line.of(pairs.merged.losses_RJ[places, j], means) if len(places) >= FEWEST else None)
    return _Calibrated(tuple(lines), total, tuple(one.curve.scatter.sd_nats for one in fitted))


def _joined(true: RunTable, pairs: _Pairs, whole: _Calibrated, believed: Sequence[int]) -> RunTable:
    """Return the runs, then the merges that have none, with the losses and the worth that the lines give them."""
    extra, J = pairs.merged.take(pairs.alone), len(true.targets)
    losses_MJ, worth_MJ = np.full((len(extra), J), np.nan), np.ones((len(extra), J))
    for j in believed:
        line = whole.lines[j]
        if line is not None:
            merged_M = line.within(extra.losses_RJ[:, j])
            losses_MJ[:, j] = line.at(merged_M)
            with np.errstate(divide="ignore", invalid="ignore"):
                worth_MJ[:, j] = np.minimum(whole.noise_J[j] ** 2 / line.variance(merged_M), 1.0)
    tokens_MK = pairs.shares_MK[pairs.alone] * whole.total
    params_R = true.params_R
    if params_R is not None:
        params_R = np.concatenate([params_R, np.full(len(extra), largest_size(true))])
    return RunTable(
        (*true.runs, *extra.runs),
        true.domains,
        true.targets,
        np.vstack([true.tokens_RK, tokens_MK]),
        np.vstack([true.losses_RJ, losses_MJ]),
        unique_RK=None if true.unique_RK is None else np.vstack([true.unique_RK, tokens_MK]),
        params_R=params_R,
        checkpoint_of=(*true.checkpoint_of, *extra.runs) if true.checkpoint_of else (),
        fidelity=(*true.fidelity, *[TRUE] * len(extra)) if true.fidelity else (),
        study=(*true.study, *[true.study[0]] * len(extra)) if true.study else (),
        worth_RJ=np.vstack(
            [np.ones((len(true), J)) if true.worth_RJ is None else true.worth_RJ, np.nan_to_num(worth_MJ)]
        ),
        merged_RJ=np.vstack(
            [np.full((len(true), J), np.nan), np.where(np.isfinite(losses_MJ), extra.losses_RJ, np.nan)]
        ),
    )


def _held_out(true: RunTable, joined: RunTable, kind: LawKind) -> tuple[np.ndarray, np.ndarray]:
    """Return (R, J) losses of held-out true runs by the law with merges and without them, as if all were believed.

    What a merge's loss is calibrated to moves no fit, since its line is free; what it is worth is that of all runs.
    """
    # Fitted anew: a search that begins at the fit of all runs would stay there where runs are few.
    estimator = PairwiseEstimator(interference=False) if kind.law is Pairwise else estimator_of(kind)
    parts = folds(true)
    wider = [np.concatenate([part, np.zeros(len(joined) - len(true), bool)]) for part in parts]
    with_RJ = predicted_by_refitting(estimator, joined, wider)[: len(true)]
    return with_RJ, predicted_by_refitting(estimator, true, parts)


def _errors(predicted_R: np.ndarray, losses_R: np.ndarray) -> np.ndarray:
    """Return (R,) relative errors of held-out losses, %; NaN where there are none."""
    return 100 * np.abs(predicted_R - losses_R) / magnitudes(losses_R)


def _mean(errors_R: np.ndarray) -> float:
    known = errors_R[np.isfinite(errors_R)]
    return float(known.mean()) if len(known) else float("nan")


def _disagreement(line: Line | None, gain_R: np.ndarray) -> str:
    """Return why true runs do not vouch for a target's merges; empty where they do.

    Args:
        line: of the target.
        gain_R: by how much merges lower the error of each held-out run.
    """
    if line is None:
        return f"fewer than {FEWEST} true runs have the shares of one"
    if not (line.slope > 0 and line.explained >= EXPLAINED):
        percent = 100 * max(line.explained, 0.0) if line.slope > 0 else 0.0
        return f"they explain {percent:.0f} % of the variance of left-out runs, {100 * EXPLAINED:.0f} % are needed"
    gain_R = gain_R[np.isfinite(gain_R)]
    if len(gain_R) < 2:
        return "too few true runs to hold some out"
    if gain_R.mean() > PAYS * gain_R.std(ddof=1) / np.sqrt(len(gain_R)):
        return ""
    return "held-out runs are predicted with an error of {figures}, which is not clearly better"
