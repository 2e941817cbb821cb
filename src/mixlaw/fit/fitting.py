"""`fit_law`: from a run table to a Fit, by any law, and for `transfer` by one of three procedures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mixlaw.core.errors import ConfigError, DataError, NotIdentifiable, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit.curves import own_curve_rows
from mixlaw.fit.fitted import Fitted
from mixlaw.fit.joint import fit_target, require_identifiable
from mixlaw.fit.lawtable import FITTERS, LawRow, choose, left_out, told_apart
from mixlaw.fit.pairwise import fit_pairwise
from mixlaw.fit.published import fit_published
from mixlaw.fit.regression import left_out_scatter
from mixlaw.fit.repetition import counted, find_decay
from mixlaw.fit.result import DRAWS, POOL, TOKEN_UNIT, Fit, TargetFit
from mixlaw.fit.sharing import shared
from mixlaw.fit.size import largest_size, log_sizes, require_one_size
from mixlaw.fit.transfer_problem import LOG_BETA_PRIOR, NAMES, require_matching_domains
from mixlaw.laws import LAWS, REGRESSORS

PROCEDURES = ("joint", "own_curve", "published")

CANDIDATES = ("transfer", "pairwise")
"""What `auto` chooses from, the simplest first: laws that hold at other budgets and that `solve` solves."""

_MORE_TO_CHOOSE = 5
"""Different mixtures above the number of domains below which leaving some out says too little: as many as a target's
curve of `pairwise` has parameters, and one to leave out."""


def fit_law(
    runs: RunTable,
    law: str = "auto",
    procedure: str = "joint",
    seed: int = 0,
    repetition: float | str = "auto",
    corrected: bool = False,
) -> Fit:
    """Fit a law to every target's own loss, nats per supervised token.

    Args:
        runs: R runs.
        law: the name of a law or regressor (`mixlaw.laws`), or `auto`: of `transfer` and `pairwise` the simplest whose
            error on left-out mixtures is within one standard error of the smaller one.
        procedure: `joint` (all runs at once, with priors and uncertainty); for `transfer` also `own_curve` (each
            domain's own perturbation runs, without priors) and `published` (the paper's two steps).
        seed: of the posterior draws.
        repetition: how repeated tokens count, where the table has `unique_RK`: `auto` (fitted where runs repeat),
            `off` (in full), or the decay R* of `mixlaw.laws.repetition`.
        corrected: whether a Gaussian process on the residuals is added to the law (`mixlaw.laws.residual`); it is 0
            far from the runs.

    Returns:
        The fit; each target has a status and a sentence.

    Raises:
        ConfigError: no such law or procedure; a law that knows one model size and runs of several.
        DataError: a target was never measured.
        FitError: a target is not a domain where the law needs it, or the procedure does not fit the design.
        TooFewRuns: too few distinct mixtures for the law.
        NotIdentifiable: the runs leave parameters open, or a target has one and the same loss in all of them.

    Source: Li, Liu, Xing 2025, arXiv 2508.11953, Eqs. 2-5. Differs: see `mixlaw.fit.joint`, `mixlaw.fit.pairwise`.
    """
    _require_wishes(law, procedure, corrected)
    _require_losses(runs)
    if procedure != "joint":
        choice, decay, fresh, said = _Choice("transfer"), float("inf"), runs, ""
    else:
        asked = law if law != "auto" else "transfer" if set(runs.targets) <= set(runs.domains) else "pairwise"
        decay, said = find_decay(runs, asked, repetition)
        fresh = counted(runs, decay)
        choice = _choose(fresh) if law == "auto" else _Choice(law)
    require_one_size(runs, choice.law)
    targets = _targets(fresh, choice.law, procedure, seed, choice.checked)
    sizes = log_sizes(runs) if choice.law == "pairwise" else None
    fit = Fit(
        choice.law,
        procedure,
        runs.domains,
        targets,
        runs.tokens_RK,
        runs.losses_RJ,
        runs.runs,
        _warnings(targets),
        f"{choice.reason} {said}".strip(),
        decay,
        None if np.isinf(decay) else runs.unique_RK,
        float("nan") if sizes is None else largest_size(runs),
        sizes,
        corrected,
    )
    if choice.rival is None:
        return fit
    rivals = _targets(fresh, choice.rival.name, procedure, seed, choice.rival)
    rival = replace(fit, law=choice.rival.name, targets=rivals, warnings=(), choice="", _predictors={})
    return replace(fit, rival=rival)


def _require_wishes(law: str, procedure: str, corrected: bool) -> None:
    if law not in ("auto", *LAWS, *REGRESSORS):
        names = ", ".join(("auto", *LAWS, *REGRESSORS))
        raise ConfigError(f"There is no law '{law}'.", f"Choose one of: {names}.")
    if procedure not in PROCEDURES:
        raise ConfigError(f"There is no procedure '{procedure}'.", f"Choose one of: {', '.join(PROCEDURES)}.")
    if procedure != "joint" and law not in ("auto", "transfer"):
        raise ConfigError(
            f"Procedure '{procedure}' belongs to law 'transfer', not to '{law}'.", "Leave it out, or change the law."
        )
    if corrected and law in REGRESSORS:
        raise ConfigError(f"'{law}' has no equation to be corrected.", "Leave corrected out, or choose a law.")


def _targets(runs: RunTable, law: str, procedure: str, seed: int, checked: LawRow | None) -> dict[str, TargetFit]:
    if law == "transfer":
        require_matching_domains(runs.domains, runs.targets)
        alone = {target: _fit_one(runs, target, procedure, seed) for target in runs.targets}
        return _shared(runs, alone, LOG_BETA_PRIOR) if procedure == "joint" else alone
    if law in REGRESSORS:
        return _regressors(runs, law, checked or left_out(runs, law))
    fitter = FITTERS[law] if law != "pairwise" else partial(fit_pairwise, log_sizes_R=log_sizes(runs))
    draws = POOL if law == "pairwise" else DRAWS
    fits = fitter(runs.domains, runs.targets, runs.tokens_RK / TOKEN_UNIT, runs.losses_RJ, seed, draws)
    judged = _judged(runs, fits, checked or left_out(runs, law))
    return _shared(runs, judged, None) if law == "pairwise" else judged


def _shared(
    runs: RunTable, targets: Mapping[str, TargetFit], beta_prior: tuple[float, float] | None
) -> dict[str, TargetFit]:
    """Return the targets with the draws that they keep once each has learnt from the others."""
    return shared(targets, np.nanmean(runs.losses_RJ, axis=0), beta_prior, DRAWS)


def _warnings(targets: Mapping[str, TargetFit]) -> tuple[str, ...]:
    said = [f"{name}: {fitted.message}" for name, fitted in targets.items() if fitted.status == "worse_than_mean"]
    bound = {name: ", ".join(fitted.at_bound) for name, fitted in targets.items() if fitted.at_bound}
    return (*said, *(f"{name}: {which} ended at a bound." for name, which in bound.items()))


def _require_losses(runs: RunTable) -> None:
    for target, column in zip(runs.targets, runs.losses_RJ.T, strict=True):
        known = np.isfinite(column)
        if not known.any():
            raise DataError(f"Target '{target}' has no loss in any run.", "Drop its column, or measure it.")
        if known.sum() > 1 and np.ptp(column[known]) == 0 and len(np.unique(runs.tokens_RK[known], axis=0)) > 1:
            raise NotIdentifiable(
                f"Target '{target}' has the loss {column[known][0]:.6g} in all of its {known.sum()} runs: they say "
                "nothing about what changes it.",
                "Write losses with all of their digits, or drop its column.",
            )


@dataclass(frozen=True)
class _Choice:
    """A law, why it was chosen, and its figures on left-out mixtures; those of the law that is not told from it."""

    law: str
    reason: str = ""
    checked: LawRow | None = None
    rival: LawRow | None = None


def _choose(runs: RunTable) -> _Choice:
    """Return the law that left-out mixtures choose, and its rival where they do not tell the two apart."""
    K = len(runs.domains)
    if log_sizes(runs) is not None:
        return _Choice("pairwise", "Law 'pairwise': the runs are of several model sizes.")
    if not set(runs.targets) <= set(runs.domains):
        return _Choice("pairwise", "Law 'pairwise': there are targets that are no domains.")
    if K < 2:
        return _Choice("transfer", "Law 'transfer': there is one domain.")
    few = len(np.unique(runs.tokens_RK, axis=0)) < K + _MORE_TO_CHOOSE
    if not few:
        # Priors would hide from `pairwise` what the runs cannot tell; the user should know.
        require_identifiable(runs)
    transfer, pairwise = rows = [left_out(runs, name) for name in CANDIDATES]
    usable = [row for row in rows if np.isfinite(row.mre)]
    if few or not usable:
        reason = "Law 'transfer': too few different mixtures to choose by leaving some out."
        return _Choice("transfer", reason if few else "", transfer, pairwise if len(usable) == 2 else None)
    name, reason = choose(rows, runs)
    chosen, other = (transfer, pairwise) if name == "transfer" else (pairwise, transfer)
    if len(usable) < 2 or told_apart(chosen, other, runs):
        return _Choice(name, reason, chosen)
    reason += f" Left-out mixtures do not tell it from '{other.name}': decisions hedge between both."
    return _Choice(name, reason, chosen, other)


def _judged(runs: RunTable, fits: Sequence[Fitted], checked: LawRow) -> dict[str, TargetFit]:
    """Return the targets' fits with their errors on left-out mixtures and a verdict."""
    judged = {}
    for j, fit in enumerate(fits):
        names = [parameter.name for parameter in fit.law.parameters]
        errors = _errors(checked.predicted_RJ[:, j], runs.losses_RJ[:, j], runs.tokens_RK)
        status, message = _verdict(fit, errors, checked.note)
        values = dict(zip(names, map(float, fit.theta_P), strict=True))
        draws = {name: fit.draws_SP[:, p] for p, name in enumerate(names)}
        if fit.gamma is not None:
            values["gamma"], draws["gamma"] = fit.gamma
        judged[fit.law.target] = TargetFit(
            values,
            draws,
            fit.scatter.sd_nats,
            status,
            message,
            fit.at_bound,
            *errors,
            (fit.scatter.power, fit.scatter.base, fit.scatter.span),
            fit.information,
        )
    return judged


