"""What the posterior density of `pairwise`, its gradient and its information share (`pairwise_density`).

Shape letters: S points, R runs, K domains, P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class State:
    """Effective amounts of data and interference at S points; see `pairwise_density` for the letters."""

    z_SP: np.ndarray
    t_SK: np.ndarray
    power_SRK: np.ndarray
    known_S: np.ndarray
    Q_SR: np.ndarray
    y_SR: np.ndarray
    m_S: np.ndarray
    s_S: np.ndarray
    odds_SRK: np.ndarray | None
    I_SR: np.ndarray
    I_by_y_SR: np.ndarray
    i0_S: np.ndarray
    i1_S: np.ndarray

    @property
    def far_SR(self) -> np.ndarray:
        """y - m."""
        return self.y_SR - self.m_S[:, None]


@dataclass
class Heights:
    """The curve at these points, and log(1 + exp(x)) of n0 and t."""

    share_S: np.ndarray
    f_low_S: np.ndarray
    f_high_S: np.ndarray
    steepness_S: np.ndarray
    beta_S: np.ndarray
    reducible_SR: np.ndarray
    inside_S: np.ndarray
    amount_SW: np.ndarray
