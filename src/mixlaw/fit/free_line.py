"""Rows of merged models in a law's likelihood: the law tells their losses up to a line that is fitted with it.

    L(w_r) = a + b m_r + e_r        r over merged rows, a and b free (flat prior), e_r ~ N(0, noise^2 / worth_r)

Offset and slope are integrated out: residuals lose what a weighted line over the merged losses explains of them,

    e = (I - F (F' W F)^-1 F' W) (L - y)        F = (1, m), W the rows' worth, y any losses on the line

so merged rows speak of the law's shape alone. How high the losses are, true runs say.

Shape letters: R rows, S parameter vectors, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FreeLine:
    """What takes the line out of the residuals of one target.

    Attributes:
        losses_R: y, nats.
        weighted: W F, (R, 2); zero for runs.
        back: F (F' W F)^-1, (R, 2); zero for runs.
    """

    losses_R: np.ndarray
    weighted: np.ndarray
    back: np.ndarray

    @staticmethod
    def of(merged_R: np.ndarray | None, worth_R: np.ndarray, losses_R: np.ndarray) -> FreeLine | None:
        """Return the line of a target's rows; None where none is merged.

        Args:
            merged_R: merged losses, nats; NaN for runs.
            worth_R: what each row weighs against a run.
            losses_R: nats; merged rows' on a line over the merged losses.
        """
        if merged_R is None or not np.isfinite(merged_R).any():
            return None
        rows = np.isfinite(merged_R)
        away = np.where(rows, merged_R - merged_R[rows].mean(), 0.0)
        F = np.column_stack([rows.astype(float), away])
        weighted = F * worth_R[:, None]
        return FreeLine(losses_R, weighted, F @ np.linalg.pinv(F.T @ weighted))

    def predicted(self, losses: np.ndarray) -> np.ndarray:
        """Return what a law predicts, (R,) or (S, R) nats, with its merged rows moved onto their line."""
        return losses - (losses - self.losses_R) @ self.weighted @ self.back.T

    def jacobian(self, by_parameter_RP: np.ndarray) -> np.ndarray:
        """Return the (R, P) derivatives of `predicted` from those of the law."""
        return by_parameter_RP - self.back @ (self.weighted.T @ by_parameter_RP)

    def by_law(self, by_predicted_SR: np.ndarray) -> np.ndarray:
        """Return the (S, R) derivatives of a number by the law's losses from those by `predicted`."""
        return by_predicted_SR - by_predicted_SR @ self.back @ self.weighted.T


def predicted(line: FreeLine | None, losses: np.ndarray) -> np.ndarray:
    """Return `FreeLine.predicted`, or the losses where no row is merged."""
    return losses if line is None else line.predicted(losses)


def derivatives(line: FreeLine | None, by_parameter_RP: np.ndarray) -> np.ndarray:
    """Return `FreeLine.jacobian`, or the derivatives where no row is merged."""
    return by_parameter_RP if line is None else line.jacobian(by_parameter_RP)
