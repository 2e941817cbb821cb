"""Draws from a posterior density by an ensemble of walkers that learn its shape from each other.

Half of the walkers move along lines through, or differences between, members of the other half, so the moves are
invariant to affine maps: the long thin ridges between C, beta and E cost nothing. All walkers of a half are evaluated
in one call. A Laplace approximation would be cheaper but is wrong where it matters: parameters at a bound, and floors
that the runs leave open.

Source: stretch move, Goodman and Weare 2010, CAMCoS 5:65-80, Eq. 7; differential evolution move, ter Braak 2006,
Stat. Comput. 16:239-249, Eq. 2 (the jump of size 1 every tenth time moves between modes).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def sample(
    log_density: Callable[[np.ndarray], np.ndarray],
    walkers_SP: np.ndarray,
    rng: np.random.Generator,
    draws: int,
    burn_in: int = 200,
    thin: int = 20,
) -> np.ndarray:
    """Return (draws, P) approximately independent draws.

    Args:
        log_density: (S, P) -> (S,), up to a constant; -inf outside the support.
        walkers_SP: an even number of starting points of finite density, more than 2 P of them.
        rng: the source of randomness.
        draws: how many to return.
        burn_in: sweeps thrown away first.
        thin: sweeps between the ones that are kept.
    """
    walkers = walkers_SP.copy()
    count, dimension = walkers.shape
    density = log_density(walkers)
    kept: list[np.ndarray] = []
    sweeps = burn_in + thin * -(-draws // count)
    for sweep in range(1, sweeps + 1):
        # Fresh halves each time, so that no walker is tied to one group.
        order = rng.permutation(count)
        for movers, others in ((order[: count // 2], order[count // 2 :]), (order[count // 2 :], order[: count // 2])):
            proposal, correction = _propose(walkers[movers], walkers[others], rng, dimension)
            proposed = log_density(proposal)
            accept = np.log(rng.random(len(movers))) < correction + proposed - density[movers]
            walkers[movers[accept]], density[movers[accept]] = proposal[accept], proposed[accept]
        if sweep > burn_in and (sweep - burn_in) % thin == 0:
            kept.append(walkers.copy())
    return np.concatenate(kept)[:draws]


def _propose(
    movers: np.ndarray, others: np.ndarray, rng: np.random.Generator, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    count = len(movers)
    first = others[rng.integers(len(others), size=count)]
    if rng.random() < 0.5:
        stretch = (1 + rng.random(count)) ** 2 / 2  # density proportional to 1/sqrt(s) on [1/2, 2]
        return first + stretch[:, None] * (movers - first), (dimension - 1) * np.log(stretch)
    second = others[rng.integers(len(others), size=count)]
    size = np.where(rng.random(count) < 0.1, 1.0, 2.38 / np.sqrt(2 * dimension))
    return movers + size[:, None] * (first - second), np.zeros(count)
