"""fit.json: every law and a fit that rests on two come back as they were; a law that is not known is named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from law_runs import TRANSFER, UNEVEN, run_table
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.held_out import of_targets
from mixlaw.laws import names, register, registry
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer
from quick_fits import few_folds, none_held_out, short_draws

FAR = 1e6 * np.array([[10.0, 2.0, 3.0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(2), short_draws():
        yield


def through_json(fit: Fit) -> Fit:
    return Fit.from_json(json.loads(json.dumps(fit.to_json())))


def assert_same(again: Fit, fit: Fit) -> None:
    assert again.to_json() == fit.to_json()
    for at in ("draws", "point"):
        mine, theirs = fit.predict(FAR, at=at), again.predict(FAR, at=at)
        for part in ("mean", "low", "high", "mean_low", "mean_high", "draws"):
            np.testing.assert_array_equal(getattr(theirs, part), getattr(mine, part))


@pytest.mark.parametrize("name", names())
def test_every_law_comes_back_as_it_was(name: str) -> None:
    if name == "gbdt":
        pytest.importorskip("lightgbm")
    runs = of_targets(run_table(Pairwise, UNEVEN, 20, 0.004), [0, 1])
    with none_held_out():
        fit = fit_law(runs, law=name)
    assert_same(through_json(fit), fit)


def test_a_fit_that_rests_on_two_laws_comes_back_with_both() -> None:
    with few_folds(10):
        fit = fit_law(run_table(Transfer, TRANSFER, 14, 0.02))
    assert fit.alternative
    again = through_json(fit)
    assert again.alternative == fit.alternative
    for name, fitted in fit.targets.items():
        for one, other in zip(fitted.belief.curves, again.targets[name].belief.curves, strict=True):
            assert one.law.name == other.law.name and one.scatter == other.scatter
            np.testing.assert_array_equal(one.draws_SP, other.draws_SP)
    assert_same(again, fit)


def test_a_law_that_is_not_known_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Chinchilla):
        name = "own"

    monkeypatch.setattr(registry, "_registered", {})
    value = fit_law(run_table(Transfer, TRANSFER, 12, 0.01), law=Own).to_json()
    with pytest.raises(DataError, match="law 'own', which is not registered") as error:
        Fit.from_json(value)
    assert "--law package.module:Class" in error.value.hint
    assert Fit.from_json(value, Own).law == "own"
    register(Own)
    assert Fit.from_json(value).parameters == Fit.from_json(value, Own).parameters


def test_a_law_that_is_not_the_files_or_not_there_is_said_to_be_so() -> None:
    value = fit_law(run_table(Transfer, TRANSFER, 12, 0.01), law=Chinchilla).to_json()
    with pytest.raises(DataError, match="has law 'chinchilla', not 'rectified'"):
        Fit.from_json(value, "rectified")
    with pytest.raises(ConfigError, match="no_such_module:Law cannot be imported"):
        Fit.from_json(value, "no_such_module:Law")
    assert Fit.from_json(value, "chinchilla").law == "chinchilla"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("unique",), [[1.0, 2.0, 3.0]], "distinct tokens are not of 16 runs"),
        (("run_params",), [1e9], "model sizes are not of 16 runs"),
        (("tokens",), [[1.0, 2.0, 3.0]], "tokens and losses are not of 16 runs"),
        (("losses",), [[1.0, 2.0, 3.0]], "tokens and losses are not of 16 runs"),
        (("draws", "a", "C"), [[0.5, 0.6]], "draws of 'a' are not of its parameters"),
        (("draws", "a", "C"), [0.5, 0.6], "draws of 'a' are not of its parameters"),
        (("draws", "a", "more"), [0.5, 0.6], "draws of 'a' are not of its parameters"),
    ],
)
def test_parts_of_a_file_that_do_not_fit_together_are_named(small: dict, place, value, words: str) -> None:
    whole = json.loads(json.dumps(small))
    *parents, last = place
    part = whole
    for key in parents:
        part = part[key]
    part[last] = value
    with pytest.raises(DataError, match=words):
        Fit.from_json(whole)


@pytest.mark.parametrize("shaped", [lambda v: [v], lambda v: []])
def test_draws_of_another_shape_are_refused(small: dict, shaped) -> None:
    whole = json.loads(json.dumps(small))
    whole["draws"]["a"] = {name: shaped(values) for name, values in whole["draws"]["a"].items()}
    with pytest.raises(DataError, match="draws of 'a'"):
        Fit.from_json(whole)


def test_distinct_tokens_and_sizes_come_back(small: dict) -> None:
    whole = json.loads(json.dumps(small))
    whole |= {"unique": np.full((16, 3), 2e5).tolist(), "run_params": [1e9] * 15 + [None], "repetition": 4.0}
    again = Fit.from_json(whole)
    assert again.runs.unique_RK is not None and again.runs.unique_RK.shape == (16, 3)
    assert again.runs.params_R is not None and np.isnan(again.runs.params_R[15]) and again.runs.params_R[0] == 1e9
    assert again.decay == 4.0


@pytest.fixture(scope="module")
def small() -> dict:
    with none_held_out():
        return fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="transfer").to_json()
