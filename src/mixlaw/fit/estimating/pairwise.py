"""The estimator of the law `pairwise`: each target on its own runs, under the law's priors.

Every target has a maximum a posteriori point under a normal prior on (log n0, a, log beta, log t, e, h) and, where runs
are of several sizes, the exponents of the model's size. Residuals are scaled by a standard deviation that may
grow with the loss (`Scatter`) and weighted by Huber's weights.

Interference (h) is switched on when leaving out mixtures shows that it pays. Half a standard error of the paired
differences is enough: h is shrunk towards 0 anyhow, and where it is real its absence biases every extrapolation. A
target whose own tokens would then raise its loss at some mixture goes without: no data show that, and a solution would
go and look for that mixture.

Shape letters: R runs, K domains, J targets, P coordinates, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mixlaw.core.errors import TooFewRuns
from mixlaw.core.plurals import plural
from mixlaw.core.runtable import RunTable
from mixlaw.fit.checkpoints import Batches
from mixlaw.fit.curve import Curve
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.estimating.gauss_newton import EXACT, minimise
from mixlaw.fit.estimating.information import Information, information
from mixlaw.fit.estimating.pairwise_density import PairwiseDensity
from mixlaw.fit.estimating.pairwise_point import Target, fit_points
from mixlaw.fit.estimating.pairwise_problem import A, E, PairwiseProblem
from mixlaw.fit.estimating.robust import BEND
from mixlaw.fit.free_line import free_columns
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.posterior.around import Around, draw
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.hamiltonian import sample_by_gradient
from mixlaw.fit.size import log_sizes
from mixlaw.fit.units import MILLION, typical_total
from mixlaw.laws.pairwise import CURVE, Mixtures

LEAST = 4
"""A target needs this many different mixtures: as many as the curve of a single domain has parameters. The priors
determine the rest, and the intervals show what remains uncertain. No data."""

_FOLDS = 5
"""Number of parts of the mixtures, each held out once, to decide on interference. Usual. No data."""

_PAYS = 0.5
"""Standard errors by which interference must lower the error on held-out mixtures. Chosen on: the
fine-tuning swarm, before the split, five folds and 360k tokens."""

_CLEAR = 2.0
"""With many coordinates half of these targets suffice if interference raises their error by so many standard errors.
Chosen on: planted tuning worlds of 32 to 64 domains, where three targets give 3 to 6, and all six the same answer."""

_HELD_OUT = {False: (1e-5, 1e-5), True: (1e-3, EXACT)}
"""With many coordinates the two searches without held-out runs end when a step lowers the cost by a smaller part than
this, without and with interference. They begin where these runs were seen, so to end soon flatters the law. Chosen on:
planted tuning worlds 1 to 3 of 64 domains, whose errors are a 3,000th and a 1,000th smaller for it (docs/lab.md)."""

_DECIDING, _DECIDING_MANY = 16, 6
"""The largest number of targets on which interference is decided, with few coordinates and with many, where more runs
tell: fits with it take five times as long. For speed. No data."""


_WORK, _EVALUATIONS = 2.0e9, 60_000
"""The most that the draws of a target may cost: runs x domains x evaluations of the gradient (some seconds), and
evaluations. Chosen on: one planted world of 100 domains (seed 1000, a reporting one), whose draws at half of the
first number were worth too few."""


_FEW_COORDINATES = 20
"""If the gradient-based chains did not settle, an ensemble of walkers is tried, up to this many coordinates. No
data."""


@dataclass(frozen=True)
class PairwiseEstimator:
    """`mixlaw.fit.estimating.estimator.Estimator` of `pairwise`.

    Attributes:
        interference: whether h is fitted; None leaves it to cross-validation.
        any_size: True.
    """

    interference: bool | None = None
    any_size: bool = True

    def fit(self, runs: RunTable, seed: int = 0, draws: int = 200) -> list[Estimated]:
        """See `Estimator.fit`.

        Raises:
            TooFewRuns: a target was measured at fewer than 4 different mixtures.
        """
        unit = typical_total(runs.tokens_RK)
        return [_estimated(target, unit / MILLION, seed, draws) for target in _fitted(runs, self.interference)]

    def held_out(self, runs: RunTable, folds: list[np.ndarray]) -> np.ndarray:
        """See `Estimator.held_out`.

        The switch of interference is that of all runs, which favours the law a little.
        """
        fits = _fitted(runs, self.interference)
        predicted = np.full(runs.losses_RJ.shape, np.nan)
        for j, fit in enumerate(fits):
            whole = _whole(fit, runs, j)
            for held in folds:
                kept = np.flatnonzero(~held & np.isfinite(runs.losses_RJ[:, j]))
                if len(kept):
                    predicted[held, j] = _without(fit, whole.take(kept), whole.take(np.flatnonzero(held)))
        return predicted


def _fitted(runs: RunTable, interference: bool | None) -> list[Target]:
    """Return the fitted targets, with interference where it is asked for or pays.

    The last answers are kept: holding runs out and fitting both start from it.
    """
    _require_runs(runs)
    return _fitted_once(_Same(runs), interference)


class _Same:
    """A run table that is another's equal where names, tokens, losses and sizes are the same."""

    def __init__(self, runs: RunTable) -> None:
        self.runs = runs
        arrays = (runs.tokens_RK, runs.losses_RJ, runs.params_R, runs.worth_RJ, runs.merged_RJ)
        content = (None if x is None else np.ascontiguousarray(x, float).tobytes() for x in arrays)
        labels = (runs.checkpoint_of, runs.fidelity, runs.study)
        self.key = (runs.domains, runs.targets, labels, *content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=2)
