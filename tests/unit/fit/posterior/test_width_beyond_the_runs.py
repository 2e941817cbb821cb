"""How much a curve's height is open beyond the largest run: five percent at e times its tokens."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from planted_fits import planted_fit

DOMAINS = ("a", "b")
VALUES = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
NORMAL_95 = 1.6449


def certain() -> Fit:
    """A fit without any doubt about its parameters: the width is that of the bending alone."""
    losses = np.array([[2.0, 1.9], [1.7, 1.8], [1.5, 1.4]])
    runs = RunTable(("x", "y", "z"), DOMAINS, DOMAINS, np.full((3, 2), 1e6), losses)
    draws = np.repeat([list(VALUES.values())], 800, axis=0)
    return planted_fit("transfer", runs, dict.fromkeys(DOMAINS, VALUES), dict.fromkeys(DOMAINS, draws))


@pytest.mark.parametrize(("times", "percent"), [(1.0, 0.0), (np.e, 5.0), (np.e**2, 10.0), (0.3, 0.0)])
def test_the_height_above_the_floor_is_known_to_five_percent_for_each_power_of_e(times: float, percent: float) -> None:
    found = certain().predict(np.array([[1e6, 1e6]]) * times)
    above = np.log(found.mean_high - VALUES["E"]) - np.log(found.mean_low - VALUES["E"])
    assert above[0] == pytest.approx(2 * NORMAL_95 * percent / 100, rel=0.02, abs=1e-12)