def _regressors(runs: RunTable, name: str, checked: LawRow) -> dict[str, TargetFit]:
    if checked.note:
        raise DataError(checked.note, "Choose another law.")
    judged = {}
    for j, target in enumerate(runs.targets):
        rows = np.isfinite(runs.losses_RJ[:, j])
        errors = _errors(checked.predicted_RJ[:, j], runs.losses_RJ[:, j], runs.tokens_RK)
        status, message = _verdict_on_errors(target, errors, "")
        scatter = left_out_scatter(name, runs.tokens_RK[rows] / TOKEN_UNIT, runs.losses_RJ[rows, j])
        judged[target] = TargetFit({}, {}, scatter.sd_nats, status, message, (), *errors)
    return judged


def _errors(predicted_R: np.ndarray, losses_R: np.ndarray, tokens_RK: np.ndarray) -> tuple[float, float, float, float]:
    """Return mre, mre of the mean of the other runs, spearman and r2 of left-out predictions."""
    from mixlaw.fit.crossvalidation import spearman

    known = np.isfinite(losses_R) & np.isfinite(predicted_R)
    if known.sum() < 3:
        nan = float("nan")
        return nan, nan, nan, nan
    predicted, losses = predicted_R[known], losses_R[known]
    mixtures = np.unique(tokens_RK[known], axis=0, return_inverse=True)[1].ravel()
    counts, sums = np.bincount(mixtures), np.bincount(mixtures, losses)
    others = np.maximum(len(losses) - counts[mixtures], 1)
    mean = (losses.sum() - sums[mixtures]) / others
    size, spread = np.maximum(np.abs(losses), 1e-12), ((losses - losses.mean()) ** 2).sum()
    return (
        float(np.mean(np.abs(predicted - losses) / size)),
        float(np.mean(np.abs(mean - losses) / size)),
        spearman(predicted, losses),
        float(1 - ((predicted - losses) ** 2).sum() / spread) if spread > 0 else float("nan"),
    )


