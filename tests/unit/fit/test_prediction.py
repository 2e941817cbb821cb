"""No prediction is negative, and none is far above all that was measured, whatever the law says there."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.prediction import _NORMAL
from planted_fits import planted_fit

MEASURED = np.array([[0.3], [0.2], [0.1]])


def planted(constant: float, noise: float) -> Fit:
    values = {"C": constant, "k": 0.2, "alpha": 0.6, "beta": 0.5, "E": 0.01}
    runs = RunTable(("x", "y", "z"), ("a", "b"), ("a",), np.full((3, 2), 1e6), MEASURED)
    draws = np.repeat([list(values.values())], 20, axis=0)
    return planted_fit("transfer", runs, {"a": values}, {"a": draws}, noise=noise)


def test_an_interval_ends_at_zero() -> None:
    found = planted(0.05, 1.0).predict(np.array([[1e6, 1e6]]))
    assert found.low.tolist() == [[0.0]]
    assert found.high[0, 0] > 1
    assert found.mean[0, 0] > 0.01


def test_no_mean_is_above_twice_the_largest_measured_loss() -> None:
    found = planted(100.0, 0.01).predict(np.array([[1.0, 1.0], [1e6, 1e6], [1e14, 1e14]]))
    assert found.mean[:2, 0] == pytest.approx([0.6, 0.6], rel=1e-12)
    assert 0.01 < found.mean[2, 0] < 0.6
    assert found.mean_high.max() == 0.6


def test_the_scatter_of_runs_is_at_the_medians_of_twelve_equal_pieces_of_a_normal() -> None:
    """By integrating the density: between neighbours lies a twelfth, outside the outermost half of that."""
    x = np.linspace(-9, 9, 1_800_001)
    below = np.cumsum(np.exp(-0.5 * x**2)) * (x[1] - x[0]) / np.sqrt(2 * np.pi)
    expected = np.interp((np.arange(12) + 0.5) / 12, below, x)
    assert np.array(_NORMAL) == pytest.approx(expected, abs=6e-5)
