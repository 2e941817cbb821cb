"""Ridge coordinates: there and back, volumes, and bands far beyond the runs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mixlaw.fit import fit_law
from mixlaw.fit.posterior.coordinates import RidgeCoordinates
from mixlaw.laws.transfer import transfer_losses
from planted_runs import THETA, transfer_runs
from quick_fits import none_held_out


def test_there_and_back() -> None:
    ridge = RidgeCoordinates.of(np.array([0.1, 0.5, 1.0, 4.0]), 0, 2, 3)
    z = np.array([[-0.5, 7.0, -1.5, 0.9], [0.2, -3.0, -0.4, 0.1]])
    back, log_volume = ridge.curve(ridge.straighten(z))
    assert back == pytest.approx(z)
    assert np.isfinite(log_volume).all()


def test_losses_in_the_billions_do_not_overflow_with_a_warning() -> None:
    ridge = RidgeCoordinates.of(np.array([0.1, 0.5, 1.0, 4.0]), 0, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z, log_volume = ridge.curve(np.array([[2e9, -50.0, 1e9]]))
    assert np.isposinf(z[0, 0]) and np.isfinite(log_volume).all()


def test_the_jacobian_and_the_volume_are_those_of_the_map() -> None:
    ridge = RidgeCoordinates.of(np.array([0.1, 0.5, 1.0, 4.0]), 0, 1, 2)
    z = np.array([-0.5, -1.5, 0.9])
    step = 1e-6 * np.eye(3)
    numeric = np.array(
        [(ridge.straighten((z + s)[None])[0] - ridge.straighten((z - s)[None])[0]) / 2e-6 for s in step]
    ).T
    assert ridge.jacobian(z) == pytest.approx(numeric, abs=1e-8)
    log_volume = ridge.curve(ridge.straighten(z[None]))[1][0]
    assert log_volume == pytest.approx(-np.log(abs(np.linalg.det(numeric))), abs=1e-6)


def test_a_rising_curve_has_no_volume() -> None:
    ridge = RidgeCoordinates.of(np.array([0.1, 1.0]), 0, 1, 2)
    assert ridge.curve(np.array([[1.0, -1.0, 2.0]]))[1][0] == -np.inf


@pytest.mark.parametrize("log_beta", [6.0, 9.0])  # at the small amount alone, at both
def test_powers_beyond_the_largest_number_are_not_warned_of_and_give_no_point(log_beta) -> None:
    ridge = RidgeCoordinates.of(np.array([0.001, 0.9]), 0, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z_SP, _ = ridge.curve(np.array([[3.0, log_beta, 2.0]]))
    assert not np.isfinite(z_SP).all()


def test_bands_hold_the_planted_losses_far_beyond_the_runs() -> None:
    inside = []
    for seed in range(4):
        with none_held_out():
            fit = fit_law(transfer_runs(seed), law="transfer")
        for times in (7, 70):
            far = times * 0.66e6 * np.array([[1, 1, 1], [2, 0.5, 0.5], [0.5, 2, 0.5], [0.5, 0.5, 2]])
            own = far / 1e6
            others = own.sum(axis=1, keepdims=True) - own
            truth = np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])
            band = fit.predict(far)
            inside.append(np.mean((truth >= band.mean_low) & (truth <= band.mean_high)))
    assert np.mean(inside) > 0.78
