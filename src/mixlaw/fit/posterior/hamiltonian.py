"""Draws from a smooth posterior density of many coordinates, by Hamiltonian Monte Carlo.

    x' = x + eps M^-1 p,  p' = p + eps grad log pi(x)      a few such steps (leapfrog), then accepted or not

A step is taken in one of two ways. Straight, as above. Or turning: of a density that is nearly normal the normal part,
with the metric M around its centre c, is followed exactly, and only the rest is a force:

    (y, q) turned by the angle eps,  q' = q + eps (grad of log pi(x) + y^2 / 2)      x = c + R y,  R R^T = M^-1

With many runs and domains steps can be half as long again. In tails unlike a normal's they must be shorter, which the
warm-up shows.

A proposal follows the gradient over a distance of about one standard deviation, so that the cost of an independent
draw grows with the fourth root of the number of coordinates; walkers without gradients need at least a number
proportional to it (`mixlaw.fit.posterior.ensemble`), and a normal approximation is wrong in hundreds of coordinates
even where it is nearly right in each. The metric M is the mean over the chains' states of the Gauss-Newton matrix:
large where any part of the posterior is steep, so that steps fit everywhere. Step sizes come from dual averaging while
the chains warm up; both are held from then on, so that the chains have the right limit. Lengths are drawn anew each
time: a fixed one can circle back to where it began. Chains go on until the draws suffice
(`mixlaw.fit.posterior.convergence`) or the work is spent; the count of evaluations, not a clock, ends them, so that the
same runs give the same draws.

Source: Neal 2011, in: Handbook of Markov Chain Monte Carlo, ch. 5, Eqs. 5.18-5.21 and section 5.4.2.2; dual averaging:
Hoffman and Gelman 2014, J. Mach. Learn. Res. 15:1593-1623, section 3.2; turning: Shahbaba, Lan, Johnson and Neal 2014,
Stat. Comput. 24:339-349, section 3.1.

Shape letters: S chains, P coordinates.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixlaw.fit.posterior.convergence import EFFECTIVE, Convergence, by_coordinate, convergence, slowest

_CHAINS, _CHAINS_MANY = 8, 16
"""Number of chains, with few coordinates and with many: two or four in each of four groups, which are compared. Twice
the chains take half as long again. For speed. No data."""

_WARM_UP, _WARM_UP_MANY = (20, 20, 40), (8, 14)
"""Proposals in the warm-up rounds, after each of which but the last the metric is estimated again. Chosen on: planted
worlds of 12 and 64 domains (tuning seeds), where fewer than the first ones left the metric behind; the second ones,
with twice the chains, on worlds 1 to 3 of 64 domains, where gradients of all chains were asked for 270 to 340 times a
target instead of 600 to 900 (docs/lab.md)."""

_FEWEST, _MORE = 48, 1.3
"""Proposals of each of eight chains before convergence is checked, of more chains so much fewer, and the factor until
it is checked again. No data."""

_LATER, _SLOW = (1.1, 1.6), 8
"""The same factor with many coordinates, smallest and largest: the root of how many times as many independent draws are
wanted. And how many of the slowest coordinates, by either measure, are looked at first. For speed. No data."""

_MOST = 2000
"""Largest number of proposals of each chain. No data."""

_PATH, _LONGEST = 2.2, 30
"""Mean length of a proposal's path, in standard deviations of the metric, and its largest number of steps. Chosen
on: planted worlds of 64 domains (tuning seeds), where an independent draw took 42, 37 and 37 evaluations at 1.5, 2.2
and 3, and with interference 140, 122 and 190."""

_ACCEPTED = (0.7, 0.6)
"""Share of accepted proposals to which the step size is adapted, without and with turning. Source: .651 is optimal in
many dimensions (Beskos et al. 2013, Bernoulli 19:1501-1534); a little more where they are few. The second one chosen
on: planted world 6 of 64 domains (tuning), where an independent draw took 17 evaluations, and 19 at .7."""

MANY, _PAYS = 60, 0.62
"""Turning is tried from so many coordinates on, and kept if steps are then at least so long. Straight ones are .5 to
.56 long there. Chosen on: planted worlds 5 to 7 of 3, 12, 32 and 64 domains (tuning). The ratio of the steps was .8,
1.0, 1.6 and 1.6, and an independent draw took 4 and 2 times as many evaluations, about as many and a quarter
(docs/lab.md)."""

_FIRST_STEP, _FIRST_TURN, _SHRINKAGE, _DELAY, _DECAY = 0.5, 0.75, 0.1, 5, 0.75
"""Settings of dual averaging: the first step size, straight and turning, how strongly it is pulled, the delay, and the
decay of its memory. Source: Hoffman and Gelman 2014, section 3.2.1. Differs: rounds are short, so the pull is weaker
and the delay shorter."""

_LEAST = 1e-9
"""Eigenvalues of the metric are at least this part of the largest. For safety. No data."""


class Density(Protocol):
    """A log density with its gradient, in coordinates without bounds."""

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (S,) log densities up to a constant, -inf outside the support, and (S, P) gradients, finite."""
        ...

    def information(self, x_P: np.ndarray) -> np.ndarray:
        """Return (P, P), positive definite: what minus the second derivatives are about."""
        ...


