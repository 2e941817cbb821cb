"""The values that carry a fit from the sampler to the solver: a curve, what decisions rest on, and its draws.

    Curve     one law fitted to one target: the reported parameters and draws of them, as arrays
    Belief    the curves that decisions about a target rest on: one, or two where the runs do not tell two laws apart
    Drawn     a belief at one amount of tokens, as the solver and the designs take it

Tokens are in millions. Shape letters: R mixtures, K domains, P parameters, S draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mixlaw.fit.posterior.extrapolation import Beyond, losses_beyond, parameters_beyond, size_factor
from mixlaw.fit.size import SIZE, at_size
from mixlaw.laws import find
from mixlaw.laws.base import Convex, Law, places

_LOWEST, _MIDDLE = 0.1, 0.6
"""Offset that is added to a loss's height above the lowest one (in units of their range), and the sum in the middle.
No data."""


@dataclass(frozen=True)
class Scatter:
    """How far runs lie from the law: a standard deviation that may grow with the loss and as the mixture leans.

        sd(L, w) = sd_nats ((max(L - base, 0) / span + 0.1) / 0.6)^power exp(tilt (lean(w) - middle))

    Runs that have seen almost nothing of a domain scatter more than those that have: their loss depends on what little
    transfer there is. And so do, in some studies, runs with one domain and little else. The amount of tokens acts
    through the loss.

    Attributes:
        sd_nats: standard deviation in the middle of the measured losses, at the runs' mean lean.
        power: 0 where the scatter is the same everywhere.
        base: smallest measured loss, nats.
        span: largest minus smallest measured loss, nats.
        tilt: logarithm of the scatter of a run of one domain over that of the equal mixture.
        middle: mean lean of the runs.
    """

    sd_nats: float
    power: float = 0.0
    base: float = 0.0
    span: float = 1.0
    tilt: float = 0.0
    middle: float = 0.0

    def at(self, losses: np.ndarray, lean_R: np.ndarray | None = None) -> np.ndarray:
        """Return the standard deviation of a run's loss, nats.

        Args:
            losses: (..., R) nats, as the law says.
            lean_R: of the mixtures (`lean`); None: as the runs lean on average.
        """
        height = (np.maximum(losses - self.base, 0) / max(self.span, 1e-300) + _LOWEST) / _MIDDLE
        sd = self.sd_nats * height**self.power
        return sd if lean_R is None or not self.tilt else sd * np.exp(self.tilt * (lean_R - self.middle))


@dataclass(frozen=True)
class Curve:
    """One law fitted to one target.

    Attributes:
        law: made for the domains and the target.
        theta_P: the reported parameters, in the order of `law.parameters`.
        draws_SP: posterior draws of them; one row, the point, where there is no posterior.
        scatter: of runs around the law.
        sizes: (3,) exponents of the model's size (`mixlaw.fit.size`) and (S, 3) draws, where the runs are of several.
    """

    law: Law
    theta_P: np.ndarray
    draws_SP: np.ndarray
    scatter: Scatter
    sizes: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the parameters, those of the size's exponents last."""
        return [parameter.name for parameter in self.law.parameters] + list(SIZE) * (self.sizes is not None)

    @property
    def parameters(self) -> dict[str, float]:
        """Name -> reported value."""
        values = [*self.theta_P, *([] if self.sizes is None else self.sizes[0])]
        return dict(zip(self.names, map(float, values), strict=True))

    @property
    def draws(self) -> dict[str, np.ndarray]:
        """Name -> (S,) draws."""
        columns = [*self.draws_SP.T, *([] if self.sizes is None else self.sizes[1].T)]
        return dict(zip(self.names, columns, strict=True))

    def take(self, draws: np.ndarray | slice) -> Curve:
        """Return the curve with some of its draws."""
        sizes = None if self.sizes is None else (self.sizes[0], self.sizes[1][draws])
        return replace(self, draws_SP=self.draws_SP[draws], sizes=sizes)

    def losses(self, tokens_RK: np.ndarray, log_sizes_R: np.ndarray | None = None) -> np.ndarray:
        """Return (R,) losses at the reported parameters, nats."""
        losses_R = np.empty(len(tokens_RK))
        for rows, curve in self._by_size(tokens_RK, log_sizes_R):
            losses_R[rows] = curve.law.predict(curve.theta_P, tokens_RK[rows])
        return losses_R

    def losses_by_draw(
        self,
        tokens_RK: np.ndarray,
        normals_S: np.ndarray | None = None,
        bend_R: np.ndarray | None = None,
        log_sizes_R: np.ndarray | None = None,
        drift_R: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return (S, R) losses in every draw, nats; where curves bend as `mixlaw.fit.posterior.extrapolation` says."""
        if normals_S is None or bend_R is None:
            normals_S, bend_R = np.zeros(len(self.draws_SP)), np.zeros(len(tokens_RK))
        losses_SR = np.empty((len(self.draws_SP), len(tokens_RK)))
        for rows, curve in self._by_size(tokens_RK, log_sizes_R):
            args = (curve.law, curve.draws_SP, normals_S, tokens_RK[rows], bend_R[rows])
            losses_SR[:, rows] = losses_beyond(*args, None if drift_R is None else drift_R[rows])
        return losses_SR

    def _by_size(self, tokens_RK: np.ndarray, log_sizes_R: np.ndarray | None) -> Iterator[tuple[np.ndarray, Curve]]:
        """Yield the rows of each model size, and the curve of it."""
        if log_sizes_R is None or self.sizes is None:
            yield np.arange(len(tokens_RK)), self
            return
        for log_size in np.unique(log_sizes_R):
            yield np.flatnonzero(log_sizes_R == log_size), self.at_size(float(log_size))

    def at_size(self, log_size: float) -> Curve:
        """Return the curve for models larger by a factor, whose logarithm is given, than those that it is for."""
        assert self.sizes is not None
        point, drawn = self.sizes
        theta_P, draws_SP = self.theta_P, self.draws_SP
        return replace(
            self,
            theta_P=at_size(self.law, theta_P, point, log_size),
            draws_SP=at_size(self.law, draws_SP, drawn, log_size),
        )

    def times(self, factor_S1: np.ndarray) -> Curve:
        """Return the curve with the losses of each draw times a factor; the law is linear in amplitudes and floor."""
        draws_SP, linear = self.draws_SP.copy(), [*places(self.law, "amplitude"), *places(self.law, "floor")]
        draws_SP[:, linear] *= factor_S1
        return replace(self, draws_SP=draws_SP)

    def of_domains(self, domains: tuple[str, ...]) -> Curve:
        """Return the curve for mixtures of some of the law's domains only."""
        law = find(self.law).law
        assert law is not None
        made = law(domains, self.law.target)
        kept = [self.names.index(parameter.name) for parameter in made.parameters]
        return replace(self, law=made, theta_P=self.theta_P[kept], draws_SP=self.draws_SP[:, kept])


@dataclass(frozen=True)
class Belief:
    """What decisions about one target rest on.

    Attributes:
        curves: the reported law's first; a second one where held-out mixtures do not tell its law from the first. Of n
            curves with S draws, each gives every n-th, so that together they have S.
        normals_S: a standard normal for each draw: how its curve bends beyond the largest run.
        beyond: how much it bends, and what else is not known where there are no runs.
    """

    curves: tuple[Curve, ...]
    normals_S: np.ndarray
    beyond: Beyond = field(default_factory=Beyond)

    @property
    def curve(self) -> Curve:
        """The reported law's."""
        return self.curves[0]

    def with_laws(self, change: Callable[[Law], Law]) -> Belief:
        """Return the belief with every law replaced by what the function makes of it."""
        return replace(self, curves=tuple(replace(curve, law=change(curve.law)) for curve in self.curves))

    def at_size(self, log_size: float, distance: float) -> Belief:
        """Return the belief for models larger by a factor, whose logarithm is given.

        Args:
            log_size: of the factor.
            distance: by how much more than now they lie beyond the largest size, in powers of e.
        """
        factor_S1 = self.size_factor(np.array([distance]))
        return replace(self, curves=tuple(c.at_size(log_size).times(factor_S1) for c in self.curves))

    def size_factor(self, distance_R: np.ndarray) -> np.ndarray:
        """Return (S, R) factors of the losses of models that lie so far beyond the largest size, in powers of e."""
        return size_factor(self.normals_S, self.beyond.size, distance_R)

    def take(self, draws: np.ndarray) -> Belief:
        """Return the belief with some draws of each curve."""
        curves = tuple(curve.take(draws) for curve in self.curves)
        return replace(self, curves=curves, normals_S=self.normals_S[draws])

    def drawn(self, distance: float = 0.0, part: float = 0.0) -> Drawn:
        """Return the draws for mixtures that lie so far beyond the largest run, in powers of e; for regrets `part` says
        from which mixture gains are seen (`mixlaw.fit.posterior.extrapolation`)."""
        n, at = len(self.curves), np.array(distance)
        moved = self.normals_S, float(self.beyond.bend(at, part)), float(self.beyond.drift(at))
        parts = [
            (curve.law, parameters_beyond(curve.law, curve.draws_SP, *moved)[i::n])
            for i, curve in enumerate(self.curves)
        ]
        return Drawn(tuple(parts))

    def losses_by_draw(
        self, tokens_RK: np.ndarray, distance_R: np.ndarray, log_sizes_R: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return each curve's (S / n, R) losses in its draws, nats."""
        bend_R, drift_R = self.beyond.bend(distance_R), self.beyond.drift(distance_R)
        return [
            curve.losses_by_draw(tokens_RK, self.normals_S, bend_R, log_sizes_R, drift_R)[i :: len(self.curves)]
            for i, curve in enumerate(self.curves)
        ]


@dataclass(frozen=True)
class Drawn:
    """Draws of one target's loss, some by one law and some by another.

    Attributes:
        parts: each law with (S_i, P_i) parameters; the draws are those of the first part, then those of the next.
    """

    parts: tuple[tuple[Law, np.ndarray], ...]

    def __len__(self) -> int:
        return sum(len(theta) for _, theta in self.parts)

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (S, R) losses of mixtures, nats."""
        return np.concatenate([law.predict(theta, tokens_RK) for law, theta in self.parts])

    def gradient(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (S, R, K) derivatives of `predict` by each domain's tokens."""
        return np.concatenate([law.gradient(theta, tokens_RK) for law, theta in self.parts])

    def take(self, draws: Sequence[int]) -> Drawn:
        """Return some of the draws, given in ascending order."""
        chosen, first, kept = np.asarray(draws, int), 0, []
        for law, theta in self.parts:
            here = chosen[(chosen >= first) & (chosen < first + len(theta))] - first
            first += len(theta)
            if len(here):
                kept.append((law, theta[here]))
        return Drawn(tuple(kept))

    @property
    def target(self) -> str:
        """The target's name."""
        return self.parts[0][0].target

    @property
    def convex(self) -> bool:
        """Whether the loss is known to be convex in the weights, in every draw."""
        return all(isinstance(law, Convex) and law.convex(theta) for law, theta in self.parts)