def _fitted_once(same: _Same, interference: bool | None) -> list[Target]:
    runs = same.runs
    unit = typical_total(runs.tokens_RK)
    if interference is not None:
        return fit_points(runs, unit, interference)
    without = fit_points(runs, unit, False)
    many, with_, errors = without[0].problem.many, {}, 0.0
    deciding = _deciding(len(runs.targets), _DECIDING_MANY if many else _DECIDING)
    for some in (deciding[::2], deciding[1::2]) if many else (deciding,):
        with_ |= dict(zip(some, fit_points(runs, unit, True, some, without), strict=True))
        errors = _gain(runs, {j: without[j] for j in with_}, with_)
        if errors < -_CLEAR:
            break
    if not errors > _PAYS:
        return without
    rest = [j for j in range(len(without)) if j not in with_]
    with_ |= dict(zip(rest, fit_points(runs, unit, True, rest, without), strict=True))
    return [without[j] if _rewards_absence(with_[j]) else with_[j] for j in range(len(without))]


def _rewards_absence(fit: Target) -> bool:
    """Return whether a target's most probable law would have it trained without its own domain."""
    law = fit.law
    return law.own is not None and bool(law.rewards_absence(fit.problem.theta(fit.z_P[None]))[0])


def _deciding(targets: int, most: int) -> list[int]:
    """Return the places of the targets that decide on interference, evenly chosen: it is switched for all together."""
    return sorted({round(j) for j in np.linspace(0, targets - 1, min(targets, most))})


def _require_runs(runs: RunTable) -> None:
    for j, target in enumerate(runs.targets):
        distinct = len(np.unique(runs.tokens_RK[np.isfinite(runs.losses_RJ[:, j])], axis=0))
        if distinct < LEAST:
            raise TooFewRuns(
                f"Target '{target}' was measured at {plural(distinct, 'different mixture')}"
                f"; law 'pairwise' needs {LEAST}.",
                f"Add at least {LEAST - distinct} more (1 + 4 K are better), or delete its column.",
            )


def _whole(fit: Target, runs: RunTable, j: int) -> PairwiseProblem:
    """Return the problem of a target with all runs, in their order, also those that did not measure it."""
    mixtures = Mixtures.of(runs.tokens_RK / typical_total(runs.tokens_RK))
    free = (None if runs.worth_RJ is None else runs.worth_RJ[:, j], free_columns(runs, j))
    parts = (fit.law, mixtures, runs.losses_RJ[:, j], fit.problem.interference, log_sizes(runs), Batches.of(runs))
    return PairwiseProblem(*parts, *free)


def _estimated(fit: Target, unit: float, seed: int, draws: int) -> Estimated:
    problem, law = fit.problem, fit.law
    lower, upper = problem.bounds()
    z_SP, found = fit.z_P[None], None
    if draws:
        around = Around(
            problem.losses,
            problem.losses_R,
            fit.weights_R / fit.scatter.at(problem.losses(z_SP)[0], problem.lean_R) ** 2,
            fit.z_P,
            fit.covariance_PP,
            fit.mean_P,
            fit.precision_PP,
            lower,
            upper,
            fit.degrees,
            problem.straight(fit.z_P),
        )
        z_SP, found = _drawn(problem, around, seed, draws)
        if around.strays(z_SP):
            z_SP, found = _drawn(problem, around.bounded(), seed, draws)
    at_bound = ("a",) * bool(fit.z_P[A] >= upper[A] - 1e-9 or fit.z_P[A] <= lower[A] + 1e-9)
    at_bound += ("E",) * bool(fit.z_P[E] <= lower[E] + 1e-12)
    sizes = None if problem.log_sizes_R is None else problem.in_tokens(np.vstack([fit.z_P, z_SP]), unit)
    theta_P, theta_SP = (law.rescale(problem.theta(z), unit) for z in (fit.z_P[None], z_SP))
    return Estimated(
        Curve(law, theta_P[0], theta_SP, fit.scatter, None if sizes is None else (sizes[0], sizes[1:])),
        at_bound,
        _known(fit),
        found,
        fit.shock,
    )


