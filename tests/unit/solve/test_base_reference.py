"""How much may be forgotten: ceilings against the base model's measured losses, and who gains and loses against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.core.percents import parse_percent
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.solve import Solution, solve_mixture
from mixlaw.solve.ceilings import ceilings_of
from mixlaw.solve.wishes import SolveWishes, wishes_of
from planted_fits import planted_fit

TWO = ("chat", "math")


def fit(base: tuple[float, float] = (1.6, 3.0)) -> Fit:
    """Two domains that help each other little, and a base model that is good at chat already."""
    tokens = np.array([[0.0, 0.0], [1e6, 2e6], [2e6, 1e6]])
    runs = RunTable(("base", "x", "y"), TWO, TWO, tokens, np.array([base, (1.6, 1.5), (1.5, 1.6)]))
    point = {"C": 0.7, "k": 0.1, "alpha": 0.6, "beta": 0.2, "E": 0.8}
    draws = np.repeat([list(point.values())], 3, axis=0)
    return planted_fit("transfer", runs, dict.fromkeys(TWO, point), dict.fromkeys(TWO, draws))


def test_the_base_model_is_a_reference() -> None:
    for percent in (1, "1", "1 %", "1%"):
        found = ceilings_of(fit(), 3e6, {}, wishes_of(None, {"no_worse": {"chat": percent}, "reference": "base"}))
        assert found is not None and found.nats_J == pytest.approx([1.01 * 1.6])
        assert "(1 % above the base model)" in found.each[0].name


def test_no_more_is_forgotten_than_is_allowed() -> None:
    free = solve_mixture(fit(base=(1.38, 3.0)), 3e6, target_weight={"math": 1.0})
    assert free.predicted["chat"]["mean"] > 1.02 * 1.38
    kept = solve_mixture(
        fit(base=(1.38, 3.0)), 3e6, target_weights={"math": 1.0}, no_worse={"chat": "2 %"}, reference="base"
    )
    assert kept.predicted["chat"]["mean"] == pytest.approx(1.02 * 1.38, rel=1e-6)
    assert kept.weights["chat"] > free.weights["chat"]


def test_a_base_model_that_was_not_measured_is_no_reference() -> None:
    runs = fit().runs.take([1, 2])
    partly = replace(fit(), runs=replace(fit().runs, losses_RJ=np.array([[np.nan, 3.0], [1.6, 1.5], [1.5, 1.6]])))
    for of in (replace(fit(), runs=runs), partly):
        with pytest.raises(ConfigError, match="was not measured on 'chat'") as caught:
            ceilings_of(of, 3e6, {}, SolveWishes(no_worse={"chat": 1}, reference="base"))
        assert "run of zero tokens" in caught.value.hint


def test_a_solution_says_who_gains_and_who_loses_against_the_base_model() -> None:
    found = solve_mixture(fit(base=(1.3, 3.0)), 3e6)
    mean = found.predicted["chat"]["mean"]
    assert found.base == {"chat": 1.3, "math": 3.0}
    assert found.change_from_base["chat"] == pytest.approx(100 * (mean / 1.3 - 1))
    assert found.change_from_base["math"] < 0 < found.change_from_base["chat"]
    (said,) = [text for text in found.warnings if "forgotten" in text]
    assert "chat" in said and "math" not in said
    assert "best against it" in str(found) and "+" in str(found)
    assert Solution.from_json(found.to_json()) == found


def test_without_a_base_model_nothing_is_said_of_it() -> None:
    found = solve_mixture(replace(fit(), runs=fit().runs.take([1, 2])), 3e6)
    assert found.base == {} and "against" not in str(found)
    assert not any("forgotten" in text for text in found.warnings)


def test_a_run_on_a_dropped_domain_alone_is_no_base_model() -> None:
    tokens = np.array([[0.0, 0.0], [1e6, 2e6], [0.0, 1e6]])
    whole = replace(fit(), runs=replace(fit().runs, tokens_RK=tokens))
    assert whole.of_domains(["chat"]).base == {"chat": 1.6}
    assert whole.of_domains(["chat"]).runs.runs == ("base", "x")


@pytest.mark.parametrize("value", ["one", "1 % %", "", "%", True, None, [1]])
def test_what_is_no_percentage_is_refused(value) -> None:
    with pytest.raises(ConfigError, match="not a number of percent"):
        parse_percent(value)
