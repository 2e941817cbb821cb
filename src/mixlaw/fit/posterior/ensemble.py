"""Draws from a posterior density by an ensemble of walkers that learn its shape from each other.

Half of the walkers move along lines through, or differences between, members of the other half, so the moves are
invariant to affine maps: the long thin ridges between C, beta and E cost nothing. All walkers of a half are evaluated
in one call. A Laplace approximation would be cheaper but is wrong where it matters: parameters at a bound, and floors
that the runs leave open.

Such moves are small, and neighbours in a chain alike. So the walkers' states so far give mean and covariance of a
Student t, from which every other move is proposed anew, wherever a walker stands: where the posterior is nearly normal,
as it is in straight coordinates, most of these are accepted. What the moves are made from is held from then on, so that
the chain has the right limit. Sampling goes on until the draws suffice (`mixlaw.fit.posterior.convergence`).

Source: stretch move, Goodman and Weare 2010, CAMCoS 5:65-80, Eq. 7; differential evolution move, ter Braak 2006,
Stat. Comput. 16:239-249, Eq. 2 (the jump of size 1 every tenth time moves between modes); independence sampler, Tierney
1994, Ann. Statist. 22:1701-1728, section 2.3.3.

Shape letters: S walkers or draws, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixlaw.fit.posterior.convergence import Convergence, convergence

_DEGREES = 5.0
"""Degrees of freedom of the Student t: its tails are heavier than a posterior's, so that no walker is stuck far out.
No data."""

_LOOKED_AT = 8_000
"""Largest number of states of all walkers, evenly chosen, from which convergence is judged. For speed. No data."""

_JUMP, _LONG = 2.38, 0.1
"""Size of a difference move, over the root of twice the coordinates; share of those that have size 1 instead, and so
move between modes. Source: ter Braak 2006, Eq. 2."""

_ANEW = 0.5
"""Share of moves that are proposed from the Student t, and of the others, that are stretches. No data."""

LogDensity = Callable[[np.ndarray], np.ndarray]


def sample(
    log_density: LogDensity,
    walkers_SP: np.ndarray,
    rng: np.random.Generator,
    draws: int,
    burn_in: int = 200,
    most_sweeps: int = 2000,
) -> tuple[np.ndarray, Convergence]:
    """Return (draws, P) draws, evenly chosen among all states, and what they are worth.

    Args:
        log_density: (S, P) -> (S,), up to a constant; -inf outside the support.
        walkers_SP: an even number of starting points of finite density, more than 2 P of them.
        rng: the source of randomness.
        draws: how many to return.
        burn_in: sweeps thrown away first, and kept next; as many as there are are added where the draws do not suffice.
        most_sweeps: of all together.
    """
    chain = _Ensemble(log_density, walkers_SP, rng)
    learnt = [chain.sweep() for _ in range(burn_in)][burn_in // 2 :]
    chain.learn(np.concatenate(learnt))
    states: list[np.ndarray] = []
    while True:
        more = min(max(len(states), burn_in), max(most_sweeps - burn_in - len(states), 4))
        states += [chain.sweep() for _ in range(more)]
        every = max(len(states) * len(walkers_SP) // _LOOKED_AT, 1)
        found = convergence(np.array(states[::-1][::every][::-1]).transpose(1, 0, 2))
        if found.enough or burn_in + len(states) >= most_sweeps:
            break
    all_SP = np.concatenate(states)
    return all_SP[np.linspace(0, len(all_SP) - 1, draws).round().astype(int)], found


class _Ensemble:
    """Walkers with their densities."""

    def __init__(self, log_density: LogDensity, walkers_SP: np.ndarray, rng: np.random.Generator) -> None:
        self.log_density, self.rng = log_density, rng
        self.walkers_SP, self.density_S = walkers_SP.copy(), log_density(walkers_SP)
        self.middle_P = self.root_PP = None

    def sweep(self) -> np.ndarray:
        """Move every walker once and return where they stand, (S, P)."""
        count = len(self.walkers_SP)
        # Fresh halves each time, so that no walker is tied to one group.
        order = self.rng.permutation(count)
        for movers, others in ((order[: count // 2], order[count // 2 :]), (order[count // 2 :], order[: count // 2])):
            anew = self.root_PP is not None and self.rng.random() < _ANEW
            proposal, correction = self._anew(movers) if anew else self._nearby(movers, others)
            proposed = self.log_density(proposal)
            with np.errstate(invalid="ignore"):  # from one impossible point to another: not accepted
                gain = correction + proposed - self.density_S[movers]
            accept = np.log(self.rng.random(len(movers))) < gain
            self.walkers_SP[movers[accept]], self.density_S[movers[accept]] = proposal[accept], proposed[accept]
        return self.walkers_SP.copy()

    def learn(self, states_SP: np.ndarray) -> None:
        """Take the Student t of new proposals from states."""
        self.middle_P = states_SP.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(states_SP.T).reshape(states_SP.shape[1], -1))
        self.root_PP = vectors * np.sqrt(np.maximum(values, 1e-12 * max(float(values.max()), 1e-300)))

    def _nearby(self, movers: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return proposals from the other half, and the logarithms of what corrects their asymmetry."""
        walkers, rng, count, dimension = self.walkers_SP, self.rng, len(movers), self.walkers_SP.shape[1]
        first = walkers[others[rng.integers(len(others), size=count)]]
        if rng.random() < _ANEW:
            stretch = (1 + rng.random(count)) ** 2 / 2  # density proportional to 1/sqrt(s) on [1/2, 2]
            return first + stretch[:, None] * (walkers[movers] - first), (dimension - 1) * np.log(stretch)
        second = walkers[others[rng.integers(len(others), size=count)]]
        size = np.where(rng.random(count) < _LONG, 1.0, _JUMP / np.sqrt(2 * dimension))
        return walkers[movers] + size[:, None] * (first - second), np.zeros(count)

    def _anew(self, movers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return proposals from the Student t, and the logarithms of the ratio of its densities, old over new."""
        assert self.root_PP is not None and self.middle_P is not None
        shape = (len(movers), len(self.middle_P))
        scale = np.sqrt(_DEGREES / self.rng.chisquare(_DEGREES, len(movers)))
        steps = self.rng.standard_normal(shape) * scale[:, None]
        before = np.linalg.solve(self.root_PP, (self.walkers_SP[movers] - self.middle_P).T).T
        near, far = (np.log1p((part**2).sum(axis=1) / _DEGREES) for part in (steps, before))
        return self.middle_P + steps @ self.root_PP.T, 0.5 * (_DEGREES + shape[1]) * (near - far)
