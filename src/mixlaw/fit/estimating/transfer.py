"""The estimator of the law `transfer`: each target alone, on all runs at once.

The published design perturbs one domain at a time and fits each curve to its own five runs, where the other domains'
tokens never move: k and alpha are then not determined. The runs that perturb the *other* domains move R_i, so fitting
every domain's own loss on all runs costs nothing and settles them.

Differs: Li et al. 2025 fit each curve alone, and the mean perplexity over domains instead of the domain's own loss.

Shape letters: R runs, J targets, P coordinates, S draws.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from mixlaw.core.errors import FitError, NotIdentifiable, TooFewRuns
from mixlaw.core.plurals import plural
from mixlaw.core.runtable import RunTable
from mixlaw.core.seeds import generator
from mixlaw.fit.curve import Curve, Scatter
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.estimating.information import LOOSE, MOOT, Information, information
from mixlaw.fit.estimating.robust import Optimum, estimate
from mixlaw.fit.estimating.transfer_problem import TransferProblem
from mixlaw.fit.free_line import free_columns
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.ensemble import sample
from mixlaw.fit.units import MILLION
from mixlaw.laws.transfer import NAMES, Transfer

_WALKERS = 100
"""Number of walkers in the ensemble: twenty times the coordinates. No data."""

_WIDTHS = (3.0, 0.1, 0.2, 0.5, 3.0)
"""Standard deviations of the walkers that start farther off, in the straight coordinates; the first and the last in
standard deviations of the noise. No data."""

_SINGULAR = 1e-10
"""There is no fit if a singular value is at most this part of the largest: the runs do not determine that direction.
No data."""


_AT_BOUND = 1e-6
"""A coordinate this close to a bound counts as being at it. No data."""

_NEAR = 1e-3
"""The same for the walkers that start near the point, in units of these widths. No data."""


@dataclass(frozen=True)
class TransferEstimator:
    """`mixlaw.fit.estimating.estimator.Estimator` of `transfer`.

    Attributes:
        informed: whether the priors are used; without them there are no draws and any number of runs is taken.
        any_size: False: the law knows one model size.
    """

    informed: bool = True
    any_size: bool = False

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> list[Estimated]:
        """See `Estimator.fit`.

        Raises:
            FitError: a target is no domain.
            TooFewRuns: fewer distinct mixtures than parameters.
            NotIdentifiable: the runs leave a parameter open however small the noise.
            DidNotConverge: no start reached a finite optimum.
        """
        return [self._fit_one(runs, target, seed, draws) for target in runs.targets]

    def _fit_one(self, runs: RunTable, target: str, seed: int, draws: int) -> Estimated:
        problem = _problem(runs, target, self.informed)
        best = estimate(problem)
        z_SP, found = np.repeat(best.z_P[None], 2, axis=0), None
        if self.informed and draws:
            _require_identifiable(target, problem, best)
            z_SP, found = _posterior(problem, best, seed, draws)
        theta_P, theta_SP = problem.natural(best.z_P[None])[0], problem.natural(z_SP)
        curve = Curve(Transfer(runs.domains, target), theta_P, theta_SP, Scatter(float(best.noise)))
        return Estimated(curve, _parameters_at_bound(problem, best.z_P), _known(problem, best), found)

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """See `Estimator.held_out`. Each fold's search starts at the estimate of all runs; its own runs end it."""
        predicted = np.full(runs.losses_RJ.shape, np.nan)
        for j, target in enumerate(runs.targets):
            problem, rows = _problem(runs, target, self.informed), _rows(runs, target)
            best, law = estimate(problem), Transfer(runs.domains, target)
            for held in folds:
                kept = problem.take(np.flatnonzero(~held[rows]))
                _require_runs(target, kept)
                theta_P = problem.natural(estimate(kept, near=best).z_P[None])[0]
                predicted[held, j] = law.predict(theta_P, runs.tokens_RK[held] / MILLION)
        return predicted


def require_identifiable(runs: RunTable) -> None:
    """Raise NotIdentifiable where the runs leave a parameter of `transfer` open, whatever law is fitted to them."""
    for target in runs.targets:
        problem = _problem(runs, target, True)
        _require_identifiable(target, problem, estimate(problem))


def _rows(runs: RunTable, target: str) -> np.ndarray:
    """Return the runs that measured a target, in an order of their own: the fit is the same to the bit."""
    own_R, others_R = _split(runs, target)
    losses_R = runs.losses_RJ[:, runs.targets.index(target)]
    measured = np.flatnonzero(np.isfinite(losses_R))
    return measured[np.lexsort((losses_R[measured], others_R[measured], own_R[measured]))]


def _split(runs: RunTable, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) tokens of the target's domain and of all others, millions."""
    own_R = runs.tokens_RK[:, runs.domains.index(target)] / MILLION
    return own_R, np.maximum(runs.totals_R / MILLION - own_R, 0)


