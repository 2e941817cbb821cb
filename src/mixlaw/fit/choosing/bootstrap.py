"""The posterior's intervals checked against a bootstrap, which knows nothing of normal approximations and walkers.

Losses are drawn anew from the fitted law with its scatter, the law is fitted to each set, and the spread of the
predictions is compared with that of the posterior draws. A ratio near 1 confirms the intervals. Where priors hold a
parameter the posterior is the wider of the two (a prior's doubt is in the posterior, not in refits under the same
prior), so ratios below 1 are common with few runs; ratios well above 1 would mean that the intervals promise too much.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 6.5 (parametric bootstrap).

Shape letters: R runs, J targets, B bootstrap samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.errors import ConfigError
from mixlaw.core.lean import lean
from mixlaw.core.seeds import generator
from mixlaw.fit.choosing.base_model import without_base
from mixlaw.fit.choosing.held_out import estimator_of, of_targets
from mixlaw.fit.estimating.estimator import Estimator
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.fit.result import Fit
from mixlaw.fit.size import log_sizes
from mixlaw.fit.units import MILLION
from mixlaw.laws import find
from mixlaw.laws.pairwise import Pairwise


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
    curves = [fitted.curve for fitted in fit.targets.values()]
    regressors = fit.inside or isinstance(curves[0].law, RegressorLaw)
    if regressors or fit.procedure != "joint" or log_sizes(fit.runs) is not None:
        raise ConfigError(
            "A bootstrap checks the posterior of a law's joint fit to runs of one model size; this fit has none.",
            "Leave out the check.",
        )
    if samples < 2:
        raise ConfigError(f"{samples} bootstrap samples show no spread.", "Use 2 or more; 40 are usual.")
    fitted_R = np.ones(len(fit), bool) if fit.kind.knows_base else fit.runs.totals_R > 0
    runs, runs_RK = without_base(fit.runs, fit.base_left_out).take(fitted_R), fit.counted_RK[fitted_R]
    asked_RK = runs_RK if tokens_RK is None else tokens_RK / MILLION
    middle_RJ = np.column_stack([curve.losses(runs_RK) for curve in curves])
    spread_RJ = np.column_stack([curve.scatter.at(middle_RJ[:, j], lean(runs_RK)) for j, curve in enumerate(curves)])
    laws, rng = fit.laws, generator("bootstrap", seed)
    estimators = {name: _estimator(fit, name) for name in laws.values()}
    predicted = np.empty((samples, len(asked_RK), len(curves)))
    for b in range(samples):
        losses_RJ = middle_RJ + spread_RJ * rng.standard_normal(middle_RJ.shape)
        losses_RJ = np.where(np.isfinite(runs.losses_RJ), losses_RJ, np.nan)
        drawn = replace(runs, tokens_RK=runs_RK * MILLION, losses_RJ=losses_RJ)
        for name, estimator in estimators.items():
            some = [j for j, target in enumerate(fit.targets) if laws[target] == name]
            # A chosen law of few targets may not know the others.
            shared = drawn if name == fit.law else of_targets(drawn, some)
            for one in estimator.fit(shared, 0, 0):
                j = runs.targets.index(one.curve.law.target)
                if j in some:
                    predicted[b, :, j] = one.curve.losses(asked_RK)
    posterior_J = np.array(
        [np.sqrt(curve.law.predict(curve.draws_SP, asked_RK).var(axis=0).mean()) for curve in curves]
    )
    return np.sqrt(predicted.var(axis=0, ddof=1).mean(axis=0)) / np.maximum(posterior_J, 1e-300)


def _estimator(fit: Fit, name: str) -> Estimator:
    """Return a law's estimator; interference is as the fit has it, since a switch would be a different law."""
    kind = fit.kind if name == fit.law else replace(find(name), uses_base=fit.fits_base)
    if kind.law is not Pairwise:
        return estimator_of(kind)
    laws = [(fitted.curve.law, fitted.curve.theta_P) for fitted in fit.targets.values()]
    return PairwiseEstimator(any(theta[law.part("h")].any() for law, theta in laws if isinstance(law, Pairwise)))
