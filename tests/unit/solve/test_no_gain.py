"""The natural mixture is recommended where nothing better is expected, and not where something a little better is."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit import Fit
from mixlaw.solve import solve_mixture
from planted_fits import planted_fit, two_runs

DOMAINS = ("a", "b")


def alike() -> Fit:
    """Two targets with the same law: equal shares are best."""
    values = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
    draws = np.repeat([list(values.values())], 4, axis=0)
    points = dict.fromkeys(DOMAINS, values)
    return planted_fit("transfer", two_runs(DOMAINS, DOMAINS, loss=1.0), points, dict.fromkeys(DOMAINS, draws))


@pytest.mark.parametrize("share", [0.501, 0.52, 0.6])
def test_a_gain_however_small_is_taken(share: float) -> None:
    solution = solve_mixture(alike(), 2e6, available={"a": share * 1e7, "b": (1 - share) * 1e7})
    gain = solution.baselines["natural"]["total_loss"] - solution.total_loss
    assert 1e-9 < gain / solution.total_loss < 1e-2
    assert solution.weights["a"] == pytest.approx(0.5, abs=1e-6)
    assert not any("natural mixture" in warning for warning in solution.warnings)


def test_where_there_is_none_the_natural_mixture_is_recommended_to_the_last_token() -> None:
    solution = solve_mixture(alike(), 2e6, available={"a": 1e7, "b": 1e7})
    assert solution.weights == {"a": 0.5, "b": 0.5}
    assert sum("The natural mixture is recommended" in warning for warning in solution.warnings) == 1
