"""`fit_law`: from a run table to a Fit, by one of three procedures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.errors import ConfigError, DataError, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit.curves import own_curve_rows
from mixlaw.fit.joint import fit_target
from mixlaw.fit.published import fit_published
from mixlaw.fit.result import TOKEN_UNIT, Fit, TargetFit
from mixlaw.fit.transfer_problem import NAMES, require_matching_domains

LAWS = ("transfer",)
PROCEDURES = ("joint", "own_curve", "published")


def fit_law(runs: RunTable, law: str = "auto", procedure: str = "joint", seed: int = 0) -> Fit:
    """Fit a law to every target's own loss, nats per supervised token.

    Args:
        runs: R runs.
        law: `auto` or `transfer`. With one law there is, `auto` takes it and says so.
        procedure: `joint` (all runs at once, with priors and uncertainty), `own_curve` (each domain's own
            perturbation runs, without priors) or `published` (the paper's two steps).
        seed: of the posterior draws.

    Returns:
        The fit; each target has a status and a sentence.

    Raises:
        ConfigError: no such law or procedure.
        DataError: a target was never measured.
        FitError: a target is not a domain, or the procedure does not fit the design.
        TooFewRuns: fewer distinct mixtures than parameters.
        NotIdentifiable: the runs leave parameters open.

    Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eqs. 2-5. Differs: see `mixlaw.fit.joint`.
    """
    if law not in ("auto", *LAWS):
        raise ConfigError(f"There is no law '{law}'.", f"Choose one of: auto, {', '.join(LAWS)}.")
    if procedure not in PROCEDURES:
        raise ConfigError(f"There is no procedure '{procedure}'.", f"Choose one of: {', '.join(PROCEDURES)}.")
    require_matching_domains(runs.domains, runs.targets)
    targets = {target: _fit_one(runs, target, procedure, seed) for target in runs.targets}
    warnings = [
        f"{target}: {fitted.message}" for target, fitted in targets.items() if fitted.status in ("worse_than_mean",)
    ]
    warnings += [
        f"{target}: {', '.join(fitted.at_bound)} ended at a bound."
        for target, fitted in targets.items()
        if fitted.at_bound
    ]
    return Fit(
        "transfer",
        procedure,
        runs.domains,
        targets,
        runs.tokens_RK,
        runs.losses_RJ,
        runs.runs,
        tuple(warnings),
    )


def _fit_one(runs: RunTable, target: str, procedure: str, seed: int) -> TargetFit:
    measured = np.isfinite(runs.losses_RJ[:, runs.targets.index(target)])
    if not measured.any():
        raise DataError(f"Target '{target}' has no loss in any run.", "Drop its column, or measure it.")
    runs = runs.take(measured)
    if len(runs) < len(NAMES) and len(runs.domains) > 1:
        raise TooFewRuns(
            f"Target '{target}' has {len(runs)} runs; law 'transfer' has {len(NAMES)} parameters.",
            f"Add at least {len(NAMES) - len(runs)} more; the published design has 1 + 4 K.",
        )
    if procedure != "joint":
        runs = runs.take(own_curve_rows(runs, target))
    own = runs.tokens_RK[:, runs.domains.index(target)] / TOKEN_UNIT
    others = np.maximum(runs.totals_R / TOKEN_UNIT - own, 0)
    losses = runs.losses_RJ[:, runs.targets.index(target)]
    if procedure == "published":
        return _published(own, float(np.median(others)), losses)
    fitted = fit_target(target, own, others, losses, seed, informed=procedure == "joint")
    if procedure == "own_curve":
        fitted = replace(
            fitted,
            status="not_identifiable",
            message="The other domains' tokens never move on this curve: only k R^alpha is determined.",
        )
    return fitted


def _published(own_R: np.ndarray, others: float, losses_R: np.ndarray) -> TargetFit:
    values = fit_published(own_R, others, losses_R)
    C, k, alpha, beta, E = values
    predicted = C * (own_R + k * others**alpha) ** -beta + E
    degrees = max(len(own_R) - 4, 1)
    return TargetFit(
        parameters=dict(zip(NAMES, map(float, values), strict=True)),
        draws={name: np.repeat(float(value), 2) for name, value in zip(NAMES, values, strict=True)},
        noise_nats=float(np.sqrt(((predicted - losses_R) ** 2).sum() / degrees)),
        status="not_identifiable",
        message="The published procedure fits one curve on which only k R^alpha is determined; it has no intervals.",
    )