def _drawn(problem: PairwiseProblem, around: Around, seed: int, draws: int) -> tuple[np.ndarray, Convergence]:
    """Return (draws, P) posterior draws, and what they are worth."""
    density = PairwiseDensity(problem, around)
    start = density.start()
    if not np.isfinite(density.gradient(start[None])[0]).all():
        # The runs fix no two heights of the curve, as where all effective amounts of data are one.
        return draw(around, seed, draws)
    most = min(int(_WORK / problem.mixtures.tokens_RK.size), _EVALUATIONS)
    x_SP, found = sample_by_gradient(density, start, around.stream(seed), draws, most)
    if found.poor and problem.size <= _FEW_COORDINATES:
        # Walkers need no smooth density: they settle where the noise is so small that a bound is a cliff.
        z_SP, other = draw(around, seed, draws)
        if other.effective > found.effective:
            return z_SP, other
    return density.z(x_SP), found


def _known(fit: Target) -> Information:
    """Return what the runs say about the curve's parameters and the coefficients of the sources."""
    problem = fit.problem
    part = fit.law.part("t")
    places = np.array([*range(len(CURVE)), *range(part.start, part.stop)])
    places = places[np.diag(fit.covariance_PP)[places] > 0]
    names = [fit.law.parameters[p].name for p in places]
    prior = np.full(problem.size, np.inf)
    held = np.flatnonzero(np.diag(fit.precision_PP) > 0)
    prior[held] = np.diag(np.linalg.inv(fit.precision_PP[np.ix_(held, held)]))
    jacobian = problem.losses_and_jacobian(fit.z_P)[1][:, places]
    return information(jacobian, names, np.diag(fit.covariance_PP)[places], prior[places])


def _gain(runs: RunTable, without: dict[int, Target], with_: dict[int, Target]) -> float:
    """Return by how many standard errors h lowers the error on held-out mixtures, over some targets.

    Each target is fitted again without a fold of the mixtures, under the scatter of the whole fit.
    """
    mixtures = np.unique(runs.tokens_RK, axis=0, return_inverse=True)[1].ravel()
    # Merged rows are told up to a line: there is nothing to hold out.
    true_RJ = np.isfinite(runs.losses_RJ) if runs.merged_RJ is None else ~np.isfinite(runs.merged_RJ)
    true_RJ &= np.isfinite(runs.losses_RJ)
    folds = min(_FOLDS, int(mixtures.max()) + 1)
    if len(runs.domains) < 2 or mixtures.max() + 1 < 2 * LEAST:
        return 0.0
    errors, sizes_RJ = np.full((2, *runs.losses_RJ.shape), np.nan), magnitudes(runs.losses_RJ)
    for switch, fits in enumerate((without, with_)):
        for j, fit in fits.items():
            whole, measured = _whole(fit, runs, j), np.isfinite(runs.losses_RJ[:, j])
            for fold in range(folds):
                # Sorted mixtures are dealt out in turn: every fold has small and large runs; no randomness.
                held = true_RJ[:, j] & (mixtures % folds == fold)
                kept = np.flatnonzero(measured & ~held)
                if not held.any() or not len(kept):
                    continue
                asked = replace(whole.take(np.flatnonzero(held)), free_RF=None)
                predicted = _without(fit, whole.take(kept), asked)
                errors[switch, held, j] = np.abs(predicted - runs.losses_RJ[held, j]) / sizes_RJ[held, j]
    differences_RJ = errors[0] - errors[1]
    gain_R = np.nanmean(differences_RJ[np.isfinite(differences_RJ).any(axis=1)], axis=1)
    return float(gain_R.mean() / max(gain_R.std(ddof=1) / np.sqrt(len(gain_R)), 1e-300))


def _without(fit: Target, kept: PairwiseProblem, held: PairwiseProblem) -> np.ndarray:
    """Return the losses of held-out runs by a target's law fitted to the others, from the whole fit on."""
    prior, bounds, z = (fit.mean_P, fit.precision_PP), fit.problem.bounds(), fit.z_P
    for exact in _HELD_OUT[kept.interference] if kept.many else (EXACT, EXACT):
        predicted = kept.losses(z[None])[0]
        sd = fit.scatter.at(predicted, kept.lean_R)
        sizes = np.abs(predicted - kept.losses_R) * kept.root_worth_R
        scale = kept.root_worth_R * np.sqrt(np.minimum(1.0, BEND * sd / np.maximum(sizes, 1e-300))) / sd
        z = minimise(kept.losses_and_jacobian, kept.losses_R, scale, z, prior, bounds, kept.amounts, exact).z_P
    return held.losses(z[None])[0]
