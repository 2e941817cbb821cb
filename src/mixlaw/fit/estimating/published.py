"""The paper's own two-step fit, kept to reproduce its numbers. `mixlaw.fit.estimating.transfer` replaces it.

Step 1. A = k R^alpha is held as one number and (beta, A) fitted to ratios of logarithms of loss differences, which
contain neither E nor, nearly, C:

    log(L_i - L_j) / log(L_k - L_m)  against
    log((N_i + A)^-beta - (N_j + A)^-beta) / log((N_k + A)^-beta - (N_m + A)^-beta)

over all ordered pairs of the pairs of sizes at least two steps apart.

Step 2. beta is held and (log C, log k, alpha, log E) fitted to the losses subject to k R^alpha <= R.

Both minimise the sum of Huber's function (delta 0.001) by SciPy's trust-constr from a fixed start. The answer depends
on that start: on these runs only k R^alpha is determined, so k and alpha are whatever the path from the start gave.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, section 4 and appendix; the start values, the bounds and the iteration
limits are those that reproduce its Table 1. Tokens are in millions.
"""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np

from mixlaw.core.errors import FitError

PUBLISHED_OWN = 0.66
"""A domain's tokens in the paper's base run, millions: what the fixed starts suit. Source: its published runs."""
DELTA = 0.001
"""Where Huber's function bends. Source: Li 2025, section 4."""

_STARTS = (0.5, 0.5), (0.0, 0.5, 1.0, 2.0)
"""Starting values of beta and the shift, and of log C, log k, alpha and log E. They act like a prior. Chosen on: the
13 published runs, whose parameters in Li 2025, Table 1, they reproduce."""


def fit_published(own_R: np.ndarray, others: float, losses_R: np.ndarray) -> np.ndarray:
    """Return (C, k, alpha, beta, E) of one domain's curve.

    Args:
        own_R: the domain's tokens, millions, ascending; the paper has five sizes.
        others: tokens of all other domains in these runs, millions.
        losses_R: losses (the paper: mean perplexity).

    Raises:
        FitError: noise hides the curve: fewer than two usable loss differences.
    """
    with warnings.catch_warnings():
        # trust-constr warns where a quasi-Newton update is skipped: on these flat ratios it often is.
        warnings.simplefilter("ignore", UserWarning)
        beta = _fit_exponent(own_R, others, losses_R)
        return _fit_rest(own_R, others, losses_R, beta)


def _fit_exponent(own_R: np.ndarray, others: float, losses_R: np.ndarray) -> float:
    from scipy.optimize import BFGS, Bounds, minimize
    from scipy.special import huber

    count = len(own_R)
    pairs = [(i, j) for i in range(count) for j in range(i + 2, count)]
    # A difference that is not in (0, 1) or is 1 exactly has no usable logarithm.
    pairs = [(i, j) for i, j in pairs if 0 < losses_R[i] - losses_R[j] < 1]
    if len(pairs) < 2:
        raise FitError(
            "The losses do not fall with the domain's own tokens, so the published procedure has no ratios to fit.",
            "Use the joint fit, or more tokens in each run.",
        )
    measured = {(i, j): np.log(losses_R[i] - losses_R[j]) for i, j in pairs}
    both = list(permutations(pairs, 2))
    target = np.array([measured[p] / measured[q] for p, q in both])
    first, second = (np.array([pair[side] for pair in both]) for side in (0, 1))

    def objective(x: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            power = (own_R + x[1]) ** -x[0]
            model = np.log(power[first[:, 0]] - power[first[:, 1]]) / np.log(power[second[:, 0]] - power[second[:, 1]])
            total = float(huber(DELTA, target - model).sum())
        return total if np.isfinite(total) else 1e6

    result = minimize(
        objective,
        np.array(_STARTS[0]),
        method="trust-constr",
        jac="2-point",
        hess=BFGS(),
        bounds=Bounds([0, 0], [np.inf, others]),  # type: ignore[arg-type]
        options={"maxiter": 1000},
    )
    return float(result.x[0])


def _fit_rest(own_R: np.ndarray, others: float, losses_R: np.ndarray, beta: float) -> np.ndarray:
    from scipy.optimize import BFGS, Bounds, NonlinearConstraint, minimize
    from scipy.special import huber

    def objective(x: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            effective = own_R + np.exp(x[1]) * others ** x[2]
            model = np.exp(x[0]) * effective**-beta + np.exp(x[3])
            total = float(huber(DELTA, model - losses_R).sum())
        return total if np.isfinite(total) else 1e6

    result = minimize(
        objective,
        np.array(_STARTS[1]),
        method="trust-constr",
        jac="2-point",
        hess=BFGS(),
        bounds=Bounds([-np.inf, -np.inf, 0, -np.inf], [np.inf, np.inf, 1, np.inf]),  # type: ignore[arg-type]
        constraints=NonlinearConstraint(
            lambda x: np.exp(x[1]) * others ** x[2] - others, -np.inf, 0, jac="2-point", hess=BFGS()
        ),
        options={"maxiter": 3000},
    )
    log_C, log_k, alpha, log_E = result.x
    return np.array([np.exp(log_C), np.exp(log_k), alpha, beta, np.exp(log_E)])
