"""What `experiments.beyond` says of a law: nothing of one that is right, and much of one that sees no difference."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from experiments.beyond import run as beyond

GROUP = beyond.GROUPS["SmolLM2, LoRA, 160k"]


@pytest.fixture(scope="module")
def runs():
    return pd.read_parquet(beyond.SWARM).query("part == 1")


def figures(runs, monkeypatch, law):
    """Return the group's figures by a law: a function of (R, J) true losses that gives predicted ones."""
    measured = runs[runs.experiment == GROUP.measured[0]]
    rows = [
        (one.set_index("domain").tokens.to_dict(), one.set_index("domain").loss.to_dict())
        for _, one in measured.groupby("spec")
    ]

    def predict(asked):
        found = [next(loss for tokens, loss in rows if _near(tokens, wish)) for wish in asked]
        targets = tuple(asked[0])
        mean = law(np.array([[loss[target] for target in targets] for loss in found]))
        draws = mean * (1 + 0.001 * np.random.default_rng(0).standard_normal((200, *mean.shape)))
        return SimpleNamespace(mean=mean, low=mean - 0.01, high=mean + 0.01, draws=draws, targets=targets)

    monkeypatch.setattr(beyond.mixlaw, "fit", lambda table, law: SimpleNamespace(predict=predict, table=table))
    return beyond.of_group(runs, GROUP)


def _near(tokens, wish):
    return all(abs(tokens[name] - n) < 1 for name, n in wish.items())


def test_a_law_that_is_right_has_no_error_and_bounds_that_hold(runs, monkeypatch):
    found = figures(runs, monkeypatch, lambda true: true)
    assert found["error_percent"] == 0 and found["covered_percent"] == 100
    for side in ("rise", "fall"):
        assert found[side]["predicted_percent"] == pytest.approx(found[side]["measured_percent"], abs=0.05)
        assert found[side]["within_bound_percent"] > 95
    assert found["rise"]["measured_percent"] > 0 > found["fall"]["measured_percent"]


def test_a_law_that_sees_no_difference_has_bounds_that_do_not_hold(runs, monkeypatch):
    found = figures(runs, monkeypatch, lambda true: np.broadcast_to(true.mean(axis=0), true.shape))
    assert abs(found["bias_percent"]) < 0.2 < found["error_percent"]
    assert abs(found["rise"]["predicted_percent"]) < 0.1 and found["rise"]["within_bound_percent"] < 30


def test_the_base_model_is_the_one_of_the_same_held_out_rows(runs):
    small = runs[(runs.experiment == "gain") & (runs.study == "7/study")]
    without = small[small.tokens.groupby(small.spec).transform("sum") > 0]
    table, whole = beyond._with_base(without, runs), beyond._with_base(small, runs)
    assert (table.totals_R == 0).sum() == 1 == (whole.totals_R == 0).sum()
    here, there = (x.losses_RJ[x.totals_R == 0][0] for x in (table, whole))
    np.testing.assert_allclose(here, there)


def test_mixtures_of_one_name_are_asked_for_one_by_one(runs, monkeypatch):
    group, asked = beyond.GROUPS["the demo's goal, 300k"], []
    here = runs[runs.experiment == "gain"]
    solved = here[(here.study == "1/study/confirmation") & here.run.str.startswith("solution-300k-s0")]
    done = solved.pivot(index="spec", columns="domain", values="tokens")
    assert len(done) > 1

    def predict(mixtures):
        asked.extend(mixtures)
        flat = np.ones((len(mixtures), 3))
        return SimpleNamespace(mean=flat, low=flat, high=flat, draws=flat[None], targets=tuple(mixtures[0]))

    monkeypatch.setattr(beyond.mixlaw, "fit", lambda table, law: SimpleNamespace(predict=predict))
    list(beyond.of_study(runs, here[here.study == "1/study"], group, "1/study"))
    for _, tokens in done.iterrows():
        assert any(all(abs(wish[name] - n) < 1000 for name, n in tokens.items()) for wish in asked)
