"""What runs would tell about a law's parameters, before any is trained.

A run at tokens x adds u u' to the information about the parameters, with u = dL/dz / sigma, sigma the noise of a loss
and z scale-free coordinates: the logarithm of a parameter of scale `log`, any other as it is. Priors add their
precision, 1 / sd^2 on the diagonal. With M the sum, the losses at x have the posterior variance sigma^2 u' M^-1 u, and
one more run there adds log(1 + u' M^-1 u) to log det M. All of it depends on the unknown parameters, so it is averaged
over draws of them (`mixlaw.design.posterior`).

Tokens and parameters are in units of a typical run's total, as the priors of `mixlaw.laws.base.Parameter` are.

Source: Chaloner, Verdinelli 1995, Statist. Sci. 10:273-304, criterion phi_1 for nonlinear models (log det averaged over
the prior), with the prior's precision added as in their normal linear model; Fedorov 1972, Theory of Optimal
Experiments, chapter 3 (one run more or less).

Shape letters: S draws, R runs, N candidate runs, K domains, P parameters.
"""

from __future__ import annotations

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.laws.base import Law, Parameter

NOISE_NATS = 0.01
"""Standard deviation of a measured loss between runs of one mixture, nats, where a study has no runs to tell it.

Chosen on: repeated runs. Those of the demo scatter by .012, those of other small base models by .02 to .06; published
ones of a model of 3B parameters (Li 2025, base mixture) differ by .0004 to .018 in perplexity. Not chosen for what it
makes of a design.
"""

LEAST_NOISE_NATS = 1e-5
"""Smallest scatter that is assumed: with runs without any scatter, a few runs would determine everything. No data."""

_AMOUNT = (float(np.log(0.5)), 0.7)
"""Prior of a parameter in nats that has none: mean and standard deviation of its logarithm, 0.12 to 2 within two
standard deviations. No data."""

_FLOOR = (1.0, 1.0)
"""Prior, cut off at 0, of a parameter in nats that has none and is added to a loss. No data."""


def information(law: Law, theta_SP: np.ndarray, tokens_RK: np.ndarray, noise_nats: float = NOISE_NATS) -> np.ndarray:
    """Return (S, R, P) factors u: one run's information about the coordinates is the rank-one matrix u u'.

        u_p = dL/dtheta_p / sigma             scale linear
        u_p = theta_p dL/dtheta_p / sigma     scale log

    Args:
        law: of one target.
        theta_SP: draws of its parameters.
        tokens_RK: in the unit of the parameters.
        noise_nats: sigma, standard deviation of a measured loss.
    """
    theta_SP = np.asarray(theta_SP, float)
    log_P = np.array([parameter.scale == "log" for parameter in law.parameters])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        jacobian = law.jacobian(theta_SP, tokens_RK) * np.where(log_P, theta_SP, 1.0)[:, None, :]
    return np.nan_to_num(jacobian, posinf=0.0, neginf=0.0) / noise_nats


def prior_precision(law: Law) -> np.ndarray:
    """Return (P,) precisions of the coordinates before any run, 1 / sd^2; bounds that cut a prior off add nothing."""
    return np.array([_belief(parameter)[1] ** -2.0 for parameter in law.parameters])


def prior_draws(law: Law, count: int, seed: int = 0, tokens_scale: float = 1.0) -> np.ndarray:
    """Return (count, P) parameters drawn from the priors, each cut off at its bounds; uniform there without a prior.

    A Latin hypercube: every parameter takes one value in each of `count` equally likely intervals, in an order drawn
    from a stream of its own name, so that permuting the domains permutes the draws.

    Args:
        law: of one target.
        count: S.
        seed: of the draws.
        tokens_scale: tokens of a typical run, in the unit that the parameters are wanted in; 1 for units of such a run.
    """
    from scipy.special import ndtr, ndtri

    theta_SP = np.empty((count, len(law.parameters)))
    for p, parameter in enumerate(law.parameters):
        rng = generator("prior draws", seed, law.name, law.target, parameter.name)
        even = (rng.permutation(count) + rng.random(count)) / count
        if _is_uniform(parameter):
            theta_SP[:, p] = parameter.lower + even * (parameter.upper - parameter.lower)
            continue
        mean, sd = _belief(parameter)
        log = parameter.scale == "log"
        with np.errstate(divide="ignore"):
            bounds = np.array([parameter.lower, parameter.upper])
            low, high = ndtr(((np.log(np.maximum(bounds, 0)) if log else bounds) - mean) / sd)
        z = mean + sd * ndtri(np.clip(low + even * (high - low), 1e-12, 1 - 1e-12))
        theta_SP[:, p] = np.clip(np.exp(z) if log else z, parameter.lower, parameter.upper)
    return theta_SP if tokens_scale == 1 else law.rescale(theta_SP, tokens_scale)


def _belief(parameter: Parameter) -> tuple[float, float]:
    """Return the mean and standard deviation of a coordinate before any run."""
    if parameter.prior is not None:
        return parameter.prior
    if _is_uniform(parameter):
        return (parameter.lower + parameter.upper) / 2, (parameter.upper - parameter.lower) / 12**0.5
    return _AMOUNT if parameter.scale == "log" else _FLOOR


def _is_uniform(parameter: Parameter) -> bool:
    """Whether any value between a parameter's bounds is as likely before any run."""
    return parameter.prior is None and parameter.scale == "linear" and np.isfinite(parameter.upper - parameter.lower)


def known(law: Law, factors_SRP: np.ndarray) -> np.ndarray:
    """Return (S, P, P) information from the law's priors and from finished runs.

    Args:
        law: of one target.
        factors_SRP: of the finished runs, see `information`; R may be 0.
    """
    return np.diag(prior_precision(law)) + np.swapaxes(factors_SRP, 1, 2) @ factors_SRP
