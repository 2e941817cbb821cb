"""Shares, their derivatives, linear starts and features."""

import numpy as np
import pytest

from mixlaw.laws._shares import FLOOR, Features, by_tokens, exact_shares, lattice, raised_shares, robust_linear


def test_shares_sum_to_one_and_are_raised_by_a_millionth():
    tokens = np.array([[1, 3, 0]])
    assert exact_shares(tokens).tolist() == [[0.25, 0.75, 0.0]]
    assert raised_shares(tokens) - exact_shares(tokens) == pytest.approx(np.full((1, 3), FLOOR), rel=1e-9)


def test_the_chain_rule_by_hand():
    # w_1 = N_1 / (N_1 + N_2): its derivatives at (1, 3) are 3 / 16 and -1 / 16.
    assert by_tokens(np.array([[1.0, 0.0]]), np.array([[1.0, 3.0]])).tolist() == [[3 / 16, -1 / 16]]


def test_the_lattice_fills_the_box_and_is_always_the_same():
    points = lattice([0.0, 10.0], [1.0, 20.0], 64)
    assert np.array_equal(points, lattice([0.0, 10.0], [1.0, 20.0], 64))
    cells = {(int(4 * x), int(4 * (y - 10) / 10)) for x, y in points}
    assert len(cells) == 16
    assert points.min(axis=0).tolist() > [0.0, 10.0] and points.max(axis=0).tolist() < [1.0, 20.0]


@pytest.mark.parametrize("nonnegative", [True, False])
def test_a_run_gone_wrong_moves_the_linear_fit_little(nonnegative):
    x = np.linspace(0, 1, 15)
    values = 1 + 2 * x + 1e-3 * np.cos(50 * x)
    values[4] = 50.0
    # Least squares would give an intercept near 8 and a slope of -5.
    found = robust_linear(np.stack([np.ones(15), x], axis=1), values, nonnegative=nonnegative)
    assert found == pytest.approx([1.0, 2.0], abs=0.2)


def test_columns_alike_do_not_break_the_linear_fit():
    found = robust_linear(np.ones((5, 2)), np.full(5, 3.0))
    assert found.sum() == pytest.approx(3.0, rel=1e-5)


def test_features_have_mean_zero_and_constant_columns_stay_zero():
    tokens = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    features = Features.of(tokens, "shares", "tokens", "total")
    columns = features(tokens)
    assert columns.shape == (3, 5)
    assert np.abs(columns.mean(axis=0)).max() < 1e-12
    assert features(np.array([[0.0, 9.0]]))[0, [0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
