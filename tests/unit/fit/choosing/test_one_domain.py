"""One domain: the law is the one that predicts the largest runs best from the smaller ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.choosing.choice import choose
from mixlaw.fit.choosing.held_out import folds, held_out, largest
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.rectified import Rectified

SIZES = 200.0 * 2.0 ** np.arange(12)


def curve(losses_R: np.ndarray, sizes_R: np.ndarray = SIZES, noise: float = 0.0) -> RunTable:
    losses_R = losses_R + noise * np.random.default_rng(0).standard_normal(len(losses_R))
    names = tuple(f"r{i}" for i in range(len(sizes_R)))
    return RunTable(names, ("task",), ("task",), sizes_R[:, None], losses_R[:, None])


def late(sizes_R: np.ndarray) -> np.ndarray:
    """A curve that falls late: 2 % until 5,000 examples, then as a power."""
    return Rectified(("task",), "task").predict(np.array([0.5, 400.0, 150.0, 0.6]), sizes_R[:, None])


def test_a_curve_that_falls_late_is_not_given_to_a_plain_power_law() -> None:
    choice = choose(curve(late(SIZES), noise=0.003))
    assert choice.law in ("pairwise", "rectified")
    assert "largest sizes, held out" in choice.reason
    assert "transfer" in choice.reason


def test_auto_predicts_four_times_the_largest_run_of_a_late_curve() -> None:
    far = np.array([SIZES[-1] * 2, SIZES[-1] * 4])
    truth = late(far)
    runs = curve(late(SIZES), noise=0.003)

    def error(law: str) -> float:
        return float(np.abs(fit_law(runs, law).predict(far[:, None]).mean[:, 0] / truth - 1).mean())

    # A plain power law with a floor is more than twice as far off.
    assert error("auto") < 0.03
    assert error("transfer") > 2 * error("auto")


def test_too_few_sizes_leave_none_to_hold_out() -> None:
    few = curve(late(SIZES[:5]), SIZES[:5])
    assert largest(few, 2, 4) is None
    assert choose(few).law == "transfer"
    with_base = curve(np.r_[4.0, late(SIZES[:4])], np.r_[0.0, SIZES[:4]])
    assert choose(with_base).law == "pairwise"


def test_the_largest_are_those_of_all_replicates() -> None:
    twice = curve(late(np.r_[SIZES, SIZES[-1]]), np.r_[SIZES, SIZES[-1]])
    held = largest(twice, 2, 4)
    assert held is not None
    assert set(twice.tokens_RK[held, 0]) == {SIZES[-2], SIZES[-1]}
    assert held.sum() == 3


def test_the_base_model_is_fitted_and_never_held_out() -> None:
    sizes = np.r_[0.0, SIZES]
    runs = curve(Pairwise(("task",), "task").predict(np.array([9.0, 2000.0, 1.0, 0.2, 0.4]), sizes[:, None]), sizes)
    assert not np.any(folds(runs), axis=0)[0]
    assert np.isnan(held_out(runs, "pairwise").predicted_RJ[0, 0])
    fit = fit_law(runs, "pairwise")
    # At 0 examples the loss is C n0^-beta + E = 2.37; without the run it is not known to a hundredth.
    assert fit.predict(np.zeros((1, 1)), at="point").mean[0, 0] == pytest.approx(runs.losses_RJ[0, 0], abs=0.02)


def test_a_law_that_knows_no_base_model_leaves_it_out_and_says_so() -> None:
    runs = curve(np.r_[4.0, late(SIZES)], np.r_[0.0, SIZES])
    with_base, without = fit_law(runs, "chinchilla"), fit_law(runs.take(runs.totals_R > 0), "chinchilla")
    assert with_base.parameters == without.parameters
    assert any("r0: not used, because law" in text for text in with_base.warnings)
    assert not any("without tokens" in text for text in fit_law(runs, "rectified").warnings)


def test_targets_that_are_no_domain_are_taken() -> None:
    runs = replace(curve(late(SIZES), noise=0.003), targets=("exam",))
    assert choose(runs).law in ("pairwise", "rectified")
