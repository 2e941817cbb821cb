import math

import numpy as np
import pytest

from mixlaw.evaluate.agreement import Evaluated, agreement
from mixlaw.evaluate.confirmation import mean_interval, summarise

SEED_NOISE = np.array([[0.3, -0.2], [-0.4, 0.1], [0.1, 0.1]])


def losses(**means):
    return {name: np.array(mean) + SEED_NOISE for name, mean in means.items()}


def test_differences_are_paired_by_seed():
    found = summarise(losses(solution=[1.0, 2.0], equal=[1.1, 2.0]), ["a", "b"], {"a": 1, "b": 1})
    difference = found["mixtures"]["equal"]["minus_solution"]
    # The seeds' noise is .3 nats and common to both: paired, nothing of it is left.
    assert difference["mean"] == pytest.approx(0.1) and difference["high"] - difference["low"] < 1e-9
    assert difference["seeds_higher"] == 3
    assert found["mixtures"]["equal"]["total"]["high"] - found["mixtures"]["equal"]["total"]["mean"] > 0.1


def test_the_gap_to_the_best_is_named_in_nats_percent_and_perplexity():
    found = summarise(losses(solution=[1.0, 2.0], equal=[0.9, 2.0], natural=[1.3, 1.6]), ["a", "b"], {"a": 1, "b": 1})
    assert found["best"] == "equal" or found["best"] == "natural"
    gap = found["gap_to_best"]
    assert gap["total_nats"]["mean"] == pytest.approx(0.1)
    assert gap["own_best_perplexity_percent"] == pytest.approx(
        {"a": 100 * (math.exp(0.1) - 1), "b": 100 * (math.exp(0.4) - 1)}
    )
    assert found["mixtures"]["solution"]["losses"]["a"]["perplexity"] == pytest.approx(math.e)


def test_the_objectives_weights_make_the_total():
    found = summarise(losses(solution=[1.0, 2.0], equal=[1.5, 1.0]), ["a", "b"], {"a": 1.0})
    assert found["best"] == "solution" and found["gap_to_best"]["total_nats"]["mean"] == 0
    assert found["mixtures"]["equal"]["total"]["mean"] == pytest.approx(1.5)


def test_one_seed_has_no_interval_and_three_have_the_t_interval():
    assert mean_interval(np.array([1.0])) == {"mean": 1.0, "low": None, "high": None}
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert found["high"] - found["mean"] == pytest.approx(2.9199856 / math.sqrt(3))  # t(.95, 2) s / sqrt(n)


def test_agreement_says_how_loss_ranks_models():
    models = [
        Evaluated(f"r{i}", {"a": 2 - 0.1 * i, "b": 1 + 0.1 * i}, {"task": 0.2 + 0.05 * i, "flat": 0.5})
        for i in range(6)
    ]
    found = agreement(models)
    task = found["tasks"]["task"]
    assert found["models"] == 6 and task["spearman"] == pytest.approx({"a": 1.0, "b": -1.0})
    assert task["best_target"] == "a" and (task["lowest"], task["highest"]) == (0.2, 0.45)
    assert found["tasks"]["flat"]["spearman_total"] is None  # all alike: there is nothing to rank
    assert agreement(models[:3])["tasks"]["task"]["spearman_total"] is None


def test_with_one_seed_a_difference_scatters_as_two_runs_do():
    runs = {"solution": np.array([[1.0, 2.0]]), "equal": np.array([[1.1, 1.9]])}
    weights = {"a": 1.0, "b": 2.0}
    found = summarise(runs, ["a", "b"], weights, {"a": 0.03, "b": 0.04})["mixtures"]["equal"]
    half = 1.6448536 * math.sqrt(2)
    a = found["minus_solution_by_target"]["a"]
    assert (a["low"], a["high"]) == pytest.approx((0.1 - half * 0.03, 0.1 + half * 0.03))
    total = found["minus_solution"]
    assert total["high"] - total["mean"] == pytest.approx(half * math.hypot(0.03, 2 * 0.04))
    without = summarise(runs, ["a", "b"], weights)["mixtures"]["equal"]["minus_solution"]
    assert without["low"] is None and without["mean"] == pytest.approx(-0.1)
