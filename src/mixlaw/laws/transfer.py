"""The fine-tuning power law in effective data: own tokens plus what the other domains' tokens are worth.

    D_j = N_j + k R_j^alpha          R_j = N - N_j, the tokens of all other domains
    L_j = C D_j^(-beta) + E

A token of another domain is worth k alpha R^(alpha-1) own tokens: much at first, ever less. Along the simplex, where
R_j = N - N_j, D_j is concave in N_j for 0 <= alpha <= 1, hence L_j convex; L_j depends on the weights through w_j
alone. That makes the best mixture a separable convex problem (`mixlaw.solve.allocation`).

Source: Li, Liu, Xing, "Data Mixing Optimization for Supervised Fine-Tuning of Large Language Models", ICML 2025,
arXiv 2508.11953, Eqs. 2-4 and appendix B; the transfer term after Hernandez et al. 2021, arXiv 2102.01293.
Differs: D_j is never less than one token, so that a domain without tokens and without transfer has a finite loss.
"""

from __future__ import annotations

import numpy as np

from mixlaw.laws.base import Parameter

ONE_TOKEN = 1e-6
"""One token in the law's unit, millions of tokens."""


class Transfer:
    """`L = C (N + k R^alpha)^-beta + E` for the target that is the domain's own validation set."""

    name = "transfer"
    parameters = (
        Parameter("C", "nats (million tokens)^beta", 0.0, np.inf),
        Parameter("k", "(million tokens)^(1 - alpha)", 0.0, np.inf),
        Parameter("alpha", "1", 0.0, 1.0),
        Parameter("beta", "1", 0.0, np.inf),
        Parameter("E", "nats", 0.0, np.inf),
    )

    def predict(self, theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
        """Return the loss of R mixtures, nats; tokens in millions (see `Law.predict`)."""
        C, k, alpha, beta, E = _columns(theta_P)
        return C * effective_tokens(k, alpha, own_R, others_R) ** -beta + E

    def jacobian(self, theta_P: np.ndarray, own_R: np.ndarray, others_R: np.ndarray) -> np.ndarray:
        """Return (..., R, 5) derivatives of `predict` by C, k, alpha, beta, E."""
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
