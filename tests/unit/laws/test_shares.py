"""Shares, their derivatives, linear starts and features."""

import numpy as np
import pytest

from mixlaw.laws import find
from mixlaw.laws._shares import (
    FLOOR,
    Features,
    by_tokens,
    exact_shares,
    lattice,
    raised_shares,
    robust_linear,
    robust_lines,
)


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
@pytest.mark.parametrize("wrong", [50.0, -50.0])
def test_a_run_gone_wrong_moves_the_linear_fit_little(nonnegative, wrong):
    x = np.linspace(0, 1, 15)
    values = 1 + 2 * x + 1e-3 * np.cos(50 * x)
    values[4] = wrong
    # Least squares would give an intercept near 8 and a slope of -5.
    found = robust_linear(np.stack([np.ones(15), x], axis=1), values, nonnegative=nonnegative)
    assert found == pytest.approx([1.0, 2.0], abs=0.2)


def test_weights_count_squared_residuals():
    basis, values = np.ones((4, 1)), np.array([1.0, 1.0, 2.0, 2.0])
    # the weighted mean, as all lie within the bend
    assert robust_linear(basis, values, np.array([3.0, 3.0, 1.0, 1.0])) == pytest.approx([1.25], abs=1e-3)
    assert robust_linear(basis, values) == pytest.approx([1.5], abs=1e-3)


def test_coefficients_are_not_negative_unless_they_may_be():
    x = np.linspace(0, 1, 9)
    basis, values = np.stack([np.ones(9), x], axis=1), 3 - x
    assert robust_linear(basis, values, nonnegative=False) == pytest.approx([3, -1], abs=1e-4)
    assert robust_linear(basis, values) == pytest.approx([2.5, 0], abs=0.05)


def test_a_column_of_nothing_gets_nothing():
    assert robust_linear(np.stack([np.ones(5), np.zeros(5)], axis=1), np.full(5, 2.0)) == pytest.approx(
        [2, 0], abs=1e-4
    )


TOKENS = np.exp(np.random.default_rng(3).normal(0, 0.8, (24, 3)))


@pytest.mark.parametrize(
    ("name", "theta", "share"),
    [
        ("chinchilla", [1.2, 0.8, 0.4], 0.05),
        ("autoscale", [1.2, 0.8, 0.3, 0.4], 0.1),
        ("bivariate", [0.3, 0.8, 0.4, 1.2], 0.1),
        ("exponential", [0.9, 0.2, -0.7, 0.5], 0.05),
        ("additive", [0.9, 2.0, 1.0, 0.6, 0.5, 0.6, 0.4], 0.3),
        ("additive_joint", [0.9, 2.0, 1.0, 0.6, 0.5, 1.2, 0.2, 0.1, 1.0, 0.4], 0.4),
        ("transfer", [0.8, 0.15, 0.7, 0.2, 0.9], 0.7),
    ],
)
def test_the_best_start_of_a_law_explains_most_of_its_own_losses(name, theta, share):
    law = find(name).law(("a", "b", "c"), "a")
    losses = law.predict(np.array(theta), TOKENS)
    starts = law.starts(TOKENS, losses, 4)
    assert len(starts) <= 4
    misses = np.abs(law.predict(starts, TOKENS) - losses).mean(axis=1)
    assert misses.min() < share * np.abs(losses - np.median(losses)).mean()
    if name != "transfer":  # whose starts are not searched for
        assert np.argmin(misses) == 0


def test_columns_alike_do_not_break_the_linear_fit():
    found = robust_linear(np.ones((5, 2)), np.full(5, 3.0))
    assert found.sum() == pytest.approx(3.0, rel=1e-5)


def test_many_lines_at_once_are_those_found_one_by_one():
    rng = np.random.default_rng(5)
    columns = np.exp(rng.normal(0, 2, (40, 9)) * rng.uniform(0, 1, (40, 1)))
    columns[0], values = 1.0, 2 + rng.normal(0, 1, 9)
    values[3] = 40.0
    found = robust_lines(columns, values)
    for column, line in zip(columns, found, strict=True):
        alone = robust_linear(np.stack([np.ones(9), column], axis=1), values)
        assert line == pytest.approx(alone, rel=1e-4, abs=1e-4)
    assert (found == 0).any(axis=1).sum() in range(5, 40)  # some need a bound, some do not


def test_features_have_mean_zero_and_constant_columns_stay_zero():
    tokens = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    features = Features.of(tokens, "shares", "tokens", "total")
    columns = features(tokens)
    assert columns.shape == (3, 5)
    assert np.abs(columns.mean(axis=0)).max() < 1e-12
    assert features(np.array([[0.0, 9.0]]))[0, [0, 1, 3]].tolist() == [0.0, 0.0, 0.0]


def test_features_are_the_documented_columns_in_units_of_the_median_total():
    tokens = np.array([[1.0, 0.0], [1.0, 3.0], [5.0, 4.0]])
    raw = np.column_stack(
        [tokens / tokens.sum(axis=1, keepdims=True), np.log1p(100 * tokens / 4), np.log1p(100 * tokens.sum(axis=1) / 4)]
    )
    features = Features.of(tokens, "shares", "tokens", "total")
    assert features(tokens) == pytest.approx((raw - raw.mean(axis=0)) / raw.std(axis=0))
    assert Features.of(1000 * tokens, "tokens")(1000 * tokens) == pytest.approx(Features.of(tokens, "tokens")(tokens))
    assert Features.of(tokens, "total")(tokens).shape == (3, 1)
