"""User metrics as targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.metrics import with_metrics
from mixlaw.solve import solve_mixture
from quick_fits import none_held_out, short_draws

DOMAINS = ("a", "b")


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with none_held_out(), short_draws():
        yield


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
    for wish in ("higher:", "higher:much", "lower:nan", "up:1"):
        with pytest.raises(ConfigError, match="after a colon the best possible value"):
            with_metrics(runs, {"mmlu": wish})
    for value, wish, words in (
        (-1.0, "higher", r"value -1, and higher is better: the best .* Say it: mmlu=higher:1 "),
        (250.0, "higher", r"Say it: mmlu=higher:250 "),
        (6.5, "higher:5", r"value 6.5, above its best possible one, 5\. .* mmlu=higher:7, or more"),
        (-1.0, "lower", r"value -1, below its best possible one, 0\. .* mmlu=lower:-1, or less"),
    ):
        with pytest.raises(DataError, match=words):
            with_metrics(replace(runs, metrics={"mmlu": np.full(20, value)}), {"mmlu": wish})


def test_rewards_of_any_range_are_distances_from_the_best_one() -> None:
    runs = replace(runs_with_accuracy(), metrics={"reward": np.linspace(-4.0, 3.0, 20)})
    assert with_metrics(runs, {"reward": "higher:5"}).losses_RJ[:, 2] == pytest.approx(5 - runs.metrics["reward"])
    assert with_metrics(runs, {"reward": "lower:-4"}).losses_RJ[:, 2] == pytest.approx(4 + runs.metrics["reward"])


def test_a_value_with_a_larger_standard_error_weighs_less() -> None:
    runs = runs_with_accuracy()
    errors = np.full(20, 0.01)
    errors[3], errors[4], errors[5] = 0.04, 0.0, np.nan
    table = with_metrics(replace(runs, errors={"mmlu": errors}), {"mmlu": "higher"})
    assert table.worth_RJ is not None and (table.worth_RJ[:, :2] == 1).all()
    assert table.worth_RJ[3, 2] == pytest.approx(1 / 16) and table.worth_RJ[4, 2] == table.worth_RJ[5, 2] == 1
    spoilt = np.array(runs.metrics["mmlu"])
    spoilt[3] -= 0.05
    noisy = replace(runs, metrics={"mmlu": spoilt})
    truth = 1 - runs.metrics["mmlu"]
    off = {}
    for known in (True, False):
        given = replace(noisy, errors={"mmlu": errors} if known else {})
        fit = fit_law(with_metrics(given, {"mmlu": "higher"}), "additive")
        off[known] = np.abs(fit.predict(runs).mean[:, 2] - truth).mean()
    assert off[True] <= off[False]
