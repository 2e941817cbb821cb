"""The fine-tuning power law in effective data with one transfer coefficient per source.

    D_j = (n0^a + sum_i t_i N_i^(a + e_i))^(1/a)          effective tokens of target j
    L_j = C D_j^(-beta) prod_i (1 + N_i / D_j)^h_i + E

n0 is what the base model already knows of the target, in tokens; t_i what a token of domain i is worth to it, 1 for the
target's own domain where it has one; a how well sources stand in for each other (1: perfectly, they add; less: a little
of each is worth more than much of one), e_i how far a source departs from that; beta the exponent of the target's own
curve. h_i is interference: with a small base, tokens of other domains *raise* a loss (capacity is shared), which no
t >= 0 can express. It acts where a source's tokens are many against the effective ones, and is 0 where
cross-validation does not ask for it.

For e = h = 0 this is `C (n0^a + sum_i t_i N_i^a)^(-beta/a) + E`; along a budget's simplex D_j is then concave and L_j
convex, as it is while 0 <= a + e_i <= 1. With h it need not be.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eqs. 2-4, with k R^alpha split by source; D_j is the aggregate of Arrow,
Chenery, Minhas and Solow 1961, Rev. Econ. Stat. 43:225-250, Eq. 13 (constant elasticity of substitution).
Differs: n0, e and h; D_j in tokens, so that beta does not change its meaning with a.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mixlaw.laws.base import Parameter

CURVE = ("C", "n0", "a", "beta", "E")
"""The parameters that do not belong to a source."""

A_RANGE = (0.1, 1.0)


@dataclass(frozen=True)
class Pairwise:
    """`L = C D^-beta prod_i (1 + N_i/D)^h_i + E`, `D = (n0^a + sum_i t_i N_i^(a + e_i))^(1/a)`."""

    domains: tuple[str, ...]
    target: str
    parameters: tuple[Parameter, ...] = field(init=False)
    name = "pairwise"

    def __post_init__(self) -> None:
        curve = (
            Parameter("C", "nats tokens^beta", 0.0, np.inf, "log"),
            Parameter("n0", "tokens", 0.0, np.inf, "log", (np.log(0.02), 2.0)),
            Parameter("a", "1", *A_RANGE, "linear", (0.7, 0.25)),
            Parameter("beta", "1", 0.0, np.inf, "log", (np.log(0.2), 0.7)),
            Parameter("E", "nats", 0.0, np.inf),
        )
        others = [d for d in self.domains if d != self.target]
        sources = (
            *(Parameter(f"t[{d}]", "tokens^-e", 0.0, np.inf, "log", (np.log(0.05), 1.5)) for d in others),
            *(Parameter(f"e[{d}]", "1", -1.0, 1.0, "linear", (0.0, 0.1)) for d in others),
            *(Parameter(f"h[{d}]", "1", -1.0, 1.0, "linear", (0.0, 0.05)) for d in others),
        )
        object.__setattr__(self, "parameters", curve + sources)

    @property
    def own(self) -> int | None:
        """The place of the target's own domain; None where it has none."""
        return self.domains.index(self.target) if self.target in self.domains else None

    @property
    def _others(self) -> list[int]:
        return [i for i, domain in enumerate(self.domains) if domain != self.target]

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses of R mixtures, (..., R), nats (see `Law.predict`)."""
        return self._parts(theta_P, tokens_RK).losses

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        C, n0, a, _, _ = _curve(theta_P)
        x = self._parts(theta_P, tokens_RK)
        by_log_D = x.reducible * x.slope
        # d log D = d Q / (a Q) for everything but a itself
        by_Q = by_log_D / (a * x.Q)
        n0_a = n0**a
        log_n0 = np.log(np.maximum(n0, 1e-300))
        by_a = by_log_D * (-x.log_D / a) + by_Q * (n0_a * log_n0 + (x.worth * x.log_tokens).sum(-1))
        by_n0 = by_Q * a * n0_a / np.maximum(n0, 1e-300)
        by_source = by_Q[..., None] * x.worth
        others = self._others
        by_t = by_Q[..., None] * x.power
        columns = [x.reducible / C, by_n0, by_a, -x.reducible * x.log_D, np.ones_like(x.reducible)]
        return np.concatenate(
            [
                np.stack(columns, axis=-1),
                by_t[..., others],
                (by_source * x.log_tokens)[..., others],
                x.reducible[..., None] * x.log_odds[..., others],
            ],
            axis=-1,
        )

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        _, _, a, _, _ = _curve(theta_P)
        t, e, h = self._sources(theta_P)
        x = self._parts(theta_P, tokens_RK)
        exponent = a[..., None] + e[..., None, :]
        # The first token of a source is worth infinitely much where its exponent is below 1: a floor of a millionth
        # of the mixture keeps the slope finite.
        floor = 1e-6 * np.maximum(tokens_RK.sum(axis=-1, keepdims=True), 1e-300)
        held = np.maximum(tokens_RK, floor)
        marginal = exponent * t[..., None, :] * held ** (exponent - 1)
        D = np.exp(x.log_D)
        direct = h[..., None, :] / (D[..., None] + tokens_RK)
        return x.reducible[..., None] * ((x.slope / (a * x.Q))[..., None] * marginal + direct)

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for tokens that are `factor` times as many in the new unit."""
        theta = np.array(theta_P, float)
        n = len(self._others)
        theta[..., 0] *= factor ** theta[..., 3]
        theta[..., 1] *= factor
        theta[..., 5 : 5 + n] *= factor ** -theta[..., 5 + n : 5 + 2 * n]
        return theta

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return up to (count, P) starting points: several floors, exponents and worths of the other domains."""
        low, middle = float(losses_R.min()), float(np.median(losses_R))
        points = []
        for floor, beta, worth in ((0.3, 0.1, 0.05), (0.7, 0.25, 0.05), (0.5, 0.2, 0.3), (0.9, 0.5, 0.02))[:count]:
            theta = np.zeros(len(self.parameters))
            theta[:5] = max(middle - floor * low, 1e-9 * max(middle, 1.0)), 0.02, 0.7, beta, floor * low
            theta[5 : 5 + len(self._others)] = worth
            effective = self._parts(theta, tokens_RK).log_D
            theta[0] *= np.exp(beta * float(np.median(effective)))
            points.append(theta)
        return np.array(points)

    def _sources(self, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return t, e and h, each (..., K); 1 and 0 for the own domain."""
        others, n = self._others, len(self._others)
        t = np.ones((*theta_P.shape[:-1], len(self.domains)))
        e, h = np.zeros_like(t), np.zeros_like(t)
        for part, first in ((t, 5), (e, 5 + n), (h, 5 + 2 * n)):
            part[..., others] = theta_P[..., first : first + n]
        return t, e, h

    def _parts(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> _Parts:
        theta_P = np.asarray(theta_P, float)
        C, n0, a, beta, E = _curve(theta_P)
        t, e, h = self._sources(theta_P)
        some = tokens_RK > 0
        log_tokens = np.log(np.where(some, tokens_RK, 1.0))
        exponent = a[..., None] + e[..., None, :]
        power = np.where(some, np.exp(exponent * log_tokens), 0.0)
        worth = t[..., None, :] * power
        Q = np.maximum(n0**a + worth.sum(-1), 1e-300)
        log_D = np.log(Q) / a
        odds = tokens_RK * np.exp(-log_D)[..., None]
        log_odds = np.log1p(odds)
        interference = (log_odds * h[..., None, :]).sum(-1)
        reducible = C * np.exp(np.minimum(-beta * log_D + interference, 600.0))
        slope = -beta - (odds / (1 + odds) * h[..., None, :]).sum(-1)
        return _Parts(log_tokens, power, worth, Q, log_D, log_odds, reducible, slope, reducible + E)


@dataclass(frozen=True)
class _Parts:
    """What the law and its derivatives share: (..., R) or (..., R, K)."""

    log_tokens: np.ndarray
    power: np.ndarray
    worth: np.ndarray
    Q: np.ndarray
    log_D: np.ndarray
    log_odds: np.ndarray
    reducible: np.ndarray
    slope: np.ndarray
    losses: np.ndarray


def _curve(theta_P: np.ndarray) -> list[np.ndarray]:
    return [theta_P[..., p, None] for p in range(len(CURVE))]
