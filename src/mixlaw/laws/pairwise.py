"""The fine-tuning power law in effective data with one transfer coefficient per source.

    D_j = (n0^a + sum_i t_i N_i^(a + e_i))^(1/a)          effective tokens of target j
    L_j = C D_j^(-beta) prod_i (1 + N_i / D_j)^h_i + E

n0 is what the base model already knows of the target, in tokens; t_i what a token of domain i is worth to it, 1 for the
target's own domain where it has one; a how well sources stand in for each other (1: perfectly, they add; less: a little
of each is worth more than much of one), e_i how far a source departs from that; beta the exponent of the target's own
curve. h_i is interference: with a small base, tokens of other domains *raise* a loss (capacity is shared), which no
t >= 0 can express. It acts where a source's tokens are many against the effective ones, and is 0 where
cross-validation does not ask for it.

With h = 0 the loss is `C Q^(-beta/a) + E` of Q = D^a, and convex in the weights where Q is concave: where every
exponent a + e_i lies between 0 and 1. With h, or an exponent outside, it need not be.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eqs. 2-4, with k R^alpha split by source; D_j is the aggregate of Arrow,
Chenery, Minhas and Solow 1961, Rev. Econ. Stat. 43:225-250, Eq. 13 (constant elasticity of substitution).
Differs: n0, e and h; D_j in tokens, so that beta does not change its meaning with a.

Shape letters: R runs, K domains, M domains other than the target's own, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mixlaw.laws.base import Parameter

CURVE = ("C", "n0", "a", "beta", "E")
"""The parameters that do not belong to a source."""

A_RANGE = (0.1, 1.0)
"""Range of a: below 0.1 the power 1 / a loses precision. No data."""

_N0, _BETA = float(np.log(0.005)), float(np.log(0.1))
"""Prior means of log n0 and log beta. Published exponents are small: .043 to .051 in Li, Liu, Xing 2025, Table 1, .03
to .5 in Zhang et al. 2024. Chosen on: n0 on RegMix's held-out mixtures; beta and its spread on planted tuning worlds.
"""

_N0_ALONE = (float(np.log(6.0)), 1.0)
"""Prior of log n0 if there is only one domain. Then only n0 can bend the curve at its beginning, and a prior that
keeps n0 small would distort E and beta. Chosen on: the tuning half of the fine-tuning curves, two and three largest
sizes held out, where the point has 4.6 and 5.6 % error (FLAN) under the prior for many domains, 2.4 and 3.0 % here."""

WORTH = float(np.log(0.05))
"""Prior mean of log t: a token of another domain is worth a twentieth of one of the target's own domain. No data."""

WORTH_SD = {"target": 1.64**0.5, "source": 1.49**0.5}
"""Prior standard deviations of log t: of the part that all sources of a target share, and of the part that differs
between sources. Chosen on: RegMix's training runs."""

_INTERFERENCE_SD, _DOMAINS = 0.05, 3
"""Prior standard deviation of each h with up to so many domains, and that number: those of the fine-tuning swarm. With
more it is smaller, so that their sum is believed to be as small: below -beta it would reward leaving own data out. No
data."""

_OVERFLOW = 600.0
"""Keeps an exponential from overflowing. No data."""

_TINY = 1e-300
"""Keeps the argument of a logarithm above 0. No data."""


@dataclass(frozen=True)
class Mixtures:
    """Tokens in the form that the law computes with; made once, they serve many parameters.

    Attributes:
        tokens_RK: tokens.
        log_RK: their logarithms; 0 where there are none.
        some_RK: 1 where there are any, else 0.
    """

    tokens_RK: np.ndarray
    log_RK: np.ndarray
    some_RK: np.ndarray

    @staticmethod
    def of(tokens_RK: np.ndarray | Mixtures) -> Mixtures:
        """Return them; mixtures stay as they are."""
        if isinstance(tokens_RK, Mixtures):
            return tokens_RK
        tokens_RK = np.asarray(tokens_RK, float)
        some = tokens_RK > 0
        return Mixtures(tokens_RK, np.log(np.where(some, tokens_RK, 1.0)), some.astype(float))


