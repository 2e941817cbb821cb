"""The fine-tuning power law in effective data: own tokens plus what the other domains' tokens are worth.

    D_j = N_j + k R_j^alpha          R_j = N - N_j, the tokens of all other domains
    L_j = C D_j^(-beta) + E

A token of another domain is worth k alpha R^(alpha-1) own tokens: much at first, ever less. Along the simplex, where
R_j = N - N_j, D_j is concave in N_j for 0 <= alpha <= 1, hence L_j convex; L_j depends on the weights through w_j
alone. That makes the best mixture a separable convex problem (`mixlaw.solve.allocation`).

Source: Li, Liu, Xing, "Data Mixing Optimization for Supervised Fine-Tuning of Large Language Models", ICML 2025,
arXiv 2508.11953, Eqs. 2-4 and appendix B; the transfer term after Hernandez et al. 2021, arXiv 2102.01293.
Differs: D_j is never less than one token, so that a domain without tokens and without transfer has a finite loss;
as a `Law`, in whatever unit, never less than a millionth of the mixture.

Shape letters: R runs, P parameters.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import EXPONENT_PRIOR, FLOOR, MixtureLaw
from mixlaw.laws.base import Parameter

ONE_TOKEN = 1e-6
"""One token in the law's unit, millions of tokens. No data."""

NAMES = ("C", "k", "alpha", "beta", "E")

_NO_WEIGHT = 1e-16
"""Precision of weights, and so of the tokens of the other domains where one domain takes the whole budget. No data."""

_WORTH = (0.0, 0.3)
"""Prior mean and standard deviation of the worth of a token of another domain, relative to one of the own domain.
Sceptical. Chosen on: a flat one was worse on the fine-tuning swarm's mixtures at 360k tokens, before the split, and
on earlier planted worlds."""

_STARTS = ((0.3, 0.1, 0.1), (0.7, 0.25, 0.1), (0.5, 0.2, 0.3), (0.9, 0.5, 0.03))
"""Floor over the lowest loss, beta and k of the starting points, all at alpha = 0.7. No data."""


