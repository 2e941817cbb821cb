"""`pairwise` as an estimation problem: derivatives with and without sizes and interference, and bounds wide enough."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating.pairwise_point import fit_points
from mixlaw.fit.estimating.pairwise_problem import PairwiseProblem
from mixlaw.laws.pairwise import Mixtures, Pairwise

DOMAINS = ("a", "b", "c")
THETA = np.array([0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.02, 0.1, -0.1, 0.1, -0.05])
TOKENS = np.exp(np.random.default_rng(0).normal(0, 0.7, (12, 3)))
SIZES = np.log(np.tile([0.1, 0.5, 1.0], 4))


def problem(interference: bool, sizes: bool) -> PairwiseProblem:
    law = Pairwise(DOMAINS, "a")
    losses = law.predict(THETA, TOKENS)
    return PairwiseProblem(law, Mixtures.of(TOKENS), losses, interference, SIZES if sizes else None)


EXPONENTS = np.array([0.15, 0.05, 0.02])
"""gamma, gamma_E and gamma_beta."""


def of_theta(asked: PairwiseProblem) -> np.ndarray:
    z = THETA.copy()
    z[[0, 1, 3, 5, 6]] = np.log(z[[0, 1, 3, 5, 6]])
    z = z[: asked.of_law]
    return z if asked.log_sizes_R is None else np.append(z, EXPONENTS)


@pytest.mark.parametrize("interference", [False, True])
@pytest.mark.parametrize("sizes", [False, True])
def test_losses_are_the_laws_shrunk_to_the_size_and_derivatives_theirs(interference: bool, sizes: bool) -> None:
    asked = problem(interference, sizes)
    assert asked.size == 5 + 2 * (3 if interference else 2) + 3 * sizes
    z = of_theta(asked)
    theta = THETA * np.where(np.arange(11) < 9, 1, interference)
    expected = asked.law.predict(theta, TOKENS)
    if sizes:
        gamma, of_floor, of_exponent = EXPONENTS
        for row, size in enumerate(SIZES):
            there = theta.copy()
            there[[0, 4]] *= np.exp(-np.array([gamma, of_floor]) * size)
            there[3] += of_exponent * size
            expected[row] = asked.law.predict(there, TOKENS[row : row + 1])[0]
    losses, jacobian = asked.losses_and_jacobian(z)
    assert losses == pytest.approx(expected)
    assert asked.losses(z[None])[0] == pytest.approx(expected)
    for p, step in enumerate(1e-6 * np.eye(len(z))):
        numeric = (asked.losses((z + step)[None]) - asked.losses((z - step)[None]))[0] / 2e-6
        assert jacobian[:, p] == pytest.approx(numeric, abs=1e-7)


@pytest.mark.parametrize("sizes", [False, True])
def test_some_of_the_runs_are_the_same_problem(sizes: bool) -> None:
    asked, rows = problem(True, sizes), np.array([7, 2, 3])
    some = asked.take(rows)
    z = of_theta(asked)
    assert some.losses_R.tolist() == asked.losses_R[rows].tolist()
    assert some.losses(z[None])[0] == pytest.approx(asked.losses(z[None])[0, rows])
    assert some.size == asked.size


def test_bounds_hold_what_can_be_and_no_more() -> None:
    asked = problem(True, True)
    lower, upper = asked.bounds()
    z = of_theta(asked)
    assert ((lower < z) & (z < upper)).all()
    assert upper[4] == asked.losses_R.min() and lower[4] == 0  # no floor above a measured loss
    assert (lower[2], upper[2]) == (0.1, 1.0)
    assert lower[asked.exponents].tolist() == [-2.0] * 3 and upper[asked.exponents].tolist() == [5.0] * 3
    assert lower[7:11].tolist() == [-1.0] * 4 and upper[7:11].tolist() == [1.0] * 4


def test_a_curve_far_above_all_losses_where_little_helps_is_within_the_bounds() -> None:
    # every domain is worth thirty own tokens, which no run has: at one token the loss would be hundreds of nats
    law = Pairwise(DOMAINS, "x")
    theta = np.array([0.5 * 40.0**1.5, 0.01, 0.9, 1.5, 0.8, 30.0, 30.0, 30.0] + [0.0] * 6)
    tokens = np.exp(np.random.default_rng(1).normal(0, 0.5, (24, 3)))
    losses = law.predict(theta, tokens)[:, None]
    assert theta[0] > 20 * losses.max()
    runs = RunTable(tuple(f"r{i}" for i in range(24)), DOMAINS, ("x",), tokens * 1e6, losses)
    (fit,) = fit_points(runs, 1e6, False)
    found = fit.problem.losses(fit.z_P[None])[0]
    # a constant would miss by .2
    assert np.abs(found - fit.problem.losses_R).max() < 0.01


def test_straight_coordinates_run_between_small_and_large_effective_amounts() -> None:
    asked = problem(False, False)
    z = of_theta(asked)
    ridge = asked.straight(z)
    D = asked.law.effective_tokens(asked.theta(z[None])[0], asked.mixtures)
    assert (ridge.small, ridge.large) == pytest.approx(tuple(np.log(np.quantile(D, (0.1, 0.9)))))
    straight = ridge.straighten(z[None])[0]
    reducible = 0.9 * np.exp(-0.2 * np.array([ridge.small, ridge.large]))
    assert straight[[0, 4]] == pytest.approx(0.8 + reducible)
