"""What is asked of a mixture is the same by name and as a value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.fit import Fit
from mixlaw.solve.ceilings import ceilings_of
from mixlaw.solve.wishes import (
    SolveWishes,
    WishesByName,
    importance_of,
    prior_of,
    shares_of,
    wishes_of,
)
from planted_fits import planted_fit, two_runs


def test_the_keywords_are_the_fields_of_the_wishes() -> None:
    assert [field.name for field in dataclasses.fields(SolveWishes)] == list(WishesByName.__annotations__)


TWO = ("code", "math")


def asked(shares, available=None, what="prior"):
    return shares_of(TWO, shares, available or {}, what)


def test_mixtures_by_name_and_by_shares() -> None:
    assert asked("equal").tolist() == [0.5, 0.5]
    assert asked("natural", {"code": 3e6, "math": 1e6}).tolist() == [0.75, 0.25]
    assert asked("natural", {"code": 3e6, "math": 0.0}).tolist() == [1.0, 0.0]
    assert asked({"math": 1.0}).tolist() == [0.0, 1.0]
    assert asked({"code": 0.3, "math": 0.7}) == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize(
    ("shares", "available", "words"),
    [
        ("natural", {"code": 3e6}, "the available tokens of 'math' are not known"),
        ("natural", {}, "the available tokens of 'code', 'math' are not known"),
        ("natural", {"code": 0.0, "math": 0.0}, "the available tokens of any domain are not known"),
        ("nature", {}, "The prior is 'nature', which is not a mixture"),
        ({"maths": 1.0}, {}, "prior: there is no domain 'maths'; did you mean 'math'"),
        ({"math": 0.7}, {}, "prior: "),
        ({"math": 1.5, "code": -0.5}, {}, "prior: "),
    ],
)
def test_what_is_no_mixture_is_refused_with_the_reason(shares, available, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        asked(shares, available)


def fit() -> Fit:
    point = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}
    draws = np.repeat([list(point.values())], 3, axis=0)
    return planted_fit("transfer", two_runs(TWO, TWO), dict.fromkeys(TWO, point), dict.fromkeys(TWO, draws))


def test_the_importance_of_targets() -> None:
    assert importance_of(fit(), None, None) == ("mean", {"code": 1.0, "math": 1.0})
    assert importance_of(fit(), None, {"math": 2}) == ("weighted", {"code": 0.0, "math": 2.0})
    assert importance_of(fit(), "max", {"math": 2, "code": 0}) == ("max", {"code": 0.0, "math": 2.0})
    assert importance_of(fit(), "max", None) == ("max", {"code": 1.0, "math": 1.0})


@pytest.mark.parametrize(
    ("objective", "weights", "words"),
    [
        ("best", None, "no objective 'best'"),
        ("mean", {"code": 1}, "takes no weights"),
        ("weighted", None, "needs the weight"),
        ("weighted", {}, "needs the weight"),
        (None, {"law": 1}, "no target 'law'"),
        (None, {"code": -0.1}, "must be >= 0"),
        (None, {"code": float("inf")}, "must be >= 0"),
        (None, {"code": 0, "math": 0}, "nothing to minimise"),
    ],
)
def test_weights_that_make_no_sense_are_refused(objective, weights, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        importance_of(fit(), objective, weights)


def test_a_prior_needs_its_strength_and_a_strength_its_prior() -> None:
    assert prior_of(TWO, None, None, {}) is None
    assert prior_of(TWO, "equal", 0.0, {}) is None
    found = prior_of(TWO, "equal", 0.1, {})
    assert found is not None and found.strength == 0.1 and found.share_K.tolist() == [0.5, 0.5]
    for prior, strength, words in (
        (None, 0.1, "there is no prior: the mixture to pull towards"),
        ("equal", None, "A prior needs prior_strength"),
        ("equal", -0.1, "must be >= 0"),
        ("equal", float("nan"), "must be >= 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            prior_of(TWO, prior, strength, {})


def ceilings(**wishes):
    return ceilings_of(fit(), 3e6, wishes.pop("available", {}), SolveWishes(**wishes))


def test_ceilings_are_those_said_and_those_of_the_reference() -> None:
    assert ceilings() is None
    losses = {share: fit().predict({"code": share * 3e6, "math": (1 - share) * 3e6}).mean[0] for share in (0.5, 0.75)}
    found = ceilings(floor={"code": 1.3}, no_worse={"math": 2.0})
    assert found.nats_J == pytest.approx([1.3, 1.02 * losses[0.5][1]], rel=1e-5)
    assert found.each[0].name == "'code' at most 1.3"
    assert "(2 % above equal)" in found.each[1].name
    available = {"code": 3e6, "math": 1e6}
    natural = ceilings(no_worse={"math": -1.0}, available=available)
    assert natural.nats_J == pytest.approx([0.99 * losses[0.75][1]], rel=1e-5)
    assert "(1 % below natural)" in natural.each[0].name
    same = ceilings(no_worse={"math": -1.0}, reference={"code": 0.75, "math": 0.25})
    assert same.nats_J == pytest.approx(natural.nats_J)
    assert "(1 % below the reference)" in same.each[0].name
    # where a domain has no tokens there is no natural mixture to compare with
    partly = ceilings(no_worse={"math": 0.0}, available={"code": 3e6})
    assert partly.nats_J == pytest.approx([losses[0.5][1]], rel=1e-5)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"reference": "equal"}, "A reference is set, but no target"),
        ({"floor": {"law": 1.0}}, "no target 'law'"),
        ({"floor": {"code": 0.0}}, "must be > 0"),
        ({"no_worse": {"law": 1.0}}, "no target 'law'"),
        ({"no_worse": {"code": -100.0}}, "above -100"),
        ({"no_worse": {"code": float("nan")}}, "above -100"),
    ],
)
def test_ceilings_that_make_no_sense_are_refused(wishes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ceilings(**wishes)


def test_wishes_by_name_go_before_those_given_and_unknown_ones_are_refused() -> None:
    found = wishes_of(SolveWishes(max_epochs=3, objective="max"), {"max_epochs": 2})
    assert (found.max_epochs, found.objective) == (2, "max")
    assert wishes_of(None, {}) == SolveWishes()
    with pytest.raises(ConfigError, match="solve takes no 'max_epoch'; did you mean 'max_epochs'"):
        wishes_of(None, {"max_epoch": 2})


def test_a_configuration_without_available_tokens_has_no_cap_of_epochs() -> None:
    said = {"max_epochs": 3, "min": {"code": 0.1}, "floor": {"math": 2.0}, "prior": "equal", "prior_strength": 0.1}
    with_, without = SolveWishes.of_config(said, {"code": 1e6}), SolveWishes.of_config(said, None)
    assert (with_.max_epochs, without.max_epochs) == (3, None)
    assert with_.min == {"code": 0.1} and with_.floor == {"math": 2.0}
    assert (with_.prior, with_.prior_strength) == ("equal", 0.1)
    assert with_.constraints.available == {"code": 1e6}
    assert without.constraints.max_epochs is None


def test_old_names_of_wishes_work_with_a_hint_and_mean_the_same():
    old = {
        "minimum": {"code": 0.1},
        "maximum": {"code": 0.9},
        "ceilings": {"math": 2.0},
        "target_weights": {"math": 1.0},
    }
    new = SolveWishes(min={"code": 0.1}, max={"code": 0.9}, floor={"math": 2.0}, target_weight={"math": 1.0})
    with pytest.warns(FutureWarning, match="Use min=... instead of minimum=..."):
        assert SolveWishes(**old) == new
    with pytest.warns(FutureWarning, match="Use floor=... instead of ceilings=...") as caught:
        assert wishes_of(None, old) == new
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.raises(ConfigError, match="'min' and 'minimum' are the same"):
        wishes_of(None, {"min": {"code": 0.1}, "minimum": {"code": 0.1}})
