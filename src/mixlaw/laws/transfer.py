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
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws._shares import FLOOR, MixtureLaw
from mixlaw.laws.base import Parameter

ONE_TOKEN = 1e-6
"""One token in the law's unit, millions of tokens."""


class Transfer(MixtureLaw):
    """`L = C (N + k R^alpha)^-beta + E` for the target that is the domain's own validation set."""

    name = "transfer"
    convex = True
    _of_own_domain = True

    def _parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("C", "nats tokens^beta", 0.0, np.inf, "log"),
            Parameter("k", "tokens^(1 - alpha)", 0.0, np.inf, "log", (float(np.log(0.1)), 1.5)),
            Parameter("alpha", "1", 0.0, 1.0, "linear", (0.6, 0.4)),
            Parameter("beta", "1", 0.0, np.inf, "log", (float(np.log(0.2)), 0.7)),
            Parameter("E", "nats", 0.0, np.inf),
        )

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
        by_own = slope * (1 + FLOOR)
        # every token of another domain raises R by one, and both floors by a millionth
        by_other = slope * (k * alpha * others ** (alpha - 1) * (1 + FLOOR) + FLOOR)
        by_own = by_own + slope * k * alpha * others ** (alpha - 1) * FLOOR
        gradient = np.repeat(by_other[..., None], tokens_RK.shape[-1], axis=-1)
        gradient[..., self._own] = by_own
        return gradient

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
        for share, beta, k in ((0.3, 0.1, 0.1), (0.7, 0.25, 0.1), (0.5, 0.2, 0.3), (0.9, 0.5, 0.03))[:count]:
            D = effective_tokens(np.array(k), np.array(0.7), *self._split(tokens_RK))
            height = max(middle - share * low, 1e-9 * max(middle, 1.0))
            points.append([height * float(np.exp(beta * np.median(np.log(D)))), k, 0.7, beta, share * low])
        return np.array(points)

    def _split(self, tokens_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return own and others' tokens, each raised by a millionth of the mixture."""
        total = tokens_RK.sum(axis=-1)
        own = tokens_RK[..., self._own]
        return own + FLOOR * total, np.maximum(total - own, 0) + FLOOR * total


def transfer_losses(theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
    """Return (..., R) losses, nats, of own and others' tokens in millions (Eqs. 2-4)."""
    C, k, alpha, beta, E = _columns(theta_P)
    return C * effective_tokens(k, alpha, own_R, others_R) ** -beta + E


def transfer_jacobian(theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
    """Return (..., R, 5) derivatives of `transfer_losses` by C, k, alpha, beta, E."""
    C, k, alpha, beta, _ = _columns(theta_P)
    D = effective_tokens(k, alpha, own_R, others_R)
    power = D**-beta
    slope = -C * beta * power / D
    worth = others_R**alpha
    log_others = np.log(np.where(others_R > 0, others_R, 1.0))
    return np.stack(
        np.broadcast_arrays(
            power, slope * worth, slope * k * worth * log_others, -C * power * np.log(D), np.ones_like(D)
        ),
        axis=-1,
    )


def effective_tokens(k: np.ndarray, alpha: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return D = N + k R^alpha, at least one token; tokens in millions (Eq. 2)."""
    # 0^alpha is 0 for every alpha > 0, and at alpha = 0 the absence of other tokens is worth nothing either.
    worth = np.where(others > 0, k * np.maximum(others, 1e-300) ** alpha, 0.0)
    return np.maximum(own + worth, ONE_TOKEN)


def _columns(theta_P: np.ndarray) -> list[np.ndarray]:
    return [theta_P[..., p, None] for p in range(5)]
