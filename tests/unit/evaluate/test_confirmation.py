import math

import numpy as np
import pytest

from mixlaw.evaluate.agreement import Evaluated, agreement
from mixlaw.evaluate.confirmation import difference, limits, mean_interval, summarise

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


@pytest.mark.parametrize("sds", [(0.02, 0.02, 0.02), (0.02, 0.015, 0.03), (0.03, 0.03, 0.015)])
def test_the_scatter_of_all_mixtures_makes_intervals_that_hold_and_are_narrower_than_one_pairs(sds):
    chance = np.random.default_rng(5)
    held, pooled, alone = [], [], []
    for _ in range(1500):
        common_S = chance.normal(0, 0.1, 2)  # of a seed, in all mixtures
        values = {
            name: mean + common_S + chance.normal(0, sd, 2)
            for name, mean, sd in zip(("solution", "equal", "natural"), (1.0, 1.1, 1.2), sds, strict=True)
        }
        found = difference(values, "equal", "solution")
        held.append(found["low"] <= 0.1 <= found["high"])
        pooled.append(found["high"] - found["low"])
        pair = difference({name: values[name] for name in ("equal", "solution")}, "equal", "solution")
        alone.append(pair["high"] - pair["low"])
    assert 0.85 <= np.mean(held) <= 0.96
    # Two seeds: t(.95, 2) = 2.9 instead of t(.95, 1) = 6.3.
    assert np.mean(pooled) < 0.75 * np.mean(alone)


def test_each_target_says_who_gains_and_whether_it_is_more_than_noise():
    found = summarise(losses(solution=[1.0, 2.0], equal=[1.1, 1.9]), ["a", "b"], {"a": 1, "b": 0})
    by_target = found["mixtures"]["equal"]["minus_solution_by_target"]
    assert by_target["a"]["mean"] == pytest.approx(0.1) and by_target["b"]["mean"] == pytest.approx(-0.1)
    assert by_target["a"]["beyond_interval"] and by_target["b"]["beyond_interval"]
    noisy = summarise({"solution": SEED_NOISE, "equal": SEED_NOISE[::-1] + 0.01}, ["a", "b"], {"a": 1, "b": 1})
    assert not noisy["mixtures"]["equal"]["minus_solution_by_target"]["a"]["beyond_interval"]
    one = summarise({"solution": SEED_NOISE[:1], "equal": SEED_NOISE[:1] + 1}, ["a", "b"], {"a": 1, "b": 1})
    assert one["mixtures"]["equal"]["minus_solution"]["low"] is None
    assert not one["mixtures"]["equal"]["minus_solution"]["beyond_interval"]
    both, noise = {"solution": SEED_NOISE[:1], "equal": SEED_NOISE[:1] + 1}, {"a": 0.1, "b": 7.0}
    known = summarise(both, ["a", "b"], {"a": 1}, noise)
    found = known["mixtures"]["equal"]["minus_solution"]
    assert found["high"] - found["mean"] == pytest.approx(1.6448536 * math.sqrt(2) * 0.1) and found["beyond_interval"]


def judged(losses, base, floor, no_worse, reference):
    """Return (target, reference) -> (measured percent, kept)."""
    found = limits(losses, base, floor, no_worse, reference)
    return {(one["target"], one["reference"]): (one["measured_percent"], one["kept"]) for one in found}


def test_limits_are_judged_by_what_was_trained():
    losses = {"solution": {"a": 1.0, "b": 2.1, "c": 3.0}, "equal": {"a": 1.2, "b": 2.0, "c": 3.0}}
    found = judged(losses, {"c": 6.0}, {"a": 0.9, "b": 3.0}, {"b": 4.0}, "equal")
    assert found[("b", "equal")] == (pytest.approx(5.0), False)
    assert found[("a", None)] == (pytest.approx(100 / 9), False)
    assert found[("b", None)] == (pytest.approx(-30.0), True)  # both limits of b are judged
    assert judged(losses, {}, {}, {"b": 6.0}, "equal")[("b", "equal")][1]
    assert judged(losses, {"c": 6.0}, {}, {"c": -40.0}, "base") == {("c", "base"): (pytest.approx(-50.0), True)}


def test_a_limit_says_how_surely_it_was_foretold_to_be_kept():
    losses = {"solution": {"b": 2.1}, "equal": {"b": 2.0}}
    foretold = [
        {"target": "b", "reference": "equal", "probability_kept": 0.56},
        {"target": "b", "reference": None, "probability_kept": 0.97},
    ]
    found = limits(losses, {}, {"b": 3.0}, {"b": 4.0}, "equal", foretold)
    assert [(one["reference"], one["probability_kept"]) for one in found] == [(None, 0.97), ("equal", 0.56)]
    assert limits(losses, {}, {}, {"b": 4.0}, "equal")[0]["probability_kept"] is None


@pytest.mark.parametrize("reference", ["natural", "base", {"a": 0.5, "b": 0.5}])
def test_a_limit_that_nothing_judges_is_said(reference):
    losses = {"solution": {"a": 1.0, "b": 2.1}, "equal": {"a": 1.2, "b": 2.0}}
    assert list(judged(losses, {}, {}, {"b": 6.0}, reference).values()) == [(None, None)]


def test_metrics_and_losses_beyond_any_number_have_no_perplexity():
    rows = losses(solution=[1.0, 5000.0], equal=[1.1, 6000.0])
    mixed = summarise(rows, ["a", "metric:speed"], {"a": 1, "metric:speed": 1})
    assert mixed["mixtures"]["equal"]["mean_perplexity"]["mean"] == pytest.approx(math.exp(1.1), rel=0.1)
    assert math.isnan(mixed["mixtures"]["equal"]["losses"]["metric:speed"]["perplexity"])
    assert list(mixed["gap_to_best"]["own_best_perplexity_percent"]) == ["a"]
    lost = summarise(rows, ["a", "b"], {"a": 1, "b": 1})
    assert math.isnan(lost["mixtures"]["equal"]["mean_perplexity"]["mean"])
    assert math.isnan(lost["mixtures"]["equal"]["losses"]["b"]["perplexity"])
