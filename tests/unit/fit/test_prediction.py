"""No prediction is negative, and none is far above all that was measured, whatever the law says there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.curve import Scatter
from mixlaw.fit.prediction import _NORMAL, Prediction, band, token_array
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


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 3.0])
def test_an_interval_of_runs_adds_what_is_open_and_how_runs_scatter(share: float) -> None:
    # draws normal with a standard deviation of .1 times the share, runs of .1 about each
    drawn = 2 + 0.1 * share * ndtri((np.arange(600) + 0.5) / 600)
    mean, low, high, mean_low, mean_high, _ = band(None, [(Scatter(0.1), drawn[:, None])], np.array([2.0]))
    assert mean == pytest.approx([2.0])
    assert high - low == pytest.approx([2 * 1.645 * 0.1 * np.sqrt(1 + share**2)], rel=0.04 if share else 0.07)
    assert mean_high - mean_low == pytest.approx([2 * 1.645 * 0.1 * share], rel=0.01, abs=1e-12)


def test_an_interval_reaches_the_mean_though_it_lies_outside_the_draws() -> None:
    drawn = np.full((50, 1), 2.0)
    mean, low, high, mean_low, mean_high, _ = band(np.array([3.0]), [(Scatter(0.1), drawn)], np.array([2.0]))
    assert (mean, high, mean_high, mean_low) == (3.0, 3.0, 3.0, 2.0)
    assert low < 2.0
    mean, low, *_ = band(np.array([1.0]), [(Scatter(0.1), drawn)], np.array([2.0]))
    assert (mean, low) == (1.0, 1.0)


def test_two_laws_scatter_each_in_its_own_way() -> None:
    drawn = np.full((50, 1), 2.0)
    _, low, high, *_, both = band(None, [(Scatter(1e-6), drawn), (Scatter(0.2), drawn)], np.array([2.0]))
    assert both.shape == (100, 1)
    # the outermost tenth of the half that scatters
    assert high - low == pytest.approx([2 * 1.28 * 0.2], rel=0.15)


TOKENS = RunTable(("x",), ("b", "a"), ("a",), np.array([[3.0, 4.0]]), np.array([[1.0]]))


def test_tokens_are_read_from_tables_names_and_arrays_in_the_fits_order() -> None:
    for given in (TOKENS, {"b": 3.0, "a": 4.0}, [4.0, 3.0], np.array([[4.0, 3.0]])):
        assert token_array(given, ("a", "b")).tolist() == [[4.0, 3.0]]
    assert token_array({"b": 3.0}, ("a", "b")).tolist() == [[0.0, 3.0]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TOKENS, "no tokens of the domains"),
        ({"z": 1.0}, "no domain 'z'"),
        (np.ones((2, 3, 1)), "shape"),
        (np.ones(2), "shape"),
        ({"a": -1e-9}, "negative or not finite"),
        ({"a": float("inf")}, "negative or not finite"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(given: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        token_array(given, ("a", "b", "c"))  # type: ignore[arg-type]


def test_a_prediction_of_several_targets_has_as_many_draws_as_the_fewest() -> None:
    columns = [(*(np.full(2, x + i) for x in range(5)), np.full((n, 2), 7.0 + i)) for i, n in enumerate((4, 3))]
    found = Prediction.of(columns, ("x", "y"))
    assert found.draws.shape == (3, 2, 2)
    assert found.mean.tolist() == [[0, 1], [0, 1]]
    assert found.of_mixture(1)["y"] == {"mean": 1.0, "low": 2.0, "high": 3.0, "mean_low": 4.0, "mean_high": 5.0}
    assert found.ends[0].tolist() == [[1, 2], [1, 2]]


def test_the_scatter_of_runs_is_at_the_medians_of_twelve_equal_pieces_of_a_normal() -> None:
    """By integrating the density: between neighbours lies a twelfth, outside the outermost half of that."""
    x = np.linspace(-9, 9, 1_800_001)
    below = np.cumsum(np.exp(-0.5 * x**2)) * (x[1] - x[0]) / np.sqrt(2 * np.pi)
    expected = np.interp((np.arange(12) + 0.5) / 12, below, x)
    assert np.array(_NORMAL) == pytest.approx(expected, abs=6e-5)