def sample_by_gradient(
    density: Density, start_P: np.ndarray, rng: np.random.Generator, draws: int, most_evaluations: int
) -> tuple[np.ndarray, Convergence]:
    """Return (draws, P) draws, evenly chosen among all states, and what they are worth.

    Args:
        density: its gradient is asked for all chains at once.
        start_P: a point of the support near the mode.
        rng: the source of randomness.
        draws: how many to return.
        most_evaluations: of single gradients, about; a fifth more than the warming up takes are always spent.
    """
    chains = _Chains(density, start_P, rng)
    chains.prepare()
    states: list[np.ndarray] = []
    look, spent, slow = _FEWEST * _CHAINS // len(chains.x_SP), False, None
    most = max(most_evaluations, chains.evaluations * 6 // 5)
    while True:
        while len(states) < look and not spent:
            states.append(chains.step().copy())
            spent = len(states) >= _MOST or (chains.evaluations >= most and len(states) >= 8)
        found, slow = _judged(np.array(states).transpose(1, 0, 2), slow, spent)
        if found.enough or spent:
            break
        wanting = (EFFECTIVE / max(found.effective, 1.0)) ** 0.5
        look = int(look * (np.clip(wanting, *_LATER) if len(start_P) >= MANY else _MORE))
    all_SP = np.concatenate(states)
    return all_SP[np.linspace(0, len(all_SP) - 1, draws).round().astype(int)], found


def _judged(chains_mnP: np.ndarray, slow: np.ndarray | None, spent: bool) -> tuple[Convergence, np.ndarray | None]:
    """Return what draws are worth, and which coordinates are to be looked at first next time: the slowest.

    Ranking all of many coordinates takes as long as some proposals, and if the slowest do not suffice, all do not.
    """
    if slow is not None and not spent:
        found = convergence(chains_mnP[..., slow], EFFECTIVE)
        if not found.enough:
            return found, slow
    many = chains_mnP.shape[2] >= MANY
    if slow is None and many and not spent:
        return _judged(chains_mnP, slowest(chains_mnP, _SLOW), spent)
    effective_P, rhat_P = by_coordinate(chains_mnP, 0.0 if spent else EFFECTIVE)
    if many:
        slow = np.union1d(np.argsort(effective_P)[:_SLOW], np.argsort(-rhat_P)[:_SLOW])
    return Convergence(float(effective_P.min()), float(rhat_P.max())), slow


class _Chains:
    """States of all chains, the metric and the step size."""

    def __init__(self, density: Density, start_P: np.ndarray, rng: np.random.Generator) -> None:
        self.density, self.rng, self.evaluations = density, rng, 0
        self.centre_P = start_P
        self.root_PP, self.inverse_PP = _roots(density.information(start_P))
        self.size, self.turning = _FIRST_STEP, False
        chains = _CHAINS_MANY if len(start_P) >= MANY else _CHAINS
        away = rng.standard_normal((chains, len(start_P))) @ self.root_PP.T
        for halving in range(20):
            self.x_SP = start_P + away
            self.log_S, self.slope_SP = self._evaluate(self.x_SP)
            outside = ~np.isfinite(self.log_S)
            if not outside.any():
                break
            away[outside] *= 0.5 if halving < 18 else 0.0

    def prepare(self) -> None:
        """Learn the metric, then whether to turn, then the step size."""
        if len(self.centre_P) >= MANY:
            self._prepare_many()
            return
        for proposals in _WARM_UP[:-1]:
            self._warm_up(proposals)
            self._learn_metric()
        self._warm_up(_WARM_UP[-1])

    def _prepare_many(self) -> None:
        """The same by turning, where that pays; the first metric comes from where the chains start."""
        self.size, self.turning = _FIRST_TURN, True
        self._learn_metric()
        self._warm_up(_WARM_UP_MANY[0])
        self._learn_metric()
        self._warm_up(_WARM_UP_MANY[1])
        if self.size < _PAYS:
            self.size, self.turning = _FIRST_STEP, False
            self._warm_up(_WARM_UP_MANY[1])

    def _warm_up(self, proposals: int) -> None:
        """Move, and set the step size so that the wanted share is accepted."""
        wanted = _ACCEPTED[self.turning]
        goal, error, mean = np.log(2 * self.size), 0.0, np.log(self.size)
        for t in range(1, proposals + 1):
            accepted = self._move(self.size, 15)
            error += (wanted - accepted - error) / (t + _DELAY)
            log_size = goal - np.sqrt(t) / _SHRINKAGE * error
            mean += t**-_DECAY * (log_size - mean)
            self.size = float(np.exp(np.clip(log_size, -6.0, 0.5)))
        self.size = float(np.exp(np.clip(mean, -6.0, 0.5)))

    def _learn_metric(self) -> None:
        """Take the metric from where eight of the chains are."""
        some = self.x_SP[-_CHAINS:]
        self.root_PP, self.inverse_PP = _roots(np.mean([self.density.information(x) for x in some], axis=0))
        self.centre_P = (self.x_SP + self.slope_SP @ self.root_PP @ self.root_PP.T).mean(axis=0)

    def step(self) -> np.ndarray:
        """Move all chains once and return their (S, P) states."""
        self._move(self.size * self.rng.uniform(0.9, 1.1), _LONGEST)
        return self.x_SP

    def _evaluate(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.evaluations += len(x_SP)
        return self.density.gradient(x_SP)

    def _push(self, size: float, slope_SP: np.ndarray, far_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) changes of the momentum: by the slope of the density, or of what turning leaves of it."""
        push_SP = size * slope_SP @ self.root_PP
        return push_SP + size * far_SP if self.turning else push_SP

    def _move(self, size: float, longest: int) -> float:
        """Propose one path for every chain; return the mean probability of its being accepted."""
        steps = int(np.clip(round(_PATH / size * self.rng.uniform(0.5, 1.5)), 1, longest))
        before = momentum = self.rng.standard_normal(self.x_SP.shape)
        log_density, slope = self.log_S, self.slope_SP
        x, far_SP = self.x_SP, np.zeros(0)
        if self.turning:
            far_SP = (x - self.centre_P) @ self.inverse_PP
        momentum = momentum + self._push(0.5 * size, slope, far_SP)
        for left in reversed(range(steps)):
            if self.turning:
                far_SP, momentum = (
                    np.cos(size) * far_SP + np.sin(size) * momentum,
                    np.cos(size) * momentum - np.sin(size) * far_SP,
                )
                x = self.centre_P + far_SP @ self.root_PP.T
            else:
                x = x + size * momentum @ self.root_PP.T
            log_density, slope = self._evaluate(x)
            momentum = momentum + self._push(size if left else 0.5 * size, slope, far_SP)
        gain = log_density - self.log_S + 0.5 * ((before**2).sum(axis=1) - (momentum**2).sum(axis=1))
        probability = np.exp(np.minimum(np.nan_to_num(gain, nan=-np.inf), 0.0))
        accept = self.rng.random(len(x)) < probability
        self.x_SP = np.where(accept[:, None], x, self.x_SP)
        self.slope_SP = np.where(accept[:, None], slope, self.slope_SP)
        self.log_S = np.where(accept, log_density, self.log_S)
        return float(probability.mean())


def _roots(information_PP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R with R R^T the inverse of a matrix, and Q with R Q = 1, transposed: rows times it are in units of R."""
    values, vectors = np.linalg.eigh(0.5 * (information_PP + information_PP.T))
    roots = np.sqrt(np.maximum(values, _LEAST * max(float(values[-1]), 1e-300)))
    return vectors / roots, vectors * roots
