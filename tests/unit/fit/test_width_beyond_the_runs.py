"""How much a curve's height is open beyond the largest run: five percent at e times its tokens."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit import Fit, TargetFit

DOMAINS = ("a", "b")
VALUES = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
NORMAL_95 = 1.6449


def certain() -> Fit:
    """A fit without any doubt about its parameters: the width is that of the drift alone."""
    draws = {name: np.full(800, value) for name, value in VALUES.items()}
    fitted = {domain: TargetFit(VALUES, draws, 0.01, "converged", "planted") for domain in DOMAINS}
    losses = np.array([[2.0, 1.9], [1.7, 1.8], [1.5, 1.4]])
    return Fit("transfer", "joint", DOMAINS, fitted, np.full((3, 2), 1e6), losses, ("x", "y", "z"))


@pytest.mark.parametrize(("times", "percent"), [(1.0, 0.0), (np.e, 5.0), (np.e**2, 10.0), (0.3, 0.0)])
def test_the_height_above_the_floor_is_known_to_five_percent_for_each_power_of_e(times: float, percent: float) -> None:
    found = certain().predict(np.array([[1e6, 1e6]]) * times)
    above = np.log(found.mean_high - VALUES["E"]) - np.log(found.mean_low - VALUES["E"])
    assert above[0] == pytest.approx(2 * NORMAL_95 * percent / 100, rel=0.02, abs=1e-12)
