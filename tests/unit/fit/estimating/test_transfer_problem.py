"""`transfer` as an estimation problem: derivatives, the posterior as prior times likelihood, and the starts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mixlaw.fit.estimating.transfer_problem import TransferProblem, _robust_lines
from mixlaw.laws.transfer import transfer_losses

THETA = np.array([0.6, 0.2, 0.7, 0.25, 0.8])
RNG = np.random.default_rng(0)
OWN, OTHERS = np.exp(RNG.uniform(np.log(0.2), np.log(3), (2, 14)))
LOSSES = transfer_losses(THETA, OWN, OTHERS)


def problem(informed: bool = True, scale: float = 1.0) -> TransferProblem:
    return TransferProblem.of(scale * OWN, scale * OTHERS, LOSSES, informed)


def of_theta(asked: TransferProblem) -> np.ndarray:
    """Return z of the planted law."""
    C, k, alpha, beta, E = THETA
    k = k * asked.unit ** (alpha - 1)
    return np.array([np.log(C * asked.unit**-beta), k * asked.rho ** (alpha - 1), alpha, np.log(beta), E])


def test_the_planted_coordinates_give_the_planted_losses_and_parameters() -> None:
    asked = problem()
    z = of_theta(asked)[None]
    assert asked.losses(z)[0] == pytest.approx(LOSSES)
    assert asked.natural(z)[0] == pytest.approx(THETA)
    # typical effective tokens are the unit
    assert np.exp(np.mean(np.log(asked.own_R + 0.2 * asked.others_R))) == pytest.approx(1)
    assert asked.rho == pytest.approx(OTHERS.min() / asked.unit)


def test_derivatives_are_those_of_the_losses_and_the_prior() -> None:
    asked = problem()
    z = of_theta(asked)
    losses, jacobian = asked.losses_and_jacobian(z)
    assert losses == pytest.approx(LOSSES)
    by_prior = asked.prior_residuals(z)[1]
    for p, step in enumerate(1e-6 * np.eye(5)):
        numeric = (asked.losses((z + step)[None]) - asked.losses((z - step)[None]))[0] / 2e-6
        assert jacobian[:, p] == pytest.approx(numeric, abs=1e-8)
        prior = (asked.prior_residuals(z + step)[0] - asked.prior_residuals(z - step)[0]) / 2e-6
        assert by_prior[:, p] == pytest.approx(prior, abs=1e-8)
    assert problem(informed=False).prior_residuals(z)[0].shape == (0,)


def test_runs_that_count_for_nothing_leave_the_prior_alone() -> None:
    asked = problem()
    z = np.repeat(of_theta(asked)[None], 3, axis=0)
    z[1, 1], z[2, 3] = 0.55, np.log(0.6)
    density = asked.log_posterior(z, 0.01, np.zeros(14))
    # worth half-normal with a standard deviation of .3; log beta normal about log .2, .7 wide
    expected = norm.logpdf(z[:, 1], 0, 0.3) + norm.logpdf(z[:, 3], np.log(0.2), 0.7)
    assert density - density[0] == pytest.approx(expected - expected[0])
    flat = problem(informed=False).log_posterior(z, 0.01, np.zeros(14))
    assert flat == pytest.approx(np.full(3, flat[0]))


def test_the_posterior_is_prior_times_likelihood_with_the_noise_integrated_out() -> None:
    asked, noise = problem(), 0.02
    z = np.repeat(of_theta(asked)[None], 3, axis=0)
    z[1, 4] += 0.03
    z[2, 2] -= 0.2
    squares = ((asked.losses(z) - LOSSES) ** 2).sum(axis=1)

    def integrated(total: float) -> float:
        """Normal likelihood of 14 runs times a scaled inverse chi-squared prior with 2 degrees, over the variance."""
        return quad(lambda v: v**-7 * np.exp(-total / 2 / v) * v**-2 * np.exp(-(noise**2) / v), 1e-7, 0.5, limit=200)[0]

    expected = np.log([integrated(total) for total in squares])
    found = problem(informed=False).log_posterior(z, noise, np.ones(14))
    assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-3)


def test_outside_the_bounds_there_is_no_density() -> None:
    asked = problem()
    z = np.repeat(of_theta(asked)[None], 5, axis=0)
    z[1, 1], z[2, 2], z[3, 4], z[4, 1] = 1.001, -0.001, LOSSES.min() + 1e-6, 1.0
    assert np.isfinite(asked.log_posterior(z, 0.01, np.ones(14))).tolist() == [True, False, False, False, True]


def test_starts_differ_lie_within_the_bounds_and_one_fits_nearly() -> None:
    asked = problem()
    starts = asked.starts(4)
    assert len(starts) == 4
    assert ((starts >= asked.lower) & (starts <= asked.upper)).all()
    misses = np.abs(asked.losses(starts) - LOSSES).mean(axis=1)
    constant = np.abs(LOSSES - np.median(LOSSES)).mean()
    assert misses[0] < 0.02 * constant
    assert np.argmin(misses) == 0
    assert misses.max() < 0.1 * constant
    apart = np.abs(starts[:, None, 1:4] - starts[None, :, 1:4]).sum(axis=2)
    assert apart[np.triu_indices(4, 1)].min() > 0.3
    assert np.array_equal(asked.starts(1)[0], starts[0])


def test_starts_stay_within_the_bounds_where_losses_rise_with_tokens_or_do_not_move() -> None:
    for losses in (LOSSES.max() + LOSSES.min() - LOSSES, np.full(14, 2.0) + 1e-9 * LOSSES):
        asked = TransferProblem.of(OWN, OTHERS, losses)
        starts = asked.starts(4)
        assert ((starts >= asked.lower) & (starts <= asked.upper)).all()


def test_another_unit_of_tokens_changes_no_coordinate() -> None:
    first, second = problem(), problem(scale=1000.0)
    assert second.starts(4) == pytest.approx(first.starts(4), rel=1e-6)
    assert second.lower == pytest.approx(first.lower)
    assert second.upper == pytest.approx(first.upper)


def test_without_other_domains_their_worth_is_held_at_nothing() -> None:
    alone = TransferProblem.of(OWN, np.zeros(14), LOSSES)
    assert alone.upper[1:3].tolist() == [0.0, 0.0]
    mixed = problem()
    assert mixed.upper[1:3].tolist() == [1.0, 1.0]
    assert mixed.upper[4] == LOSSES.min()


@pytest.mark.parametrize(("slope", "intercept"), [(0.7, 0.4), (2.0, 0.0), (0.0, 1.5)])
def test_lines_are_found_though_a_run_went_wrong(slope: float, intercept: float) -> None:
    x = np.linspace(0.5, 2, 15)
    y = slope * x + intercept + 1e-4 * np.cos(37 * x)
    y[3] += 5.0
    found = [float(part[0]) for part in _robust_lines(x[None], y)]
    # least squares would add a third to the intercept
    assert found[:2] == pytest.approx([slope, intercept], abs=0.1)


def test_lines_neither_fall_nor_begin_below_nothing() -> None:
    x = np.linspace(0.5, 2, 15)
    slope, intercept, _ = _robust_lines(np.stack([x, x]), 3 - x)
    assert slope == pytest.approx([0, 0])
    assert intercept == pytest.approx(1.75, abs=0.1)
    slope, intercept, misfit = _robust_lines(x[None], 2 * x - 0.5)
    assert intercept.tolist() == [0.0]
    assert slope[0] == pytest.approx((x * (2 * x - 0.5)).sum() / (x**2).sum(), abs=0.05)
    assert misfit[0] > 0.05
