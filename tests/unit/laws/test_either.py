"""Draws of two laws behave as draws of one: losses, derivatives, units, and the average of both means."""

from __future__ import annotations

import numpy as np
import pytest
from mixlaw.laws.either import Either

from mixlaw.laws import LAWS
from mixlaw.testing._cases import law_case

DOMAINS = ("a", "b", "c")


@pytest.fixture(scope="module")
def case() -> tuple[Either, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Both laws as one, its draws, those of each, and tokens."""
    first, theta, tokens = law_case(LAWS["transfer"], DOMAINS, 1)
    second, other, _ = law_case(LAWS["pairwise"], DOMAINS, 2)
    either = Either(first, second)
    return either, either.together(theta, other), theta, other, tokens


def test_each_draw_has_the_losses_of_its_own_law(case) -> None:
    either, both, theta, other, tokens = case
    expected = np.vstack([either.first.predict(theta, tokens), either.second.predict(other, tokens)])
    np.testing.assert_array_equal(either.predict(both, tokens), expected)
    np.testing.assert_array_equal(either.predict(both[7], tokens), expected[7])


def test_the_gradient_is_that_of_the_losses(case) -> None:
    either, both, _, _, tokens = case
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        numeric = (either.predict(both, tokens + step) - either.predict(both, tokens - step)) / 2e-6
        np.testing.assert_allclose(either.gradient(both, tokens)[..., k], numeric, rtol=1e-4, atol=1e-7)


def test_only_the_parameters_of_the_own_law_count(case) -> None:
    either, both, theta, other, tokens = case
    jacobian, middle = either.jacobian(both, tokens), 1 + theta.shape[1]
    assert jacobian.shape == (10, len(tokens), len(either.parameters))
    np.testing.assert_array_equal(jacobian[:5, :, 1:middle], either.first.jacobian(theta, tokens))
    np.testing.assert_array_equal(jacobian[5:, :, middle:], either.second.jacobian(other, tokens))
    assert not jacobian[:5, :, middle:].any() and not jacobian[5:, :, :middle].any()


def test_another_unit_of_tokens_changes_no_loss(case) -> None:
    either, both, _, _, tokens = case
    moved = either.predict(either.rescale(both, 1e3), 1e3 * tokens)
    np.testing.assert_allclose(moved, either.predict(both, tokens), rtol=1e-10)
