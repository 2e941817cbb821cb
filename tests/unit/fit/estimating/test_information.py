"""Rank, condition and open parameters of derivatives that are known."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit.estimating.information import Information, information

NAMES = ["x", "y", "z"]


def random(R: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((R, 3))


def test_runs_that_tell_all_parameters_apart_leave_none_open() -> None:
    columns = np.linalg.qr(random())[0] * [1.0, 1e4, 1e-4]
    found = information(columns, NAMES)
    assert (found.parameters, found.rank, found.open, found.held) == (3, 3, (), False)
    # each column counts by its direction alone
    assert found.condition == pytest.approx(1.0)


def test_the_condition_is_that_of_the_angle_between_the_columns() -> None:
    angle = 0.02
    columns = np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)], [0.0, 0.0]])
    found = information(columns, ["x", "y"])
    # singular values of two unit vectors: sqrt(1 +- cos)
    assert found.condition == pytest.approx(1 / np.tan(angle / 2))
    assert found.rank == 2


def test_two_parameters_that_move_the_losses_alike_are_open_together() -> None:
    columns = random()
    columns[:, 2] = -3 * columns[:, 0]
    found = information(columns, NAMES)
    assert found.rank == 2
    assert found.open == ("x", "z")
    assert found.condition == np.inf


def test_a_parameter_that_hardly_takes_part_in_an_open_direction_is_not_called_open() -> None:
    columns = np.linalg.qr(random())[0]
    columns[:, 2] = columns[:, 0] + 0.05 * columns[:, 1]
    assert information(columns, NAMES).open == ("x", "z")


def test_a_parameter_that_moves_no_loss_is_open_alone() -> None:
    columns = random()
    columns[:, 1] *= 1e-10
    found = information(columns, NAMES)
    assert (found.rank, found.open) == (2, ("y",))
    columns[:, 1] *= 1e2  # a hundred-millionth: small, but it moves them
    found = information(columns, NAMES)
    assert (found.rank, found.open) == (3, ())


@pytest.mark.parametrize("R", [0, 1, 2])
def test_fewer_runs_than_parameters_leave_all_open(R: int) -> None:
    found = information(random(R), NAMES)
    assert found.rank == R
    assert found.open == tuple(NAMES)


def test_losses_that_nothing_moves_leave_all_open() -> None:
    found = information(np.zeros((5, 3)), NAMES)
    assert (found.rank, found.open, found.condition) == (0, tuple(NAMES), np.inf)


def test_no_parameters_are_no_problem() -> None:
    found = information(np.zeros((5, 0)), [])
    assert (found.parameters, found.rank, found.open) == (0, 0, ())


def test_under_priors_a_parameter_is_open_whose_variance_is_still_that_of_the_prior() -> None:
    prior = np.array([4.0, 4.0, np.inf])
    found = information(random(2), NAMES, 4.0 * np.array([0.96, 0.94, 1e9]), prior)
    assert found.open == ("x",)
    assert found.held
    assert found.rank == 2


def test_json_round_trip_also_of_a_condition_without_end() -> None:
    for found in (Information(3, 2, np.inf, ("x",), True), Information(2, 2, 7.5)):
        assert Information.from_json(found.to_json()) == found
    assert Information(3, 2, np.inf).to_json()["condition"] is None
