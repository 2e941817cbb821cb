"""The runs and parameters that a law is checked on, and numerical derivatives.

Shape letters: R runs, K domains, P parameters, S draws.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixlaw.laws.base import Law, Parameter

RUNS = 12
STEP = 1e-3
"""Relative change for numerical derivatives."""

_DRAWS = 5

MakeLaw = Callable[[tuple[str, ...], str], Law]


def law_case(make: MakeLaw, domains: tuple[str, ...], seed: int) -> tuple[Law, np.ndarray, np.ndarray]:
    """Return the law, (S, P) parameters and (R, K) tokens in units of a typical run, all positive."""
    law, rng = make(domains, domains[1]), np.random.default_rng(seed)
    shares = 0.02 + rng.dirichlet(np.ones(len(domains)), RUNS)
    tokens_RK = shares * np.exp(rng.normal(0.0, 0.7, (RUNS, 1)))
    return law, np.stack([_draw(parameter, rng) for parameter in law.parameters], axis=1), tokens_RK


def _draw(parameter: Parameter, rng: np.random.Generator) -> np.ndarray:
    """Return (S,) values inside the bounds, near the prior where there is one."""
    lower, upper = parameter.lower, parameter.upper
    if parameter.prior is not None:
        values = parameter.prior[0] + 0.5 * parameter.prior[1] * rng.standard_normal(_DRAWS)
        values = np.exp(values) if parameter.scale == "log" else values
    elif np.isfinite(upper - lower):
        values = lower + (upper - lower) * rng.uniform(0.2, 0.8, _DRAWS)
    elif np.isfinite(lower):
        values = lower + np.exp(0.5 * rng.standard_normal(_DRAWS))
    else:
        values = min(upper, 0.0) - np.exp(0.5 * rng.standard_normal(_DRAWS))
    if np.isfinite(lower):
        values = lower + np.abs(values - lower)
    return np.minimum(values, upper - 1e-2 * min(1.0, upper - lower))


def slope(moved: Callable[[float], np.ndarray]) -> np.ndarray:
    """Return the derivative per unit of relative change: central differences, Richardson's extrapolation."""
    wide, narrow = (moved(1.0) - moved(-1.0)) / (2 * STEP), (moved(0.5) - moved(-0.5)) / STEP
    return (4 * narrow - wide) / 3
