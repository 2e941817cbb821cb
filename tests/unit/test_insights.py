"""What the insights say, from made-up tables whose answer is known."""

import numpy as np
import pytest
from experiments.insights import run as insights
from experiments.insights.run import helps, overlap, related, repeats

from mixlaw.core.runtable import RunTable


def test_help_is_how_far_a_loss_falls_below_the_base_models(tmp_path):
    rows = {"base": (4.0, 4.0), "all-a": (2.0, 3.0), "all-b": (5.0, 3.5), "equal": (3.0, 3.0)}
    tokens = np.array([[0.0, 0], [10, 0], [0, 10], [5, 5]])
    names = tuple(f"{name}@1k#0" for name in rows)
    RunTable(names, ("a", "b"), ("a", "b"), tokens, np.array(list(rows.values()))).to_csv(tmp_path / "grid.csv")
    found = helps(tmp_path / "grid.csv")
    assert found["help"] == {"a": {"a": 2.0, "b": -1.0}, "b": {"a": 1.0, "b": 0.5}} and found["tokens"] == 10


def test_shared_words_are_counted_on_other_rows_of_the_same_number_of_words(monkeypatch):
    same = [f"w{i} x{i} y{i}" for i in range(20)]
    found = overlap({"a": same, "b": same, "c": ["nothing of it"] * 20})["shares"]
    assert found["1"]["a"]["b"] == 1 and found["1"]["a"]["c"] == 0 and found["3"]["b"]["a"] == 1
    monkeypatch.setattr(insights, "WORDS", 12)
    found = overlap({"a": same, "b": same[:10] + ["other words of b"] * 10})["shares"]
    assert found["1"]["a"]["b"] == 0 and found["1"]["b"]["a"] == 0 and found["1"]["a"]["a"] == 0


def test_tables_that_go_together_are_found_and_others_are_not(monkeypatch):
    monkeypatch.setattr(insights, "SHUFFLES", 1_000)
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=(9, 9)), rng.normal(size=(9, 9))
    assert related(one, np.exp(one))["all"] == pytest.approx(1)
    assert related(one, one + 0.1 * noise)["all_by_chance"] < 0.01
    np.fill_diagonal(noise, np.nan)  # a domain's own cell stays its own cell in every shuffle
    assert related(one, noise)["all_by_chance"] > 0.05
    # What all sources do for a target is in the first correlation, and not in the one within targets.
    lifted = 10 * np.arange(9)[:, None]
    both = related(one + lifted, np.nan_to_num(noise) + lifted)
    assert both["all"] > 0.9 and abs(both["within"]) < 0.4


def test_a_repeated_row_is_worth_as_many_fresh_tokens_as_give_its_loss():
    # The loss falls by one for every halving: 100 tokens 0, 50 tokens 1, 25 tokens 2.
    losses = {("a", 100, 0): 0.0, ("a", 50, 0): 1.0, ("a", 25, 0): 2.0}
    losses |= {("a-x2", 100, 0): 0.5, ("a-x4", 100, 0): 3.0}
    found = repeats(losses)
    assert found["2"]["worth"] == pytest.approx(2**-0.5) and found["2"]["once"] == 1 and found["2"]["fresh"] == 0
    assert found["4"]["worth"] == pytest.approx(0.25)
