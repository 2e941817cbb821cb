"""What is said of mixtures outside the range of the runs, and that nothing is said within."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.reach import outside
from mixlaw.solve import solve_mixture
from planted_fits import planted_fit

RUNS = np.array([0.0, 2e6, 3e6, 4e6])


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (2e6, ""),
        (5.9e6, ""),
        (6.1e6, "1.5 times the largest run"),
        (1.9e6, "smaller than the smallest run of the fit (2M)"),
    ],
)
def test_the_ends_of_the_runs_are_what_is_warned_of(total: float, said: str) -> None:
    found = outside(np.array([total]), RUNS, "The budget")
    assert [said in text for text in found] == [True] * bool(said)


def test_of_many_mixtures_the_outermost_are_named_and_the_untrained_model_is_no_mixture() -> None:
    far, below = outside(np.array([0.0, 1e6, 3e6, 8e6, 40e6]), RUNS, "A mixture")
    assert "A mixture of 40M is 10.0 times" in far and "A mixture of 1M is smaller than" in below
    assert outside(np.array([0.0]), RUNS, "A mixture") == outside(np.array([1e6]), RUNS[:1], "A mixture") == ()


def test_solving_and_predicting_below_the_runs_say_so() -> None:
    names, point = ("a", "b"), {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
    losses = np.array([[2.0, 1.9], [1.7, 1.8], [1.5, 1.4]])
    runs = RunTable(("x", "y", "z"), names, names, np.full((3, 2), 1e6), losses)
    draws = np.repeat([list(point.values())], 20, axis=0)
    fit = planted_fit("transfer", runs, dict.fromkeys(names, point), dict.fromkeys(names, draws))
    for budget, word in ((1e6, "than the smallest run of the fit"), (9e6, "times the largest run of the fit")):
        assert any(word in text for text in solve_mixture(fit, budget).warnings)
        assert any(word in text for text in fit.predict({"a": budget / 2, "b": budget / 2}).warnings)
    assert not any(" run of the fit" in text for text in solve_mixture(fit, 2e6).warnings)
    assert not fit.predict(runs).warnings
