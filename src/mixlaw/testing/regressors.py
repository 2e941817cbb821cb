"""What must hold of every regressor, one function per property; each raises AssertionError with the deviation.

Shape letters: R runs, K domains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from mixlaw.laws.base import Regressor
from mixlaw.testing._comparison import claim_small, claim_that

_RUNS = 24
_DOMAINS = 3
_SAME = 1e-5

MakeRegressor = Callable[[], Regressor]


class RegressorCheck(Protocol):
    """One property of a regressor."""

    __name__: str

    def __call__(self, make: MakeRegressor, seed: int = 0) -> None: ...


def check_regressor(make: MakeRegressor, seed: int = 0) -> None:
    """Run every check on a regressor.

    Args:
        make: makes the regressor, usually its class.
        seed: seed of the runs drawn.

    Raises:
        AssertionError: a property does not hold; the message names the regressor, the property and the deviation.
    """
    for check in REGRESSOR_CHECKS:
        check(make, seed)


def predictions_are_sound(make: MakeRegressor, seed: int = 0) -> None:
    """The regressor has a name and predicts one finite float64 per run, also for a single run or none of a domain."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    _claim(isinstance(regressor, Regressor) and bool(regressor.name), regressor, "has a name and every member")
    predictor = regressor.fit(tokens_RK, losses_R, seed)
    for tokens in (tokens_RK, tokens_RK[:1], np.eye(_DOMAINS)):
        value = predictor.predict(tokens)
        _claim(value.shape == (len(tokens),), regressor, f"predicts ({len(tokens)},) losses, gave {value.shape}")
        _claim(value.dtype == np.float64, regressor, f"computes in float64, gave {value.dtype}")
        _claim(bool(np.isfinite(value).all()), regressor, "predicts finite losses")


def extrapolation_is_finite(make: MakeRegressor, seed: int = 0) -> None:
    """A budget a million times larger or smaller than any run's has a finite prediction."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    predictor = regressor.fit(tokens_RK, losses_R, seed)
    for factor in (1e-6, 1e6):
        finite = np.isfinite(predictor.predict(factor * tokens_RK)).all()
        _claim(bool(finite), regressor, f"is finite at {factor:g} times the budget")


def the_same_seed_gives_the_same_predictor(make: MakeRegressor, seed: int = 0) -> None:
    """Two fits with one seed predict the same bits."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    once, again = (make().fit(tokens_RK, losses_R, 7).predict(tokens_RK) for _ in range(2))
    _small(once - again, regressor, "the same seed gives the same predictions", 0.0)


def poor_tables_do_not_break_it(make: MakeRegressor, seed: int = 0) -> None:
    """Constant columns, one budget, repeated runs, two runs or losses that are all the same give finite predictions."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    tables = {
        "a domain never used": (tokens_RK * (np.arange(_DOMAINS) > 0), losses_R),
        "one budget": (tokens_RK / tokens_RK.sum(axis=1, keepdims=True), losses_R),
        "one repeated run": (np.repeat(tokens_RK[:1], 6, axis=0), losses_R[:6]),
        "two runs": (tokens_RK[:2], losses_R[:2]),
    }
    for which, (tokens, losses) in tables.items():
        value = regressor.fit(tokens, losses, seed).predict(tokens_RK)
        _claim(bool(np.isfinite(value).all()), regressor, f"predicts finite losses after {which}")
    value = regressor.fit(tokens_RK, np.full(_RUNS, 1.5), seed).predict(tokens_RK)
    _small(value - 1.5, regressor, "losses that are all the same are predicted again", _SAME)


def the_unit_of_tokens_does_not_matter(make: MakeRegressor, seed: int = 0) -> None:
    """Tokens counted a thousand times finer, in the fit and in the question, have the same losses."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    here = regressor.fit(tokens_RK, losses_R, seed).predict(tokens_RK)
    there = regressor.fit(1000 * tokens_RK, losses_R, seed).predict(1000 * tokens_RK)
    _small(here - there, regressor, "the unit of tokens does not matter", _SAME)


def a_constant_is_carried_through(make: MakeRegressor, seed: int = 0) -> None:
    """A constant added to all losses is added to all predictions."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    low, high = (regressor.fit(tokens_RK, losses_R + more, seed).predict(tokens_RK) for more in (0.0, 3.0))
    _small(high - low - 3.0, regressor, "a constant added to all losses is added to all predictions", _SAME)


def shuffling_runs_changes_nothing(make: MakeRegressor, seed: int = 0) -> None:
    """The order of the runs does not matter."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    order = np.random.default_rng(seed + 1).permutation(_RUNS)
    here = regressor.fit(tokens_RK, losses_R, seed).predict(tokens_RK)
    there = regressor.fit(tokens_RK[order], losses_R[order], seed).predict(tokens_RK)
    _small(here - there, regressor, "the order of the runs does not matter", _SAME)


def it_learns_a_smooth_law(make: MakeRegressor, seed: int = 0) -> None:
    """New runs are predicted with at most 70 % of the training mean's error, which is 100 %; 24 runs are enough."""
    regressor, tokens_RK, losses_R = _case(make, seed)
    _, fresh_RK, truth_R = _case(make, seed + 1)
    predicted = regressor.fit(tokens_RK, losses_R, seed).predict(fresh_RK)
    share = np.sqrt(np.mean((predicted - truth_R) ** 2) / np.mean((losses_R.mean() - truth_R) ** 2))
    _claim(bool(share <= 0.7), regressor, f"beats the mean on new runs; its error is {share:.0%} of the mean's")


REGRESSOR_CHECKS: tuple[RegressorCheck, ...] = (
    predictions_are_sound,
    extrapolation_is_finite,
    the_same_seed_gives_the_same_predictor,
    poor_tables_do_not_break_it,
    the_unit_of_tokens_does_not_matter,
    a_constant_is_carried_through,
    shuffling_runs_changes_nothing,
    it_learns_a_smooth_law,
)
"""Every check, for `pytest.mark.parametrize`; each takes what `check_regressor` takes."""


def _case(make: MakeRegressor, seed: int) -> tuple[Regressor, np.ndarray, np.ndarray]:
    """Return the regressor, (R, K) tokens and (R,) losses of a power law in the second domain's tokens, with noise."""
    rng = np.random.default_rng(seed)
    shares = 0.02 + rng.dirichlet(np.ones(_DOMAINS), _RUNS)
    tokens_RK = shares * np.exp(rng.normal(0.0, 0.7, (_RUNS, 1)))
    smooth = 0.8 + 0.5 * (0.05 + tokens_RK[:, 1] + 0.1 * tokens_RK[:, 0]) ** -0.3
    return make(), tokens_RK, smooth + 0.002 * rng.standard_normal(_RUNS)


def _claim(holds: bool, regressor: Regressor, claim: str) -> None:
    claim_that(holds, f"regressor '{regressor.name}'", claim)


def _small(away: np.ndarray, regressor: Regressor, claim: str, tolerance: float) -> None:
    claim_small(away, f"regressor '{regressor.name}'", claim, tolerance)
