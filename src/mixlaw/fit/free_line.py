"""Rows whose losses a law tells only up to a line or a shift that is fitted with it.

    L(w_r) = a + b m_r + e_r        merged models: m their losses, a and b free (flat prior)
    L(w_r) = y_r + s + e_r          runs of another study: s, one for all of its runs, free (flat prior)

with e_r ~ N(0, noise^2 / worth_r). Whatever is free is integrated out: residuals lose what its columns F explain,

    e = (I - F (F' W F)^-1 F' W) (L - y)        W the rows' worth; F = (1, m) on merged rows, 1 on another study's

so these rows speak of the law's shape alone. How high the losses are, the runs of the first study say.

Shape letters: R rows, S parameter vectors, P parameters, F columns that are free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.core.runtable import RunTable


@dataclass(frozen=True)
class FreeLine:
    """What takes lines and shifts out of the residuals of one target.

    Attributes:
        losses_R: y, nats.
        weighted: W F, (R, F); zero for runs of the first study.
        back: F (F' W F)^-1, (R, F); zero for these, too.
    """

    losses_R: np.ndarray
    weighted: np.ndarray
    back: np.ndarray

    @staticmethod
    def of(free_RF: np.ndarray | None, worth_R: np.ndarray, losses_R: np.ndarray) -> FreeLine | None:
        """Return what is free of a target's rows; None where nothing is.

        Args:
            free_RF: `free_columns`, or None.
            worth_R: what each row weighs against a run.
            losses_R: nats; merged rows' on a line over the merged losses.
        """
        if free_RF is None or not free_RF.any():
            return None
        weighted = free_RF * worth_R[:, None]
        return FreeLine(losses_R, weighted, free_RF @ np.linalg.pinv(free_RF.T @ weighted))

    def predicted(self, losses: np.ndarray) -> np.ndarray:
        """Return what a law predicts, (R,) or (S, R) nats, with lines and shifts fitted."""
        return losses - (losses - self.losses_R) @ self.weighted @ self.back.T

    def jacobian(self, by_parameter_RP: np.ndarray) -> np.ndarray:
        """Return the (R, P) derivatives of `predicted` from those of the law."""
        return by_parameter_RP - self.back @ (self.weighted.T @ by_parameter_RP)

    def by_law(self, by_predicted_SR: np.ndarray) -> np.ndarray:
        """Return the (S, R) derivatives of a number by the law's losses from those by `predicted`."""
        return by_predicted_SR - by_predicted_SR @ self.back @ self.weighted.T


def predicted(line: FreeLine | None, losses: np.ndarray) -> np.ndarray:
    """Return `FreeLine.predicted`, or the losses where nothing is free."""
    return losses if line is None else line.predicted(losses)


def derivatives(line: FreeLine | None, by_parameter_RP: np.ndarray) -> np.ndarray:
    """Return `FreeLine.jacobian`, or the derivatives where nothing is free."""
    return by_parameter_RP if line is None else line.jacobian(by_parameter_RP)


def free_columns(runs: RunTable, j: int) -> np.ndarray | None:
    """Return (R, F) columns of which any multiple may be in the losses of target j; None without any."""
    columns = []
    if runs.merged_RJ is not None and np.isfinite(merged_R := runs.merged_RJ[:, j]).any():
        rows = np.isfinite(merged_R)
        columns += [rows.astype(float), np.where(rows, merged_R - merged_R[rows].mean(), 0.0)]
    columns += [np.array([name == study for name in runs.study], float) for study in runs.studies[1:]]
    return np.column_stack(columns) if columns else None
