from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.fit import Belief
from mixlaw.report.answer import answer, cost
from mixlaw.report.comparison import Change, base_level, total_changes
from mixlaw.solve.solving import solve_mixture
from report_examples import example


def test_the_answer_names_shares_budget_gain_and_interval(material):
    _, fit, solution = material
    sentence, beside = answer(fit, solution)
    change = total_changes(fit, solution)["natural"]
    assert sentence.startswith("Train on ") and "at 4M tokens: total loss " in sentence
    assert f"{-100 * change.mean:.1f} % (" in sentence and sentence.endswith(" below your natural mix.")
    assert any("equal weights" in text for text in beside)
    assert beside[-1] == "Predicted from 13 runs; all intervals are 90 % intervals."


def test_shares_in_the_sentence_sum_to_a_hundred_and_many_domains_are_counted():
    _, fit = example([f"d{i}" for i in range(20)])
    sentence, _ = answer(fit, solve_mixture(fit, 2e7))
    shares = [int(word) for word, after in zip(sentence.split(), sentence.split()[1:], strict=False) if after == "%"
              and word.isdigit()]  # fmt: skip
    assert sum(shares) == 100 and len(shares) <= 6 and "others" in sentence


def test_a_gain_whose_interval_holds_zero_is_called_not_shown():
    _, fit = example(["a", "b"], spread=0.0)
    solution = solve_mixture(fit, 2e6)
    wide = {}
    for name, target in fit.targets.items():
        sign = 1 if name == max(solution.weights, key=lambda d: solution.weights[d]) else -1
        draws = np.repeat(target.curve.theta_P[None], 101, axis=0)
        draws[:, 0] *= 1 + sign * np.linspace(-0.9, 0.9, 101)
        curve = replace(target.curve, draws_SP=draws)
        wide[name] = replace(target, belief=Belief((curve,), np.zeros(101)))
    unsure = replace(fit, targets=wide)
    change = total_changes(unsure, solution)["equal"]
    assert change.low < 0 < change.high
    assert "no gain is shown" in answer(unsure, solution)[0]


def test_a_fit_without_uncertainty_claims_no_interval():
    _, fit = example(["a", "b"], spread=0.0)
    sentence, beside = answer(fit, solve_mixture(fit, 2e6))
    assert "interval unknown" in sentence and "gives no intervals" in " ".join(beside)


def test_a_specialised_model_is_named_by_its_target():
    _, fit = example(["a", "b"])
    sentence, _ = answer(fit, solve_mixture(fit, 2e6, target_weight={"a": 1.0}))
    assert ": a loss " in sentence


def test_without_a_solution_the_answer_says_what_to_do_next(material):
    sentence, beside = answer(material[1], None)
    assert "13 runs" in sentence and "mixlaw solve" in beside[0]


def test_a_change_is_sure_only_on_one_side_of_zero():
    assert Change(-0.02, -0.03, -0.01, -0.02).sure
    assert not Change(-0.02, -0.03, 0.01, -0.02).sure
    assert not Change(-0.02, -0.02, -0.02, -0.02).sure


def test_the_interval_of_the_change_holds_the_change_recomputed_by_hand(material):
    _, fit, solution = material
    best = fit.predict(solution.tokens).mean.sum()
    equal = fit.predict(dict.fromkeys(fit.domains, 4e6 / 3)).mean.sum()
    change = total_changes(fit, solution)["equal"]
    assert change.mean == pytest.approx(best / equal - 1, abs=1e-6)
    assert change.low <= change.mean <= change.high


def test_the_cost_counts_all_runs(material):
    runs = material[0]
    spent = cost(runs, {"wall_s": 60})
    assert spent == {"runs": 13, "tokens": float(runs.tokens_RK.sum()), "wall_s": 60.0}


def test_the_base_level_is_the_one_that_most_runs_share():
    assert base_level(np.array([1e6, 1e6, 1.01e6, 3e6, 0.0])) == 1e6
    assert base_level(np.zeros(3)) == 0.0