def _problem(runs: RunTable, target: str, informed: bool) -> TransferProblem:
    """Return the estimation problem of a target from the runs that measured it."""
    if target not in runs.domains:
        raise FitError(
            f"Law 'transfer' needs a domain for every target; '{target}' has none among "
            f"{', '.join(map(repr, runs.domains))}.",
            "Name each loss column after the domain it validates, or delete the column.",
        )
    (own_R, others_R), rows = _split(runs, target), _rows(runs, target)
    j = runs.targets.index(target)
    problem = TransferProblem.of(own_R[rows], others_R[rows], runs.losses_RJ[rows, j], informed)
    if runs.worth_RJ is not None:
        problem = replace(problem, worth_R=runs.worth_RJ[rows, j])
    if (free_RF := free_columns(runs, j)) is not None:
        problem = replace(problem, free_RF=free_RF[rows])
    _require_runs(target, problem)
    return problem


def _known(problem: TransferProblem, best: Optimum) -> Information:
    inside = (best.z_P > problem.lower + _AT_BOUND) & (best.z_P < problem.upper - _AT_BOUND)
    names = [name for name, within in zip(NAMES, inside, strict=True) if within]
    return information(problem.losses_and_jacobian(best.z_P)[1][:, inside], names)


def _require_runs(target: str, problem: TransferProblem) -> None:
    free = int((problem.upper > problem.lower).sum())
    distinct = len(np.unique(np.column_stack([problem.own_R, problem.others_R]), axis=0))
    if distinct < free:
        raise TooFewRuns(
            f"Target '{target}' was measured at {plural(distinct, 'different mixture')}"
            f"; law 'transfer' has {free} parameters.",
            f"Add at least {free - distinct} more; 1 + 4 K are better.",
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


def _require_identifiable(target: str, problem: TransferProblem, best: Optimum) -> None:
    """Raise where the information matrix is singular: some parameters can change together and no loss moves."""
    inside = (best.z_P > problem.lower + _AT_BOUND) & (best.z_P < problem.upper - _AT_BOUND)
    # Where k is 0, alpha means nothing; where it is not, alpha is looked at even if it happens to lie at a bound.
    inside[2] = best.z_P[1] > problem.lower[1] + _AT_BOUND
    jacobian = problem.losses_and_jacobian(best.z_P)[1][:, inside]
    names = np.array(NAMES)[inside]
    scale = np.linalg.norm(jacobian, axis=0)
    moot = scale <= MOOT * scale.max()
    if not moot.any():
        _, values, rows = np.linalg.svd(jacobian / scale, full_matrices=False)
        if len(values) == 0 or values[-1] > _SINGULAR * values[0]:
            return
        loose = [str(name) for name in names[np.abs(rows[-1]) > LOOSE]]
    else:  # no loss depends on it at all
        loose = [str(name) for name in names[moot]]
    if "alpha" in loose and "k" not in loose:  # without alpha, k is only known as k R^alpha
        loose.insert(0, "k")
    others = problem.others_R
    cause, cure = "the mixtures are too alike", "Add runs in which each domain and the total change independently."
    if np.ptp(others) <= 1e-9 * max(float(others.max()), 1e-300):
        cause = "the other domains' tokens are the same in every run"
        cure = f"Add runs in which other domains than '{target}' change, or use the runs of all domains at once."
    elif np.ptp(problem.own_R) <= 1e-9 * float(problem.own_R.max()):
        cause, cure = "its own tokens are the same in every run", f"Add runs in which '{target}' changes."
    raise NotIdentifiable(f"Target '{target}': the runs do not determine {', '.join(loose)}, since {cause}.", cure)


def _posterior(problem: TransferProblem, best: Optimum, seed: int, count: int) -> tuple[np.ndarray, Convergence]:
    """Return (count, P) posterior draws of the coordinates, and what they are worth."""
    # The seed comes from the order of the losses: it does not change when domains are renamed or permuted, tokens
    # counted in another unit, or a constant added to the losses.
    ranks = np.argsort(problem.losses_R, kind="stable").astype(np.int64).tobytes()
    rng = generator("posterior", seed, hashlib.sha256(ranks).hexdigest())
    straight = problem.straight(best.z_P)
    free = problem.upper > problem.lower

    def log_density(x_SP: np.ndarray) -> np.ndarray:
        z_SP, log_volume = straight.curve(x_SP)
        return problem.log_posterior(np.where(free, z_SP, problem.lower), best.noise, best.weights_R) + log_volume

    centre = straight.straighten(best.z_P[None])[0]
    width = np.array(_WIDTHS) * [best.noise, 1, 1, 1, best.noise]
    spread, near = rng.standard_normal((5 * _WALKERS, 5)), _NEAR * rng.standard_normal((_WALKERS, 5))
    start = centre + width * np.vstack([spread, near])
    # Reflected at the bounds, so that a parameter that sits at one starts spread out inside it.
    lower, upper, inner = problem.lower[1:4], problem.upper[1:4], start[:, 1:4]
    inner = np.where(inner < lower, 2 * lower - inner, np.where(inner > upper, 2 * upper - inner, inner))
    start[:, 1:4] = np.clip(inner, lower, upper)
    start = start[np.argsort(-log_density(start), kind="stable")[:_WALKERS]]
    x_SP, found = sample(log_density, start, rng, count)
    return np.where(free, straight.curve(x_SP)[0], problem.lower), found
