"""How much runs scatter: as a study's fit says, or its repeats, or as is assumed and said."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.api.noise import measured_noise, noise_of_repeats
from mixlaw.api.sweep import Plan
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.study.store import Study


def record(name: str, tokens: int, seed: int, losses: dict[str, float], role: str = "proxy") -> RunRecord:
    spec = RunSpec(name, {"a": tokens}, seed, role=role)
    found = {target: TargetLoss(100 * loss, 100) for target, loss in losses.items()}
    return RunRecord(spec, {"a": tokens}, {"a": tokens}, {"a": tokens}, found, 1, 1)


def test_repeats_tell_the_scatter_of_each_target_around_its_own_mean() -> None:
    rng = np.random.default_rng(0)
    runs = [
        record(f"{tokens}-{seed}", tokens, seed, {"a": 1 + rng.normal(0, 0.02), "b": 5 + rng.normal(0, 0.02)})
        for tokens in (1000, 3000)
        for seed in range(100)
    ]
    assert noise_of_repeats(runs) == pytest.approx(0.02, rel=0.15)  # sd of the estimate: 4 %
    two = [record("x", 10, 0, {"a": 1.0}), record("y", 10, 1, {"a": 1.02})]
    assert noise_of_repeats(two) == pytest.approx(0.02 / np.sqrt(2))


def test_runs_of_different_mixtures_and_confirmation_runs_are_no_repeats() -> None:
    assert noise_of_repeats([]) is None
    assert noise_of_repeats([record("x", 10, 0, {"a": 1.0}), record("y", 11, 1, {"a": 2.0})]) is None
    assert noise_of_repeats([record(n, 10, i, {"a": i + 1.0}, "confirmation") for i, n in enumerate("xy")]) is None


def test_a_fit_of_the_study_comes_first_and_one_that_cannot_be_read_is_passed_over(tmp_path) -> None:
    study = Study(tmp_path / "study")
    study.create()
    assert measured_noise(study) is None
    tokens = np.geomspace(1e5, 9e5, 9)[:, None]
    losses = 0.5 * (tokens / 1e6) ** -0.2 + 1 + 0.03 * np.random.default_rng(1).standard_normal((9, 1))
    fit = fit_law(RunTable(tuple("abcdefghi"), ("a",), ("a",), tokens, losses), "transfer")
    fit.save(study.folder / "fit.json")
    assert measured_noise(study) == pytest.approx(fit.targets["a"].noise_nats)
    (study.folder / "fit.json").write_text("{}")
    assert measured_noise(study) is None


def test_a_plan_says_what_scatter_its_regret_rests_on() -> None:
    assumed = Plan([], [], [], None)
    assert assumed.regret_title == "Expected regret at the budget, if runs scatter by 0.01 nats (assumed)"
    measured = Plan([], [], [], None, noise_nats=0.0123, noise_measured=True)
    assert measured.regret_title == "Expected regret at the budget, with runs that scatter by 0.012 nats (measured)"
    assert measured.to_json()["noise"] == {"nats": 0.0123, "measured": True}
    assert all(len(plan.regret_title) <= 80 for plan in (assumed, measured))
