"""Limits that are to hold with a certainty: a quantile over the posterior draws in the place of the expected loss.

    Q_c[ L_m(w N; theta) - (1 + p) L_m(r N; theta) ] <= 0      for a limit of p beside a mixture r, both in one draw
    Q_c[ L_m(w N; theta) ] <= c_m                               for one in nats

Q_c is the estimator of a quantile that weighs all draws, those next to it the most, so that it changes smoothly with
the weights: sum_s a_s x_(s) over the sorted draws x_(1) <= ... <= x_(S), with

    a_s = I(s / S) - I((s - 1) / S),       I the distribution function of Beta(c (S + 1), (1 - c) (S + 1))

Source: Harrell, Davis 1982, Biometrika 69(3):635-640, Eq. 1.

Shape letters: K domains, J targets, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mixlaw.solve.coupled_objective import Losses


@dataclass(frozen=True)
class SureLosses(Losses):
    """Losses that count as high as they are with a certainty.

    Attributes:
        certainty: c, a share of 1.
        moved_JS: by how much the limit of each draw lies above the mean limit, nats.
    """

    certainty: float
    moved_JS: np.ndarray

    @staticmethod
    def under(losses: Losses, certainty: float, limits_JS: np.ndarray) -> SureLosses:
        """Return the losses under limits that differ from draw to draw."""
        moved_JS = limits_JS - limits_JS.mean(axis=1, keepdims=True)
        return SureLosses(losses.drawn, losses.budget, certainty, moved_JS)

    def only(self, target: int) -> SureLosses:
        """See `Losses.only`."""
        one = slice(target, target + 1)
        return replace(self, drawn=self.drawn[one], moved_JS=self.moved_JS[one])

    def take(self, draws: list[int]) -> SureLosses:
        """See `Losses.take`."""
        return replace(self, drawn=tuple(d.take(draws) for d in self.drawn), moved_JS=self.moved_JS[:, draws])

    def counted(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J,) losses that are not exceeded with the certainty, nats; compared draw by draw with the limits."""
        return np.sort(self._beyond(weights_K), axis=1) @ _of_sorted(self.draws, self.certainty)

    def slopes(self, weights_K: np.ndarray) -> np.ndarray:
        """Return (J, K) derivatives of `counted` by the weights; where two draws change places, one side's."""
        share_JS = np.empty((len(self.drawn), self.draws))
        places = np.argsort(self._beyond(weights_K), axis=1, kind="stable")
        np.put_along_axis(share_JS, places, _of_sorted(self.draws, self.certainty)[None], axis=1)
        return np.einsum("js,jsk->jk", share_JS, self.slopes_by_draw(weights_K))

    @property
    def convex(self) -> bool:
        """Never known: a quantile of convex functions need not be convex."""
        return False

    def _beyond(self, weights_K: np.ndarray) -> np.ndarray:
        return self.by_draw(weights_K[None])[..., 0] - self.moved_JS


def probability_below(values_S: np.ndarray) -> float:
    """Return how surely a quantity is at most 0, given draws of it: the c whose quantile is 0, to within half a draw.

    It is 0.9 where a limit with a certainty of 90 % is just kept.
    """
    from scipy.optimize import root_scalar

    sorted_S = np.sort(values_S)
    least = 0.5 / len(sorted_S)

    def quantile(certainty: float) -> float:
        return float(sorted_S @ _of_sorted(len(sorted_S), certainty))

    if quantile(1 - least) <= 0:
        return 1 - least
    return least if quantile(least) > 0 else root_scalar(quantile, bracket=(least, 1 - least), xtol=1e-6).root


@lru_cache(maxsize=256)
def _of_sorted(draws: int, certainty: float) -> np.ndarray:
    """Return (S,) a_s, the weights of sorted draws in a quantile."""
    from scipy.special import betainc

    ends = betainc(certainty * (draws + 1), (1 - certainty) * (draws + 1), np.arange(draws + 1) / draws)
    weights_S = np.diff(ends)
    weights_S.flags.writeable = False
    return weights_S
