"""The rectified law: flat while there are few tokens, a power law with many."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.laws.rectified import Rectified

LAW = Rectified(("a", "b"), "t")
THETA = np.array([0.5, 2.0, 4.0, 0.5])


def test_it_is_the_published_equation_of_all_tokens() -> None:
    assert LAW.predict(THETA, np.array([[1.0, 3.0], [9.0, 0.0]])) == pytest.approx([0.5 + 2 / 6, 0.5 + 2 / 7])


def test_the_base_model_is_a_run_without_tokens() -> None:
    none = np.zeros((1, 2))
    assert LAW.predict(THETA, none) == pytest.approx([1.0])
    assert np.isfinite(LAW.jacobian(THETA, none)).all()
    assert np.isfinite(LAW.gradient(THETA, none)).all()


def test_far_beyond_what_the_base_model_knows_it_is_a_power_law() -> None:
    far = np.array([[1e10, 0.0], [4e10, 0.0]])
    first, second = LAW.predict(THETA, far) - THETA[0]
    assert first / second == pytest.approx(2.0, rel=1e-3)
