"""Switches that compare errors on held-out mixtures act just beyond their threshold, and not just before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.choosing import repetition
from mixlaw.fit.choosing.choice import simplest_good, told_apart
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.estimating import pairwise
from mixlaw.fit.estimating.pairwise_point import Target, fit_points
from mixlaw.fit.estimating.pairwise_problem import PairwiseProblem
from mixlaw.laws import LawKind, find

DOMAINS = ("a", "b")
RUNS = 16
TOKENS = np.exp(np.random.default_rng(0).normal(0, 0.7, (RUNS, 2))) * 1e6
# Mean 0 and standard error exactly 1: a law whose errors are m + WAVE times a unit is m standard errors worse.
WAVE = np.where(np.arange(RUNS) % 2, 1.0, -1.0)
WAVE *= np.sqrt(RUNS) / WAVE.std(ddof=1)
UNIT = 1e-4


def table(unique: np.ndarray | None = None) -> RunTable:
    names = tuple(f"r{i}" for i in range(RUNS))
    return RunTable(names, DOMAINS, DOMAINS, TOKENS, np.ones((RUNS, 2)), unique_RK=unique)


def row(name: str, standard_errors: float) -> LawRow:
    """Figures of a law whose relative error is so many standard errors above that of a law without WAVE."""
    errors = 0.05 + UNIT * (standard_errors + WAVE) if standard_errors else np.full(RUNS, 0.05)
    return LawRow(name, np.repeat(1 + errors[:, None], 2, axis=1), float(errors.mean()))


@pytest.mark.parametrize(("standard_errors", "apart"), [(0.95, False), (1.05, True), (-0.95, False), (-1.05, True)])
def test_two_laws_are_told_apart_from_one_standard_error_on(standard_errors: float, apart: bool) -> None:
    assert told_apart(row("pairwise", standard_errors), row("transfer", 0), table()) is apart
    assert told_apart(row("transfer", 0), row("pairwise", standard_errors), table()) is apart


@pytest.mark.parametrize(("standard_errors", "chosen"), [(0.95, "simple"), (1.05, "rich")])
def test_the_simple_law_is_chosen_up_to_one_standard_error(standard_errors: float, chosen: str) -> None:
    assert simplest_good([row("simple", standard_errors), row("rich", 0)], table())[0] == chosen


@pytest.mark.parametrize(("standard_errors", "counted"), [(0.45, False), (0.55, True), (-0.55, False)])
def test_repeats_count_for_less_from_half_a_standard_error_on(
    standard_errors: float, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = table(TOKENS / 3)

    def held_out(asked: RunTable, law: LawKind) -> LawRow:
        return row(law.name, standard_errors if np.array_equal(asked.tokens_RK, TOKENS) else 0)

    monkeypatch.setattr("mixlaw.fit.choosing.held_out.held_out", held_out)
    decay, sentence = repetition.find_decay(runs, find("transfer"), "auto")
    assert np.isfinite(decay) is np.bool_(counted)
    assert ("decay R*" in sentence) is counted


@pytest.mark.parametrize(("standard_errors", "pays"), [(0.45, False), (0.55, True), (-0.55, False)])
def test_interference_pays_from_half_a_standard_error_on(
    standard_errors: float, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # losses that differ fivefold: it is relative errors that count
    losses = np.repeat(np.geomspace(1, 5, RUNS)[:, None], 2, axis=1)
    runs = replace(table(), losses_RJ=losses)
    errors, asked = 0.05 + UNIT * (standard_errors + WAVE), []

    def predicted(fit: Target, kept: PairwiseProblem, held: PairwiseProblem) -> np.ndarray:
        asked.append(len(held.losses_R))
        assert not set(map(float, kept.losses_R)) & set(map(float, held.losses_R))
        rows = np.searchsorted(losses[:, 0], held.losses_R)
        # too high for some runs, too low for others
        away = np.where(rows % 3, 1, -1) * (0.05 if fit.problem.interference else errors[rows])
        return held.losses_R * (1 + away)

    monkeypatch.setattr(pairwise, "_without", predicted)
    without, with_ = (dict(enumerate(fit_points(runs, 1e6, switch))) for switch in (False, True))
    assert (pairwise._gain(runs, without, with_) > pairwise._PAYS) is pays
    assert sorted(asked) == sorted(4 * [4, 3, 3, 3, 3])  # two targets, with and without, in five parts
    # with fewer mixtures than twice those that a curve needs, too few are left
    assert pairwise._gain(runs.take(np.arange(7)), without, with_) == 0


@pytest.mark.parametrize(
    ("epochs", "said", "asked"),
    [(1.01, "", False), (1.03, "to tell", False), (1.38, "to tell", False), (1.42, "show nothing else", True)],
)
def test_repeats_are_spoken_of_from_two_percent_on_and_judged_where_a_twentieth_is_at_stake(
    epochs: float, said: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def held_out(asked: RunTable, law: LawKind) -> LawRow:
        called.append(law)
        return row(law.name, 0)

    monkeypatch.setattr("mixlaw.fit.choosing.held_out.held_out", held_out)
    decay, sentence = repetition.find_decay(table(TOKENS / epochs), find("transfer"), "auto")
    assert np.isinf(decay) and said in sentence and bool(sentence) == bool(said)
    assert bool(called) is asked


def test_a_law_is_compared_with_the_mean_of_the_other_mixtures() -> None:
    """Every run of a held-out mixture is held out: its own loss must not be in the mean that predicts it."""
    rng = np.random.default_rng(2)
    mixtures = np.repeat(TOKENS[:10], 2, axis=0)
    losses = 2 + rng.random((20, 2))
    runs = RunTable(tuple(f"r{i}" for i in range(20)), DOMAINS, DOMAINS, mixtures, losses)
    for law in ("transfer", "chinchilla", "ridge"):
        found = fit_law(runs, law=law)
        for j, target in enumerate(DOMAINS):
            errors = []
            for i in range(20):
                others = np.arange(20) // 2 != i // 2
                errors.append(abs(losses[others, j].mean() - losses[i, j]) / losses[i, j])
            assert found.targets[target].cv_mre_mean == pytest.approx(np.mean(errors), rel=1e-9)
