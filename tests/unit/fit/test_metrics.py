"""User metrics as targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.metrics import with_metrics
from mixlaw.solve import solve_mixture

DOMAINS = ("a", "b")


def runs_with_accuracy(scale: float = 1.0) -> RunTable:
    rng = np.random.default_rng(0)
    tokens = np.exp(rng.uniform(np.log(0.2e6), np.log(3e6), (20, 2)))
    own = tokens / 1e6
    accuracy = scale * (0.7 - 0.2 * (0.3 + own[:, 1]) ** -0.4)
    names = tuple(f"r{i}" for i in range(20))
    return RunTable(names, DOMAINS, DOMAINS, tokens, 1 + 0.4 * own**-0.2, metrics={"mmlu": accuracy})


@pytest.mark.parametrize(("scale", "ceiling"), [(1.0, 1.0), (100.0, 100.0)])
def test_a_higher_is_better_metric_is_its_distance_from_the_ceiling(scale, ceiling) -> None:
    runs = runs_with_accuracy(scale)
    table = with_metrics(runs, {"mmlu": "higher"})
    assert table.targets == ("a", "b", "metric:mmlu")
    assert table.losses_RJ[:, 2] == pytest.approx(ceiling - runs.metrics["mmlu"])
    assert with_metrics(runs, {"mmlu": "lower"}).losses_RJ[:, 2] == pytest.approx(runs.metrics["mmlu"])


def test_the_mixture_that_serves_the_metric() -> None:
    fit = fit_law(with_metrics(runs_with_accuracy(), {"mmlu": "higher"}))
    assert fit.law == "pairwise"
    solution = solve_mixture(fit, 5e6, target_weight={"metric:mmlu": 1.0})
    assert solution.weights["b"] > 0.9


def test_errors() -> None:
    runs = runs_with_accuracy()
    with pytest.raises(ConfigError, match="no metric 'gsm8k'; known: 'mmlu'"):
        with_metrics(runs, {"gsm8k": "higher"})
    with pytest.raises(ConfigError, match="direction of metric"):
        with_metrics(runs, {"mmlu": "up"})
    for value, words in ((-1.0, "needs values >= 0"), (250.0, "ceiling")):
        with pytest.raises(DataError, match=words):
            with_metrics(replace(runs, metrics={"mmlu": np.full(20, value)}), {"mmlu": "higher"})
