"""A law as a table, for a page that cannot compute it: losses at sampled mixtures, and how to interpolate them.

The explorer's JavaScript has mixlaw's own laws only. Of a user's law it gets the losses in all posterior draws at some
hundred mixtures and budgets, with repetition and all else that `Fit.predict` does. Between them every value is

    f(x) = sum_m c_m |x - x_m|^3 + a + b x          x = (sqrt(w_1), ..., sqrt(w_K), s log N)

cubic radial basis functions, which pass through all samples. The draws at the samples are written as their mean and a
few principal components, so that many draws take little room. Samples of their own say how far the table is off.

Source: Buhmann 2003, Radial Basis Functions, chapter 5 (the cubic with a linear polynomial has a unique interpolant).

Shape letters: M samples, K domains, J targets, S draws, Q components, R mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.fit.prediction import CEILING
from mixlaw.fit.result import Fit

_SAMPLES = (200, 60, 600)
"""Samples: so many, more for each domain, at most. No data."""

_COMPONENTS = 12
"""Most principal components of the draws; what more would add is invisible. No data."""

_NUMBERS = 100_000
"""Coefficients in the page, about 1.3 MB; with very many domains and targets fewer components are kept. No data."""

_LOG = 0.2
"""Weight of log N against the roots of shares: a factor of 150 is then as far as a share of 0 from 1. No data."""

_TESTS = 200
"""Mixtures on which the error is measured. No data."""

_DIGITS = 10
"""Significant digits of a coefficient in the page. No data."""


@dataclass(frozen=True)
class Sampled:
    """Interpolated losses of every target in every draw.

    Attributes:
        centres_MX: the samples, in the coordinates of the interpolation.
        parts_JQB: coefficients of each target's mean (first) and components.
        scores_JSQ: what each draw has of each component.
        ceilings_J: no loss is above, nats.
        error: 95th percentile of the error of the mean at mixtures that are no samples, nats.
    """

    centres_MX: np.ndarray
    parts_JQB: list[np.ndarray]
    scores_JSQ: list[np.ndarray]
    ceilings_J: np.ndarray
    error: float

    def losses(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (S, R, J) losses, nats, as the page computes them."""
        basis_RB = _basis(_coordinates(tokens_RK), self.centres_MX)
        columns = []
        for parts_QB, scores_SQ, ceiling in zip(self.parts_JQB, self.scores_JSQ, self.ceilings_J, strict=True):
            mean_R, *components = parts_QB @ basis_RB.T
            columns.append(np.clip(mean_R + scores_SQ @ np.array(components).reshape(-1, len(mean_R)), 0.0, ceiling))
        return np.stack(columns, axis=-1)

    def data(self) -> dict[str, Any]:
        """Return the table for the page."""
        return {
            "centres": self.centres_MX.tolist(),
            "log": _LOG,
            "parts": [part.tolist() for part in self.parts_JQB],
            "scores": [scores.tolist() for scores in self.scores_JSQ],
            "error": self.error,
        }


