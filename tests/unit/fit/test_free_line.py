"""The line of merged rows is taken out of a law's residuals, exactly, and its derivatives follow."""

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating.gauss_newton import minimise
from mixlaw.fit.estimating.pairwise_problem import PairwiseProblem
from mixlaw.fit.free_line import FreeLine, free_columns
from mixlaw.laws.pairwise import Mixtures, Pairwise


def columns(merged: np.ndarray) -> np.ndarray | None:
    nothing = np.zeros((len(merged), 1))
    names = tuple(map(str, range(len(merged))))
    return free_columns(RunTable(names, ("a",), ("a",), nothing, nothing, merged_RJ=merged[:, None]), 0)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    merged = np.r_[np.full(5, np.nan), rng.uniform(1, 2, 8)]
    worth = np.r_[np.ones(5), rng.uniform(0.1, 0.9, 8)]
    losses = np.where(np.isfinite(merged), 0.4 + 0.7 * merged, 1.5)
    return rng, merged, worth, losses


def test_what_is_taken_out_is_the_weighted_line_of_the_merged_rows(rows):
    rng, merged, worth, losses = rows
    law = losses + rng.standard_normal(13)
    left = FreeLine.of(columns(merged), worth, losses).predicted(law) - losses
    some = np.isfinite(merged)
    slope, offset = np.polyfit(merged[some], (law - losses)[some], 1, w=np.sqrt(worth[some]))
    assert left[some] == pytest.approx((law - losses)[some] - offset - slope * merged[some])
    assert left[~some] == pytest.approx((law - losses)[~some])


def test_a_law_on_any_line_over_the_merged_losses_has_no_residual(rows):
    _, merged, worth, losses = rows
    law = np.where(np.isfinite(merged), -3 + 2.5 * merged, losses)
    assert FreeLine.of(columns(merged), worth, losses).predicted(law) == pytest.approx(losses)


def test_the_derivatives_are_those_of_differences(rows):
    rng, merged, worth, losses = rows
    line, jacobian = FreeLine.of(columns(merged), worth, losses), rng.standard_normal((13, 3))
    step, base = rng.standard_normal(3), losses + 0.1
    moved = line.predicted(base + jacobian @ step) - line.predicted(base)
    assert line.jacobian(jacobian) @ step == pytest.approx(moved)
    pull = rng.standard_normal((1, 13))
    assert (line.by_law(pull) @ (jacobian @ step)).item() == pytest.approx((pull @ moved).item())


def test_without_merged_rows_there_is_no_line():
    assert FreeLine.of(None, np.ones(3), np.ones(3)) is None
    assert FreeLine.of(columns(np.full(3, np.nan)), np.ones(3), np.ones(3)) is None


def test_a_problem_with_merged_rows_moves_with_their_offset_and_slope_free():
    rng = np.random.default_rng(2)
    law, mixtures = Pairwise(("a", "b"), "a"), Mixtures.of(rng.uniform(0.2, 2, (20, 2)))
    plain = PairwiseProblem(law, mixtures, np.ones(20), False)
    z = np.zeros(plain.size)
    z[1], z[2], z[3], z[4] = -1.0, 0.9, -1.0, 0.5
    truth = plain.losses(z[None])[0]
    fits = []
    for offset, slope in ((0.0, 1.0), (2.0, 0.3)):
        merged = np.where(np.arange(20) < 6, np.nan, offset + slope * truth)
        problem = PairwiseProblem(law, mixtures, truth.copy(), False, worth_R=np.ones(20), free_RF=columns(merged))
        prior = z, 1e-6 * np.eye(problem.size)
        found = minimise(problem.losses_and_jacobian, truth, np.full(20, 1e3), z + 0.1, prior, problem.bounds())
        fits.append(found.z_P)
        assert plain.losses(found.z_P[None])[0] == pytest.approx(truth, abs=1e-3)
    assert fits[0] == pytest.approx(fits[1], abs=1e-3)