class Transfer(MixtureLaw):
    """`L = C (N + k R^alpha)^-beta + E` for the target that is the domain's own validation set."""

    name = "transfer"
    needs_own_domain = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("C", "nats tokens^beta", 0.0, np.inf, "log", role="amplitude"),
            Parameter("k", "tokens^(1 - alpha)", 0.0, np.inf, "linear", _WORTH),
            Parameter("alpha", "1", 0.0, 1.0),
            Parameter("beta", "1", 0.0, np.inf, "log", EXPONENT_PRIOR, role="exponent"),
            Parameter("E", "nats", 0.0, np.inf, role="floor"),
        )

    @property
    def own(self) -> int:
        """The place of the target's own domain."""
        return self._own

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses of R mixtures, (..., R), nats (see `Law.predict`)."""
        return transfer_losses(theta_P, *self._split(tokens_RK))

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, 5) derivatives of `predict` by C, k, alpha, beta, E."""
        return transfer_jacobian(theta_P, *self._split(tokens_RK))

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        C, k, alpha, beta, _ = _columns(theta_P)
        own, others = self._split(tokens_RK)
        D = effective_tokens(k, alpha, own, others)
        slope = -C * beta * D ** (-beta - 1)
        by_others = k * alpha * others ** (alpha - 1)
        # Every token of another domain raises R by one, and any token raises both floors by a millionth.
        gradient = np.repeat((slope * (by_others * (1 + FLOOR) + FLOOR))[..., None], tokens_RK.shape[-1], axis=-1)
        gradient[..., self._own] = slope * (1 + FLOOR + by_others * FLOOR)
        return gradient

    def along_own(
        self, theta_SP: np.ndarray, weights_S: np.ndarray, budget: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the loss and its first two derivatives by the own domain's weight (see `Separable.along_own`).

        D = N (w + floor) + k R^alpha,   R = N (1 - w + floor)
        dD/dw = N (1 - alpha k R^alpha / R),   d2D/dw2 = N^2 alpha (alpha - 1) k R^alpha / R^2
        """
        C, k, alpha, beta, E = np.moveaxis(theta_SP, -1, 0)
        R = budget * (np.maximum(1 - weights_S, _NO_WEIGHT) + FLOOR)
        worth = k * np.exp(alpha * np.log(R))
        D = np.maximum(budget * (weights_S + FLOOR) + worth, ONE_TOKEN)
        bend = alpha * worth / R
        by_weight = budget * (1 - bend)
        log_D = np.log(D)
        fall = C * beta * np.exp((-beta - 1) * log_D)
        curvature = fall * ((beta + 1) / D * by_weight**2 + budget**2 * (1 - alpha) * bend / R)
        return C * np.exp(-beta * log_D) + E, -fall * by_weight, curvature

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return True: alpha is between 0 and 1 (see `mixlaw.laws.base.Convex`)."""
        return True

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return True: no token does harm."""
        return True

    def effective_tokens(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return D, (..., R), in the unit of the tokens."""
        _, k, alpha, *_ = _columns(theta_P)
        return effective_tokens(k, alpha, *self._split(tokens_RK))

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters for tokens that are `factor` times as many in the new unit."""
        theta = np.array(theta_P, float)
        theta[..., 0] *= factor ** theta[..., 3]
        theta[..., 1] *= factor ** (1 - theta[..., 2])
        return theta

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return up to (count, 5) starting points: several floors and exponents."""
        low, middle = float(losses_R.min()), float(np.median(losses_R))
        points = []
        for share, beta, k in _STARTS[:count]:
            D = effective_tokens(np.array(k), np.array(0.7), *self._split(tokens_RK))
            height = max(middle - share * low, 1e-9 * max(middle, 1.0))
            points.append([height * float(np.exp(beta * np.median(np.log(D)))), k, 0.7, beta, share * low])
        return np.array(points)

    def _split(self, tokens_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return own and others' tokens, each raised by a millionth of the mixture."""
        total = tokens_RK.sum(axis=-1)
        own = tokens_RK[..., self._own]
        return own + FLOOR * total, np.maximum(total - own, 0) + FLOOR * total


def transfer_losses(theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray, least: float = ONE_TOKEN):
    """Return (..., R) losses, nats, of own and others' tokens (Eqs. 2-4).

    Args:
        theta_P: (..., 5) parameters.
        own_R: tokens of the target's domain, in the unit of the parameters.
        others_R: tokens of all other domains.
        least: D is never less: one token; the default is for tokens in millions.
    """
    C, k, alpha, beta, E = _columns(theta_P)
    return C * np.exp(-beta * np.log(effective_tokens(k, alpha, own_R, others_R, least))) + E


def transfer_jacobian(
    theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray, least: float = ONE_TOKEN
) -> np.ndarray:
    """Return (..., R, 5) derivatives of `transfer_losses` by C, k, alpha, beta, E."""
    C, k, alpha, beta, _ = _columns(theta_P)
    D = effective_tokens(k, alpha, own_R, others_R, least)
    log_D = np.log(D)
    power = np.exp(-beta * log_D)
    slope = -C * beta * power / D
    log_others = np.log(np.where(others_R > 0, others_R, 1.0))
    worth = np.where(others_R > 0, np.exp(alpha * log_others), 0.0)
    return np.stack(
        np.broadcast_arrays(power, slope * worth, slope * k * worth * log_others, -C * power * log_D, np.ones_like(D)),
        axis=-1,
    )


def effective_tokens(
    k: np.ndarray, alpha: np.ndarray, own: np.ndarray, others: np.ndarray, least: float = ONE_TOKEN
) -> np.ndarray:
    """Return D = N + k R^alpha (Eq. 2), at least one token; in the unit of the tokens."""
    # 0^alpha is 0 for every alpha > 0, and at alpha = 0 the absence of other tokens is worth nothing either.
    worth = np.where(others > 0, k * np.maximum(others, 1e-300) ** alpha, 0.0)
    return np.maximum(own + worth, least)


def _columns(theta_P: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(theta_P)[..., p, None] for p in range(5)]