def _verdict(fit: Fitted, errors: tuple[float, ...], note: str) -> tuple[str, str]:
    """Return status and sentence of a law's fit to one target."""
    status, left = _verdict_on_errors(fit.law.target, errors, note)
    if status != "converged":
        return status, left
    known = fit.information
    if known is not None and ((known.rank < known.parameters and not known.held) or "beta" in known.open):
        loose = ", ".join(known.open) or "some parameters"
        return "not_identifiable", (
            f"The runs do not determine {loose} (rank {known.rank} of {known.parameters}). Add runs that move each "
            f"domain and the total on their own, or choose a simpler law. {left}"
        )
    if known is not None and known.open:
        left += f" Of {', '.join(known.open)} the runs say nothing: the prior holds; runs that move it would tell."
    if fit.at_bound:
        return "at_bound", f"{', '.join(fit.at_bound)} ended at a bound. {left}"
    return "converged", left


def _verdict_on_errors(target: str, errors: tuple[float, ...], note: str) -> tuple[str, str]:
    error, mean_error = 100 * errors[0], 100 * errors[1]
    if not np.isfinite(error):
        return "converged", note or "Too few runs to leave some out."
    left = f"Left-out mixtures are predicted with an error of {error:.2g} %, by their mean with {mean_error:.2g} %."
    if error < mean_error:
        return "converged", left
    return "worse_than_mean", (
        f"{left} The runs of '{target}' carry no signal that the law can use: use more tokens a run or more seeds."
    )


def _fit_one(runs: RunTable, target: str, procedure: str, seed: int) -> TargetFit:
    runs = runs.take(np.isfinite(runs.losses_RJ[:, runs.targets.index(target)]))
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