@dataclass(frozen=True)
class Pairwise:
    """`L = C D^-beta prod_i (1 + N_i/D)^h_i + E`, `D = (n0^a + sum_i t_i N_i^(a + e_i))^(1/a)`."""

    domains: tuple[str, ...]
    target: str
    parameters: tuple[Parameter, ...] = field(init=False)
    name = "pairwise"
    needs_own_domain = False
    knows_base = True

    def __post_init__(self) -> None:
        # Few runs bear a steep curve above a high floor as well as a shallow one above a low floor, and the steep one
        # is far off where a target is hardly covered. Published exponents are small: .043 to .051 in Li 2025, Table 1.
        curve = (
            Parameter("C", "nats tokens^beta", 0.0, np.inf, "log", role="amplitude"),
            Parameter("n0", "tokens", 0.0, np.inf, "log", _N0_ALONE if len(self.domains) == 1 else (_N0, 2.5)),
            Parameter("a", "1", *A_RANGE, "linear", (0.65, 0.22)),
            Parameter("beta", "1", 0.0, np.inf, "log", (_BETA, 0.57), role="exponent"),
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
        )
        others = [d for d in self.domains if d != self.target]
        worth = (WORTH, float(np.sqrt(sum(sd**2 for sd in WORTH_SD.values()))))
        interference = (0.0, _INTERFERENCE_SD * ((_DOMAINS - 1) / (max(len(self.domains), _DOMAINS) - 1)) ** 0.5)
        sources = (
            *(Parameter(f"t[{d}]", "tokens^-e", 0.0, np.inf, "log", worth, source=d) for d in others),
            *(Parameter(f"e[{d}]", "1", -1.0, 1.0, "linear", (0.0, 0.05), source=d) for d in others),
            *(Parameter(f"h[{d}]", "1", -1.0, 1.0, "linear", interference, source=d) for d in others),
        )
        object.__setattr__(self, "parameters", curve + sources)

    def part(self, name: str) -> slice:
        """Return where `t`, `e` or `h` lie among the parameters."""
        M = len(self.others)
        first = len(CURVE) + "teh".index(name) * M
        return slice(first, first + M)

    @property
    def own(self) -> int | None:
        """The place of the target's own domain; None where it has none."""
        return self.domains.index(self.target) if self.target in self.domains else None

    @cached_property
    def others(self) -> list[int]:
        """The places of the M other domains."""
        return [i for i, domain in enumerate(self.domains) if domain != self.target]

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray | Mixtures) -> np.ndarray:
        """Return the losses of R mixtures, (..., R), nats (see `Law.predict`)."""
        theta_P = np.asarray(theta_P, float)
        return self.terms(theta_P, Mixtures.of(tokens_RK)).reducible + theta_P[..., 4, None]

    def effective_tokens(self, theta_P: np.ndarray, tokens_RK: np.ndarray | Mixtures) -> np.ndarray:
        """Return D, (..., R), in the unit of the tokens."""
        return np.exp(self.terms(np.asarray(theta_P, float), Mixtures.of(tokens_RK)).log_D)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray | Mixtures) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        theta_P, x = np.asarray(theta_P, float), Mixtures.of(tokens_RK)
        return self.derivatives(theta_P, x, self.terms(theta_P, x))

    def derivatives(self, theta_P: np.ndarray, x: Mixtures, terms: Terms) -> np.ndarray:
        """Return `jacobian` from terms that are known."""
        _, n0, a, _, _ = _curve(theta_P)
        by_log_D = terms.reducible * terms.slope
        # d log D = d Q / (a Q) for everything but a itself
        by_Q = by_log_D / (a * terms.Q)
        known = n0**a
        by_a = by_Q * (known * np.log(np.maximum(n0, _TINY)) + (terms.worth * x.log_RK).sum(-1))
        curve = [
            np.exp(np.minimum(terms.log_unit, _OVERFLOW)),
            by_Q * a * known / np.maximum(n0, _TINY),
            by_a - by_log_D * terms.log_D / a,
            -terms.reducible * terms.log_D,
            np.ones_like(terms.reducible),
        ]
        sources = (by_Q[..., None] * terms.power, by_Q[..., None] * terms.worth * x.log_RK)
        sources = (*sources, terms.reducible[..., None] * log_odds(x, terms.log_D))
        return np.concatenate([np.stack(curve, axis=-1), *(part[..., self.others] for part in sources)], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        theta_P = np.asarray(theta_P, float)
        a, (t, e, h) = theta_P[..., 2, None], self._sources(theta_P)
        terms = self.terms(theta_P, Mixtures.of(tokens_RK))
        exponent = (a + e)[..., None, :]
        # The first token of a source is worth infinitely much where its exponent is below 1: a floor of a millionth
        # of the mixture keeps the slope finite.
        least = 1e-6 * np.maximum(tokens_RK.sum(axis=-1, keepdims=True), _TINY)
        marginal = exponent * t[..., None, :] * np.maximum(tokens_RK, least) ** (exponent - 1)
        direct = h[..., None, :] / (np.exp(terms.log_D)[..., None] + tokens_RK)
        return terms.reducible[..., None] * ((terms.slope / (a * terms.Q))[..., None] * marginal + direct)

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for tokens that are `factor` times as many in the new unit."""
        theta = np.array(theta_P, float)
        theta[..., 0] *= factor ** theta[..., 3]
        theta[..., 1] *= factor
        theta[..., self.part("t")] *= factor ** -theta[..., self.part("e")]
        return theta

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return up to (count, P) starting points: several floors, exponents and worths of the other domains."""
        low, middle, x = float(losses_R.min()), float(np.median(losses_R)), Mixtures.of(tokens_RK)
        points = []
        for floor, beta, worth in ((0.3, 0.1, 0.05), (0.7, 0.25, 0.05), (0.5, 0.2, 0.3), (0.9, 0.5, 0.02))[:count]:
            theta = np.zeros(len(self.parameters))
            theta[:5] = max(middle - floor * low, 1e-9 * max(middle, 1.0)), 0.02, 0.7, beta, floor * low
            theta[self.part("t")] = worth
            theta[0] *= np.exp(beta * float(np.median(self.terms(theta, x).log_D)))
            points.append(theta)
        return np.array(points)

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return whether Q is concave and there is no interference (see `mixlaw.laws.base.Convex`)."""
        exponents = theta_SP[:, 2, None] + theta_SP[:, self.part("e")]
        return not theta_SP[:, self.part("h")].any() and bool(np.all((exponents >= 0) & (exponents <= 1)))

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return whether Q grows with every domain's tokens and there is no interference."""
        exponents = theta_SP[:, 2, None] + theta_SP[:, self.part("e")]
        return not theta_SP[:, self.part("h")].any() and bool(np.all(exponents >= 0))

    def rewards_absence(self, theta_SP: np.ndarray) -> np.ndarray:
        """Return whether own tokens raise the loss at some mixture, (S,): where beta + sum_i min(h_i, 0) is below 0."""
        h = theta_SP[:, self.part("h")]
        return theta_SP[:, CURVE.index("beta")] + np.minimum(h, 0.0).sum(axis=1) < 0

    def terms(self, theta_P: np.ndarray, x: Mixtures, memory: Sequence[np.ndarray | None] = (None, None)) -> Terms:
        """Return the parts of the equation, for float64 parameters; `memory` takes power and worth, if it is given."""
        C, n0, a, beta, _ = _curve(theta_P)
        t, e, h = self._sources(theta_P)
        power = np.multiply(a[..., None] + e[..., None, :], x.log_RK, out=memory[0])
        np.exp(power, out=power)
        power *= x.some_RK
        worth = np.multiply(t[..., None, :], power, out=memory[1])
        Q = np.maximum(n0**a + worth.sum(-1), _TINY)
        log_D = np.log(Q) / a
        log_unit, slope = -beta * log_D, -beta + np.zeros_like(log_D)
        if h.any():
            odds, h = log_odds(x, log_D), h[..., None, :]
            log_unit = log_unit + (odds * h).sum(-1)
            slope = slope + (np.expm1(-odds) * h).sum(-1)
        return Terms(power, worth, Q, log_D, log_unit, slope, C * np.exp(np.minimum(log_unit, _OVERFLOW)))

    def _sources(self, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return t, e and h, each (..., K); 1, 0 and 0 for the own domain."""
        t = np.ones((*theta_P.shape[:-1], len(self.domains)))
        e, h = np.zeros_like(t), np.zeros_like(t)
        for values, name in ((t, "t"), (e, "e"), (h, "h")):
            values[..., self.others] = theta_P[..., self.part(name)]
        return t, e, h


@dataclass(frozen=True)
class Terms:
    """What the law and its derivatives share, (..., R) or (..., R, K).

    Attributes:
        power: N_i^(a + e_i).
        worth: t_i N_i^(a + e_i).
        Q: D^a.
        log_D: log of the effective tokens.
        log_unit: log of the reducible loss without C.
        slope: its derivative by log D.
        reducible: L - E, nats.
    """

    power: np.ndarray
    worth: np.ndarray
    Q: np.ndarray
    log_D: np.ndarray
    log_unit: np.ndarray
    slope: np.ndarray
    reducible: np.ndarray


def log_odds(x: Mixtures, log_D: np.ndarray) -> np.ndarray:
    """Return log(1 + N_i / D), (..., R, K)."""
    return np.log1p(x.tokens_RK * np.exp(-log_D)[..., None])


def _curve(theta_P: np.ndarray) -> list[np.ndarray]:
    return [theta_P[..., p, None] for p in range(len(CURVE))]
