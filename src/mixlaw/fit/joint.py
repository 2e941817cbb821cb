"""One target's fit to all runs at once, with its uncertainty, its cross-validation and a verdict.

The published design perturbs one domain at a time and fits each curve to its own five runs, where the other domains'
tokens never move: k and alpha are then not determined. The runs that perturb the *other* domains move R_i, so fitting
every domain's own loss on all runs costs nothing and settles them.

Differs: Li et al. 2025 fit each curve alone, and the mean perplexity over domains instead of the domain's own loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mixlaw.core.errors import NotIdentifiable, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.core.seeds import generator
from mixlaw.fit.crossvalidation import CrossValidation, cross_validate
from mixlaw.fit.engine import Estimate, estimate
from mixlaw.fit.fitted import Fitted, Scatter
from mixlaw.fit.information import Information, information
from mixlaw.fit.result import POOL, TOKEN_UNIT, TargetFit
from mixlaw.fit.sampling import sample
from mixlaw.fit.transfer_problem import NAMES, TransferProblem, require_matching_domains
from mixlaw.laws.transfer import Transfer

_WALKERS = 100
_AT_BOUND = 1e-6
_NEAR = 1e-3


def fit_target(
    target: str, own_R: np.ndarray, others_R: np.ndarray, losses_R: np.ndarray, seed: int, informed: bool = True
) -> TargetFit:
    """Return the fit of the law `transfer` to one target.

    Args:
        target: its name, for messages; it has no influence on the numbers.
        own_R: tokens of the target's domain, millions.
        others_R: tokens of all other domains, millions.
        losses_R: nats.
        seed: of the posterior draws.
        informed: whether the priors are used.

    Raises:
        TooFewRuns: fewer distinct mixtures than parameters.
        NotIdentifiable: the runs leave a parameter open however small the noise.
        DidNotConverge: no start reached a finite optimum.
    """
    # A canonical order makes the result independent of the order of the runs, to the last bit.
    order = np.lexsort((losses_R, others_R, own_R))
    problem = TransferProblem.of(own_R[order], others_R[order], losses_R[order], informed)
    _require_runs(target, problem)
    best = estimate(problem)
    at_bound = _parameters_at_bound(problem, best.z_P)
    if informed:
        _require_identifiable(target, problem, best)
    draws_z = _posterior(problem, best, seed) if informed else np.repeat(best.z_P[None], 2, axis=0)
    draws = problem.natural(draws_z)
    checked = cross_validate(problem, best)
    status, message = _verdict(target, at_bound, checked)
    return TargetFit(
        parameters=dict(zip(NAMES, map(float, problem.natural(best.z_P[None])[0]), strict=True)),
        draws={name: draws[:, p] for p, name in enumerate(NAMES)},
        noise_nats=float(best.noise),
        status=status,
        message=message,
        at_bound=at_bound,
        cv_mre=checked.mre,
        cv_mre_mean=checked.mre_mean,
        cv_spearman=checked.spearman,
        information=_known(problem, best),
    )


def _known(problem: TransferProblem, best: Estimate) -> Information:
    inside = (best.z_P > problem.lower + _AT_BOUND) & (best.z_P < problem.upper - _AT_BOUND)
    names = [name for name, within in zip(NAMES, inside, strict=True) if within]
    return information(problem.losses_and_jacobian(best.z_P)[1][:, inside], names)


def _require_runs(target: str, problem: TransferProblem) -> None:
    free = int((problem.upper > problem.lower).sum())
    distinct = len(np.unique(np.column_stack([problem.own_R, problem.others_R]), axis=0))
    if distinct < free:
        raise TooFewRuns(
            f"Target '{target}' was measured at {distinct} different mixtures; law 'transfer' has {free} parameters.",
            f"Add runs: at least {free} different mixtures, better 1 + 4 K.",
        )


def _parameters_at_bound(problem: TransferProblem, z_P: np.ndarray) -> tuple[str, ...]:
    """Return the names of parameters whose estimate sits at a bound; alpha does not count where k is 0."""
    low = z_P <= problem.lower + _AT_BOUND
    high = z_P >= problem.upper - _AT_BOUND
    free = problem.upper > problem.lower
    names = [NAMES[p] for p in (1, 3, 4) if free[p] and low[p]]
    names += [NAMES[p] for p in (1, 3, 4) if free[p] and high[p]]
    if free[2] and not low[1] and (low[2] or high[2]):
        names.append("alpha")
    return tuple(names)


def _require_identifiable(target: str, problem: TransferProblem, best: Estimate) -> None:
    """Raise where the information matrix is singular: some parameters can change together and no loss moves."""
    inside = (best.z_P > problem.lower + _AT_BOUND) & (best.z_P < problem.upper - _AT_BOUND)
    # Where k is 0, alpha means nothing; where it is not, alpha is looked at even if it happens to lie at a bound.
    inside[2] = best.z_P[1] > problem.lower[1] + _AT_BOUND
    jacobian = problem.losses_and_jacobian(best.z_P)[1][:, inside]
    names = np.array(NAMES)[inside]
    scale = np.linalg.norm(jacobian, axis=0)
    moot = scale <= 1e-9 * scale.max()
    if not moot.any():
        _, values, rows = np.linalg.svd(jacobian / scale, full_matrices=False)
        if len(values) == 0 or values[-1] > 1e-10 * values[0]:
            return
        loose = [str(name) for name in names[np.abs(rows[-1]) > 0.1]]
    else:  # no loss depends on it at all
        loose = [str(name) for name in names[moot]]
    if "alpha" in loose and "k" not in loose:  # without alpha, k is only known as k R^alpha
        loose.insert(0, "k")
    others = problem.others_R
    cause, cure = "the mixtures are too alike", "Add runs that move each domain and the total on their own."
    if np.ptp(others) <= 1e-9 * max(float(others.max()), 1e-300):
        cause = "the other domains' tokens are the same in every run"
        cure = f"Add runs in which domains other than '{target}' move, or use the runs of all domains at once."
    elif np.ptp(problem.own_R) <= 1e-9 * float(problem.own_R.max()):
        cause, cure = "its own tokens are the same in every run", f"Add runs in which '{target}' moves."
    raise NotIdentifiable(f"Target '{target}': the runs do not determine {', '.join(loose)}, since {cause}.", cure)


def _posterior(problem: TransferProblem, best: Estimate, seed: int) -> np.ndarray:
    """Return (POOL, P) posterior draws of the coordinates."""
    # The seed comes from the order of the losses: it does not change when domains are renamed or permuted, tokens
    # counted in another unit, or a constant added to the losses.
    ranks = np.argsort(problem.losses_R, kind="stable").astype(np.int64).tobytes()
    rng = generator("posterior", seed, hashlib.sha256(ranks).hexdigest())
    flat = problem.flat(best.z_P)
    free = problem.upper > problem.lower

    def log_density(flat_SP: np.ndarray) -> np.ndarray:
        z_SP, log_volume = flat.curve(flat_SP)
        return problem.log_posterior(np.where(free, z_SP, problem.lower), best.noise, best.weights_R) + log_volume

    centre = flat.flatten(best.z_P[None])[0]
    width = np.array([3 * best.noise, 0.1, 0.2, 0.5, 3 * best.noise])
    spread, near = rng.standard_normal((5 * _WALKERS, 5)), _NEAR * rng.standard_normal((_WALKERS, 5))
    start = centre + width * np.vstack([spread, near])
    # Reflected at the bounds, so that a parameter that sits at one starts spread out inside it.
    lower, upper, inner = problem.lower[1:4], problem.upper[1:4], start[:, 1:4]
    inner = np.where(inner < lower, 2 * lower - inner, np.where(inner > upper, 2 * upper - inner, inner))
    start[:, 1:4] = np.clip(inner, lower, upper)
    start = start[np.argsort(-log_density(start), kind="stable")[:_WALKERS]]
    draws = flat.curve(sample(log_density, start, rng, POOL, burn_in=300, thin=10))[0]
    return np.where(free, draws, problem.lower)


def _verdict(target: str, at_bound: tuple[str, ...], checked: CrossValidation) -> tuple[str, str]:
    error, mean_error = 100 * checked.mre, 100 * checked.mre_mean
    if np.isfinite(error) and error >= mean_error:
        return "worse_than_mean", (
            f"Left-out runs of '{target}' are predicted with an error of {error:.2g} %, by their mean with "
            f"{mean_error:.2g} %: the runs carry no signal that the law can use. Use more tokens a run or more seeds."
        )
    left_out = f"left-out runs are predicted with an error of {error:.2g} %, by their mean with {mean_error:.2g} %"
    if not np.isfinite(error):
        left_out = "too few runs to leave one out"
    if at_bound:
        meaning = "; k = 0: other domains' tokens are worth nothing here, or do harm" if at_bound == ("k",) else ""
        return "at_bound", f"{', '.join(at_bound)} ended at a bound{meaning}; {left_out}."
    return "converged", f"{left_out[0].upper()}{left_out[1:]}."


def require_identifiable(runs: RunTable) -> None:
    """Raise NotIdentifiable where the runs leave a parameter of `transfer` open, whatever law is fitted to them."""
    for j, target in enumerate(runs.targets):
        problem = _problem(runs.domains, target, runs.tokens_RK / TOKEN_UNIT, runs.losses_RJ[:, j])
        _require_identifiable(target, problem, estimate(problem))


def fit_transfer(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    seed: int = 0,
    draws: int = POOL,
) -> list[Fitted]:
    """Return every target's point estimate, for cross-validation (see `mixlaw.fit.fitted.Fitter`).

    Raises:
        FitError: a target is no domain.
        TooFewRuns: fewer distinct mixtures than parameters.
    """
    require_matching_domains(domains, targets)
    fits = []
    for j, target in enumerate(targets):
        problem = _problem(domains, target, tokens_RK, losses_RJ[:, j])
        best = estimate(problem)
        z_SP = _posterior(problem, best, seed)[:: max(POOL // draws, 1)][:draws] if draws else best.z_P[None]
        theta = problem.natural(best.z_P[None])[0]
        bound = _parameters_at_bound(problem, best.z_P)
        fits.append(
            Fitted(
                Transfer(domains, target),
                theta,
                problem.natural(z_SP),
                Scatter(best.noise),
                bound,
                _known(problem, best),
            )
        )
    return fits


def transfer_left_out(
    domains: tuple[str, ...],
    targets: tuple[str, ...],
    tokens_RK: np.ndarray,
    losses_RJ: np.ndarray,
    folds: Sequence[np.ndarray],
) -> np.ndarray:
    """Return (R, J) losses predicted for each fold from the other runs; NaN for runs in no fold.

    Each fold's search starts at the estimate of all runs, once; its own runs decide where it ends.

    Raises:
        FitError: a target is no domain.
        TooFewRuns: fewer distinct mixtures than parameters, in all runs or without a fold.
    """
    require_matching_domains(domains, targets)
    predicted = np.full(losses_RJ.shape, np.nan)
    for j, target in enumerate(targets):
        problem, law = _problem(domains, target, tokens_RK, losses_RJ[:, j]), Transfer(domains, target)
        best, known = estimate(problem), np.isfinite(losses_RJ[:, j])
        for held in folds:
            kept = problem.take(np.flatnonzero(~held[known]))
            _require_runs(target, kept)
            theta = problem.natural(estimate(kept, near=best).z_P[None])
            predicted[held, j] = law.predict(theta, tokens_RK[held])[0]
    return predicted


def _problem(domains: tuple[str, ...], target: str, tokens_RK: np.ndarray, losses_R: np.ndarray) -> TransferProblem:
    """Return the estimation problem of a target from the runs that measured it; tokens in millions."""
    rows = np.isfinite(losses_R)
    own = tokens_RK[rows, domains.index(target)]
    problem = TransferProblem.of(own, np.maximum(tokens_RK[rows].sum(axis=1) - own, 0), losses_R[rows])
    _require_runs(target, problem)
    return problem
