"""The base model's losses are fitted where they lie on the curve, and left out, said, where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.base_model import base_losses
from mixlaw.fit.choosing.base_model import base_left_out
from mixlaw.fit.choosing.bootstrap import bootstrap_ratios
from mixlaw.laws import find
from mixlaw.laws.pairwise import Pairwise
from quick_fits import few_folds, none_held_out, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with none_held_out(), short_draws():
        yield


SIZES = np.r_[0.0, 20.0 * 2.0 ** np.arange(8)]
LAW = Pairwise(("task",), "task")


def curve(base: float | None = None) -> RunTable:
    """Runs of a planted curve; the first, of no tokens, has another loss where one is given."""
    losses = LAW.predict(np.array([9.0, 60.0, 1.0, 0.2, 0.4]), SIZES[:, None])
    losses += 0.002 * np.random.default_rng(0).standard_normal(len(losses))
    losses[0] = losses[0] if base is None else base
    names = tuple(f"r{i}" for i in range(len(SIZES)))
    return RunTable(names, ("task",), ("task",), 1e6 * SIZES[:, None], losses[:, None])


def test_a_base_model_on_the_curve_stays() -> None:
    runs = curve()
    assert base_left_out(runs, find("pairwise")) == ((), "")
    fit = fit_law(runs, "pairwise")
    assert fit.fits_base and "base model" not in fit.choice
    # 4.43 nats; without the run the draws leave it open by more than that.
    assert fit.predict(np.zeros((1, 1))).mean[0, 0] == pytest.approx(runs.losses_RJ[0, 0], abs=0.02)


def test_a_base_model_that_first_has_to_learn_the_form_is_left_out_and_that_is_said() -> None:
    runs = curve(base=9.0)
    left, said = base_left_out(runs, find("pairwise"))
    assert left == ("task",) and "are not fitted" in said
    fit, without = fit_law(runs, "pairwise"), fit_law(runs.take(runs.totals_R > 0), "pairwise")
    assert not fit.fits_base and fit.choice == said
    assert fit.parameters == without.parameters
    assert not any("without tokens" in text for text in fit.warnings)
    # It is the reference of what is forgotten all the same, also after the fit was stored.
    assert Fit.from_json(fit.to_json()).base == fit.base == {"task": 9.0}
    assert not Fit.from_json(fit.to_json()).kind.knows_base
    assert np.isfinite(bootstrap_ratios(fit, samples=2)).all()


def two(base: float) -> RunTable:
    """The planted curve twice, with other noise; the first target's base model has another loss."""
    runs, noise = curve(), 0.002 * np.random.default_rng(3).standard_normal((len(SIZES), 2))
    losses = runs.losses_RJ + noise
    losses[0, 0] = base
    return replace(runs, targets=("form", "task"), losses_RJ=losses)


def test_a_base_model_that_is_off_the_curve_for_one_target_is_left_out_for_it_alone() -> None:
    runs = two(base=9.0)
    left, said = base_left_out(runs, find("pairwise"))
    assert left == ("form",) and "losses of form are not fitted" in said
    fit, alone = fit_law(runs, "pairwise"), fit_law(replace(runs, targets=("task",), losses_RJ=runs.losses_RJ[:, 1:]))
    assert fit.fits_base and fit.base_left_out == ("form",)
    assert fit.predict(np.zeros((1, 1))).mean[0, 1] == pytest.approx(runs.losses_RJ[0, 1], abs=0.03)
    assert alone.base_left_out == ()
    # What was left out is known of the stored fit, which says the same to the digit.
    again = Fit.from_json(fit.to_json())
    assert again.base_left_out == fit.base_left_out and again.base == fit.base
    asked = np.array([[1e6], [1e10]])
    assert np.array_equal(again.predict(asked).low, fit.predict(asked).low)
    assert np.isfinite(bootstrap_ratios(fit, samples=2)).all()


def test_files_of_earlier_versions_left_it_out_for_all_targets_or_for_none() -> None:
    old = fit_law(two(base=9.0), "pairwise").to_json()
    del old["base_left_out"]
    assert Fit.from_json(old | {"fits_base": False}).base_left_out == ("form", "task")
    assert Fit.from_json(old | {"fits_base": True}).base_left_out == ()


def test_of_many_targets_some_decide_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlaw.fit.choosing.base_model._EACH", 1)
    monkeypatch.setattr("mixlaw.fit.choosing.base_model._DECIDING", 1)
    assert base_left_out(two(base=9.0), find("pairwise"))[0] == ("form", "task")


def test_auto_says_that_the_law_it_took_knows_no_base_model() -> None:
    tokens = 1e5 * (1 + np.random.default_rng(1).random((14, 2)))
    tokens[0] = 0.0
    losses = 1 + 2 * (20 + tokens[:, ::-1] * 0.001 + tokens * 0.01) ** -0.3
    runs = RunTable(tuple(f"r{i}" for i in range(14)), ("a", "b"), ("a", "b"), tokens, losses)
    runs = replace(runs, losses_RJ=losses + 0.01 * np.random.default_rng(2).standard_normal(losses.shape))
    with few_folds(3):
        fit = fit_law(runs)
    if fit.law == "transfer":
        assert "says nothing of the base model" in fit.choice or "are not fitted" in fit.choice
    assert not any("without tokens" in text for text in fit.warnings)


def test_a_table_without_base_model_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlaw.fit.choosing.base_model.relative_errors", None)
    runs = curve()
    assert base_left_out(runs.take(runs.totals_R > 0), find("pairwise")) == ((), "")
    assert base_left_out(runs, find("transfer")) == ((), "")


def test_the_base_losses_are_those_of_the_asked_size_and_the_mean_of_repeats() -> None:
    tokens = np.array([[0.0], [0.0], [0.0], [5.0]])
    losses = np.array([[3.0, np.nan], [4.0, np.nan], [2.0, 1.0], [1.0, 1.0]])
    runs = RunTable(("a", "b", "c", "d"), ("x",), ("x", "y"), tokens, losses)
    assert base_losses(runs) == {"x": 3.0, "y": 1.0}
    sized = replace(runs, params_R=np.array([1e9, 1e9, 7e9, 7e9]))
    assert base_losses(sized, 1e9) == {"x": 3.5}
    assert base_losses(sized, 3e9) == {}
