"""The posterior's intervals checked against a bootstrap, which knows nothing of normal approximations and walkers.

Losses are drawn anew from the fitted law with its scatter, the law is fitted to each set, and the spread of the
predictions is compared with that of the posterior draws. A ratio near 1 confirms the intervals. Where priors hold a
parameter the posterior is the wider of the two (a prior's doubt is in the posterior, not in refits under the same
prior), so ratios below 1 are common with few runs; ratios well above 1 would mean that the intervals promise too much.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 6.5 (parametric bootstrap).

Shape letters: R runs, J targets, B bootstrap samples.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mixlaw.core.errors import ConfigError
from mixlaw.core.seeds import generator
from mixlaw.fit.fitted import Fitter
from mixlaw.fit.lawtable import FITTERS
from mixlaw.fit.pairwise import fit_pairwise
from mixlaw.fit.result import TOKEN_UNIT, Fit
from mixlaw.laws import REGRESSORS


def bootstrap_ratios(fit: Fit, tokens_RK: np.ndarray | None = None, samples: int = 40, seed: int = 0) -> np.ndarray:
    """Return (J,) standard deviations of bootstrapped predictions over those of the posterior draws.

    Args:
        fit: of a law by the procedure `joint`.
        tokens_RK: mixtures at which predictions are compared, tokens; None for the fit's runs. The ratio is that of
            the root mean squares over them.
        samples: B, at least 2.
        seed: of the drawn losses.

    Raises:
        ConfigError: a regressor or another procedure, which have no posterior; runs of several model sizes; too few
            samples.
    """
    if fit.law in REGRESSORS or fit.procedure != "joint" or fit.log_sizes_R is not None:
        raise ConfigError(
            "A bootstrap checks the posterior of a law's joint fit to runs of one model size; this fit has none.",
            "Leave the check out.",
        )
    if samples < 2:
        raise ConfigError(f"{samples} bootstrap samples show no spread.", "Ask for 2 or more; 40 are usual.")
    runs_RK, names = fit.counted_RK, list(fit.targets)
    asked_RK = runs_RK if tokens_RK is None else tokens_RK / TOKEN_UNIT
    laws = [fit.law_of(name) for name in names]
    middle_RJ = np.column_stack([law.predict(fit.theta(n), runs_RK) for law, n in zip(laws, names, strict=True)])
    spread_RJ = np.column_stack([fit.targets[n].scatter.at(middle_RJ[:, j]) for j, n in enumerate(names)])
    fitter = _fitter(fit)
    rng = generator("bootstrap", seed)
    predicted = np.empty((samples, len(asked_RK), len(names)))
    for b in range(samples):
        losses_RJ = middle_RJ + spread_RJ * rng.standard_normal(middle_RJ.shape)
        losses_RJ = np.where(np.isfinite(fit.losses_RJ), losses_RJ, np.nan)
        for j, one in enumerate(fitter(fit.domains, tuple(names), runs_RK, losses_RJ, 0, 0)):
            predicted[b, :, j] = one.law.predict(one.theta_P, asked_RK)
    drawn = [law.predict(fit.theta_draws(n), asked_RK) for law, n in zip(laws, names, strict=True)]
    posterior_J = np.array([np.sqrt(d.var(axis=0).mean()) for d in drawn])
    return np.sqrt(predicted.var(axis=0, ddof=1).mean(axis=0)) / np.maximum(posterior_J, 1e-300)


def _fitter(fit: Fit) -> Fitter:
    """Return the law's fitter; interference is as the fit has it, since a switch would be a different law."""
    if fit.law != "pairwise":
        return FITTERS[fit.law]
    interference = any(
        value != 0 for one in fit.targets.values() for name, value in one.parameters.items() if name.startswith("h[")
    )
    return partial(fit_pairwise, interference=interference)
