"""Whether posterior draws suffice: how many independent ones they are worth, and whether the chains agree.

    R-hat = sqrt(var+ / W)                    W mean variance within a group of chains, B that of the groups' means
    var+  = (N - 1) / N W + B                 N draws of a group
    ESS   = m n / tau                         tau = 1 + 2 sum_t rho_t
    rho_t = 1 - (V - mean over chains of the autocovariance at lag t) / v+      V, v+ as W, var+ of single chains

of m half chains with n draws each. Draws are replaced by the normal scores of their ranks first, so that a heavy tail
cannot make a variance meaningless; R-hat is also taken of the draws folded at their median, which sees groups of the
same middle and different width, and the larger one counts. The sum of rho_t ends where pairs of neighbours are no
longer positive, and these pairs never rise (Geyer's initial monotone sequence).

An ensemble has many short chains. R-hat of single ones would ask of each that it wanders through the whole posterior;
that of groups asks that the groups agree, which is what a mean over all draws needs.

Source: Vehtari, Gelman, Simpson, Carpenter, Buerkner 2021, Bayesian Analysis 16:667-718, Eqs. 1-4 and 10-14; groups of
many short chains: Margossian et al. 2022, arXiv 2110.13017, section 3; Geyer 1992, Statist. Sci. 7:473-483, sec. 3.3.

Shape letters: m chains, n draws of each, P coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RHAT = 1.05
"""Chains agree if R-hat is below this. Vehtari et al. advise 1.01, the old habit was 1.1. No data."""

_GROUPS = 4
"""How many groups of chains are compared by their means: the usual number of chains. No data."""

EFFECTIVE = 200.0
"""How many independent draws are wanted: with them, an end of a 90 % interval then lies within a twelfth of its
distance to the middle in two of three cases (binomial error of a 5 % quantile of a normal). No data."""


_POOR = 0.25
"""Users are warned if the effective draws are fewer than this part of the wanted ones: an end of a 90 % interval is
then twice as uncertain. R-hat has a limit from the same part. No data."""


@dataclass(frozen=True)
class Convergence:
    """What the posterior draws of one target are worth.

    Attributes:
        effective: independent draws that they are worth, for the coordinate where these are fewest.
        rhat: R-hat of the coordinate where it is largest.
    """

    effective: float
    rhat: float

    @property
    def enough(self) -> bool:
        """Whether both are as they should be."""
        return self.effective >= EFFECTIVE and self.rhat < RHAT

    @property
    def poor(self) -> bool:
        """Whether they are so far from it that intervals and expected losses should not be relied on."""
        return not (self.effective >= _POOR * EFFECTIVE and self.rhat - 1 < (RHAT - 1) / _POOR)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"effective_draws": float(self.effective), "rhat": float(self.rhat)}

    @staticmethod
    def from_json(value: dict) -> Convergence:
        """Return it from its JSON form."""
        return Convergence(float(value["effective_draws"]), float(value["rhat"]))


def convergence(chains_mnP: np.ndarray, least: float = 0.0) -> Convergence:
    """Return what draws are worth.

    Args:
        chains_mnP: (m, n, P) draws, n at least 4; coordinates that never move are left out.
        least: where they are worth fewer independent ones, R-hat is that of the draws alone, without the one of their
            distances from the median: they do not suffice anyhow.
    """
    effective_P, rhat_P = by_coordinate(chains_mnP, least)
    return Convergence(float(effective_P.min()), float(rhat_P.max()))


def by_coordinate(chains_mnP: np.ndarray, least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) independent draws and (P,) R-hat of each coordinate, as `convergence`; of one that never moves, all
    draws and 1."""
    m, n, P = chains_mnP.shape
    effective_P, rhat_P, moving = np.full(P, float(m * n)), np.ones(P), np.ptp(chains_mnP, axis=(0, 1)) > 0
    if not moving.any():
        return effective_P, rhat_P
    chains_mnP = chains_mnP[..., moving]
    halves = np.concatenate([chains_mnP[:, : n // 2], chains_mnP[:, -(n // 2) :]])
    scores = _normal_scores(halves)
    effective, rhat = _effective(scores), _rhat(scores)
    if effective.min() >= least:
        folded = _normal_scores(np.abs(halves - np.median(halves, axis=(0, 1))))
        rhat = np.maximum(rhat, _rhat(folded))
    effective_P[moving], rhat_P[moving] = effective, rhat
    # Halves of few draws may be worth more than there are draws; a coordinate at rest never decides.
    effective_P[~moving] = max(float(effective.max()), float(m * n))
    return effective_P, rhat_P


def slowest(chains_mnP: np.ndarray, count: int) -> np.ndarray:
    """Return the places of about so many coordinates that look slowest, by either measure, without ranks."""
    n = chains_mnP.shape[1]
    halves = np.concatenate([chains_mnP[:, : n // 2], chains_mnP[:, -(n // 2) :]])
    return np.union1d(np.argsort(_effective(halves))[:count], np.argsort(-_rhat(halves))[:count])


def _normal_scores(chains_mnP: np.ndarray) -> np.ndarray:
    """Return the normal scores of each coordinate's average ranks, those of `scipy.stats.rankdata`, in a third of its
    time: sorting places is much faster than sorting them stably, and equal values, as of a rejected proposal, have one
    rank in whatever order they come."""
    from scipy.special import ndtri

    m, n, P = chains_mnP.shape
    values_PR = np.ascontiguousarray(chains_mnP.reshape(m * n, P).T)
    order, place = np.argsort(values_PR, axis=1), np.arange(m * n)
    ordered, edge = np.take_along_axis(values_PR, order, axis=1), np.ones((P, 1), bool)
    different = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(np.hstack([edge, different]), place, 0), axis=1)
    last = np.where(np.hstack([different, edge]), place, m * n)[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    # Of the average rank 1 + (first + last) / 2.
    scores = ndtri((1 + np.arange(2 * m * n - 1) / 2 - 0.375) / (m * n + 0.25))
    found_PR = np.empty(values_PR.shape)
    np.put_along_axis(found_PR, order, scores[first + last], axis=1)
    return np.ascontiguousarray(found_PR.T).reshape(m, n, P)


def _variances(chains_mnP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return W and var+, each (P,)."""
    n = chains_mnP.shape[1]
    within = chains_mnP.var(axis=1, ddof=1).mean(axis=0)
    between = chains_mnP.mean(axis=1).var(axis=0, ddof=1) if len(chains_mnP) > 1 else np.zeros(len(within))
    return within, (n - 1) / n * within + between


def _rhat(halves_mnP: np.ndarray) -> np.ndarray:
    """Return R-hat of groups of half chains, (P,); the two halves of a chain are in different groups."""
    count = min(_GROUPS, len(halves_mnP))
    groups = [np.concatenate(list(halves_mnP[at])) for at in np.array_split(np.arange(len(halves_mnP)), count)]
    size = min(map(len, groups))
    within, total = _variances(np.stack([group[:size] for group in groups]))
    return np.sqrt(total / np.maximum(within, 1e-300))


def _effective(chains_mnP: np.ndarray) -> np.ndarray:
    m, n, P = chains_mnP.shape
    within, total = _variances(chains_mnP)
    centred = chains_mnP - chains_mnP.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    autocovariance = np.fft.irfft(spectrum.mean(axis=0), axis=0)[:n] / n
    rho = 1 - (within * (n - 1) / n - autocovariance) / np.maximum(total, 1e-300)
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2, P).sum(axis=1)
    ended = np.cumsum(pairs <= 0, axis=0) > 0
    pairs = np.where(ended, 0.0, np.minimum.accumulate(np.where(ended, np.inf, pairs), axis=0))
    tau = np.maximum(-1 + 2 * pairs.sum(axis=0), 1 / np.log10(max(m * n, 11)))
    return m * n / tau
