"""Runs for the decision: the expected regret is what refits find, falls with every run, and guides the choice."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.design import space_filling_design
from mixlaw.design.decision import decision_for, expected_regret, next_runs, regret_curve
from mixlaw.design.knowledge import Knowledge, laws_for

DOMAINS = ("a", "b", "c")
EQUAL = dict.fromkeys(DOMAINS, 1 / 3)
LAWS = laws_for("transfer", DOMAINS, DOMAINS)


def knowledge(noise_nats: float = 0.004, **known) -> Knowledge:
    return Knowledge(LAWS, 660_000, noise_nats=noise_nats, **known)


def regret_after(mixtures: list, budget: float = 20e6) -> float:
    decision = decision_for(knowledge(done=mixtures), EQUAL, budget)
    return expected_regret(decision.choice.posteriors(), decision.regret_factors())


def test_every_run_lowers_the_expected_regret() -> None:
    decision = decision_for(knowledge(), EQUAL, 20e6)
    mixtures, regret = next_runs(decision, 8)
    assert len(mixtures) == 8
    assert np.all(np.diff(regret) <= 0)
    assert regret[-1] < 0.05 * regret[0]


def test_runs_for_the_decision_beat_filling_the_space_at_equal_tokens() -> None:
    filling = [tokens for _, tokens in space_filling_design(DOMAINS, 660_000, 9)]
    spent = sum(sum(tokens.values()) for tokens in filling)
    decision = decision_for(knowledge(), EQUAL, 20e6)
    mixtures, _ = next_runs(decision, 18, most_tokens=spent)
    assert sum(sum(tokens.values()) for tokens in mixtures) <= spent
    assert regret_after(mixtures) < regret_after(filling)


def test_caps_and_a_limit_on_tokens_hold() -> None:
    caps = {"a": 300_000, "b": 1e12, "c": 1e12}
    decision = decision_for(knowledge(), EQUAL, 20e6, caps=caps)
    mixtures, regret = next_runs(decision, 20, most_tokens=5e6)
    assert 0 < len(mixtures) < 20
    assert len(regret) == len(mixtures) + 1
    assert all(tokens["a"] <= 300_000 for tokens in mixtures)
    assert sum(sum(tokens.values()) for tokens in mixtures) <= 5e6


def test_the_curve_of_a_plan_falls_and_starts_from_nothing() -> None:
    mixtures = [tokens for _, tokens in space_filling_design(DOMAINS, 660_000, 13)]
    curve = regret_curve(knowledge(), mixtures, 200e6)
    assert len(curve) == 14
    assert np.all(np.diff(curve) <= 1e-12)
    assert curve[0] == pytest.approx(regret_after([], 200e6), rel=0.2)
    assert curve[-1] == pytest.approx(regret_after(mixtures, 200e6), rel=1e-6)


def test_a_larger_noise_leaves_more_regret() -> None:
    mixtures = [tokens for _, tokens in space_filling_design(DOMAINS, 660_000, 13)]
    few, many = (regret_curve(knowledge(noise_nats=sd), mixtures, 20e6)[-1] for sd in (0.001, 0.01))
    assert few < 0.3 * many