def sample_law(
    fit: Fit, mixtures: Sequence[Sequence[float]], budgets: Sequence[float], available: Mapping[str, float] | None
) -> Sampled:
    """Return the table of a fit.

    Args:
        fit: of the domains that the page has, with the draws that it may hold, those of one total (`at_total`).
        mixtures: weights that the page names, in the order of the fit's domains: samples lie on them.
        budgets: lowest and highest of the page.
        available: domain -> distinct tokens, where repeated ones count less.
    """
    K, rng = len(fit.domains), generator("explorer's table", fit.law)
    base, more, most = _SAMPLES
    wanted = [np.asarray(mixtures, float), *_slices(np.asarray(mixtures[0], float))]
    known_RK = np.vstack([np.repeat(row_RK, 3, axis=0) for row_RK in wanted])
    known = known_RK * np.tile(np.geomspace(budgets[0], budgets[1], 3), len(known_RK) // 3)[:, None]
    known = known[np.unique(np.linspace(0, len(known) - 1, most - base).round().astype(int))]
    count = min(base + more * K, most) - len(known)
    tokens_MK = np.vstack([known, _spread(K, budgets, count, rng)])
    # Two samples at one place have no interpolant.
    _, first = np.unique(np.round(_coordinates(tokens_MK), 6), axis=0, return_index=True)
    tokens_MK = tokens_MK[np.sort(first)]
    tests_RK = _spread(K, budgets, _TESTS, rng)
    centres_MX = np.round(_coordinates(tokens_MK), 6)
    solve = _interpolant(centres_MX)
    room = np.clip(_NUMBERS // (centres_MX.size + len(centres_MX) * len(fit.targets)), 1, _COMPONENTS)
    parts, scores = [], []
    for losses_SM in np.moveaxis(fit.predict(tokens_MK, available).draws, -1, 0):
        mean_M = losses_SM.mean(axis=0)
        left_SQ, sizes_Q, right_QM = np.linalg.svd(losses_SM - mean_M, full_matrices=False)
        Q = min(int(room), int((sizes_Q > 1e-5 * np.sqrt(losses_SM.size)).sum()))
        parts.append(_rounded(solve(np.vstack([mean_M, right_QM[:Q]]))))
        scores.append(_rounded(left_SQ[:, :Q] * sizes_Q[:Q]))
    ceilings_J = CEILING * np.nanmax(np.abs(fit.runs.losses_RJ), axis=0)
    table = Sampled(centres_MX, parts, scores, ceilings_J, 0.0)
    wrong = np.abs(table.losses(tests_RK).mean(axis=0) - fit.predict(tests_RK, available).mean)
    return Sampled(centres_MX, parts, scores, ceilings_J, float(np.quantile(wrong, 0.95)))


def _slices(weights_K: np.ndarray) -> list[np.ndarray]:
    """Return what the sliders do from the first mixture: one weight moves, the others give way in proportion."""
    found = []
    for moved in np.eye(len(weights_K)):
        others_K = np.where(moved > 0, 0.0, weights_K)
        if others_K.sum() <= 0:
            others_K = 1 - moved
        others_K = others_K / others_K.sum()
        found += [np.array([share * moved + (1 - share) * others_K]) for share in (0.0, 0.5, 1.0)]
    return found


def _spread(K: int, budgets: Sequence[float], count: int, rng: np.random.Generator) -> np.ndarray:
    """Return (R, K) tokens of random mixtures, in the middle, near the edges and on them, at random budgets."""
    flat_RK = rng.dirichlet(np.ones(K), count)
    flat_RK[::3] = rng.dirichlet(np.full(K, 0.4), len(flat_RK[::3]))
    if K > 2:
        edge_RK = flat_RK[1::3]  # a view
        edge_RK[np.arange(len(edge_RK)), rng.integers(K, size=len(edge_RK))] = 0.0
        edge_RK /= edge_RK.sum(axis=1, keepdims=True)
    low, high = np.log(budgets)
    return flat_RK * np.exp(rng.uniform(low, high, count))[:, None]


def _coordinates(tokens_RK: np.ndarray) -> np.ndarray:
    totals_R = tokens_RK.sum(axis=1)
    return np.column_stack([np.sqrt(tokens_RK / totals_R[:, None]), _LOG * np.log(totals_R)])


def _basis(x_RX: np.ndarray, centres_MX: np.ndarray) -> np.ndarray:
    """Return (R, M + 1 + X) values of the basis functions."""
    squares = ((x_RX[:, None] - centres_MX) ** 2).sum(axis=-1)
    return np.column_stack([squares**1.5, np.ones(len(x_RX)), x_RX])


def _interpolant(centres_MX: np.ndarray) -> Any:
    """Return a function from (Q, M) values at the samples to (Q, M + 1 + X) coefficients."""
    from scipy.linalg import lu_factor, lu_solve

    M, basis_MB = len(centres_MX), _basis(centres_MX, centres_MX)
    B = basis_MB.shape[1]
    system = np.zeros((B, B))
    system[:M], system[M:, :M] = basis_MB, basis_MB[:, M:].T
    factors = lu_factor(system)
    return lambda values_QM: lu_solve(factors, np.pad(values_QM, ((0, 0), (0, B - M))).T).T


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.ravel()]).reshape(values.shape)
