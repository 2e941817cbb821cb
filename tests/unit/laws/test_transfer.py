"""The law `transfer`: values by hand, derivatives, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.laws.transfer import ONE_TOKEN, transfer_jacobian, transfer_losses

THETA = np.array([0.75, 0.2, 0.5, 0.1, 1.2])


def test_the_equation_holds_by_hand() -> None:
    # 0.75 (4 + 0.2 * 9^0.5)^-0.1 + 1.2 = 0.75 * 4.6^-0.1 + 1.2
    assert transfer_losses(THETA, np.array([4.0]), np.array([9.0]))[0] == pytest.approx(
        0.75 * 4.6**-0.1 + 1.2, rel=1e-14
    )


def test_no_tokens_at_all_count_as_one() -> None:
    loss = transfer_losses(THETA, np.array([0.0]), np.array([0.0]))[0]
    assert loss == pytest.approx(0.75 * ONE_TOKEN**-0.1 + 1.2)


@given(
    st.tuples(st.floats(0.1, 2), st.floats(0.01, 1), st.floats(0.05, 0.95), st.floats(0.02, 1), st.floats(0.1, 2)),
    st.floats(0.01, 100),
    st.floats(0.01, 100),
)
def test_the_jacobian_is_the_derivative(theta: tuple[float, ...], own: float, others: float) -> None:
    point, n, r = np.array(theta), np.array([own]), np.array([others])
    jacobian = transfer_jacobian(point, n, r)[0]
    for p in range(5):
        step = np.zeros(5)
        step[p] = 1e-6 * point[p]
        difference = (transfer_losses(point + step, n, r) - transfer_losses(point - step, n, r))[0] / (2 * step[p])
        assert jacobian[p] == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_draws_and_runs_broadcast() -> None:
    draws = np.stack([THETA, 2 * THETA / 2, THETA + 0.1])
    own, others = np.linspace(1, 4, 4), np.ones(4)
    assert transfer_losses(draws, own, others).shape == (3, 4)
    assert transfer_jacobian(draws, own, others).shape == (3, 4, 5)
    assert np.array_equal(transfer_losses(draws, own, others)[0], transfer_losses(THETA, own, others))
