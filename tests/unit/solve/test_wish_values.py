"""Numbers of wishes may be texts and Series, and what is no number is one error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mixlaw
from mixlaw.cli import options
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.fit import Fit
from mixlaw.solve import SolveWishes, solve_mixture
from planted_fits import planted_fit, two_runs

NAMES = ("math", "code")


@pytest.fixture(scope="module")
def fit() -> Fit:
    point = {"C": 1.0, "k": 0.3, "alpha": 0.6, "beta": 0.2, "E": 0.5}
    draws = np.array([list(point.values())] * 4)
    return planted_fit("transfer", two_runs(NAMES, NAMES), dict.fromkeys(NAMES, point), dict.fromkeys(NAMES, draws))


def series(**values: Any) -> Any:
    return pytest.importorskip("pandas").Series(values)


@pytest.mark.parametrize("share", ["30%", "30 %", "0.3", 0.3, np.float32(0.3)])
def test_shares_are_numbers_or_texts(fit: Fit, share: Any) -> None:
    for solved in (
        mixlaw.solve(fit, "20M", max={"math": share}),
        mixlaw.solve(fit, "20M", max=series(math=share)),
        solve_mixture(fit, 20e6, SolveWishes(max={"math": share})),
    ):
        assert solved.weights["math"] == pytest.approx(0.3)
    assert mixlaw.solve(fit, "20M", min={"math": "70 %"}).weights["math"] == pytest.approx(0.7)
    pulled = mixlaw.solve(fit, "20M", prior={"math": "90 %", "code": "10 %"}, prior_strength=9)
    assert pulled.weights["math"] > 0.7


def test_the_command_line_and_mix_yaml_take_the_same_shares() -> None:
    from pydantic import TypeAdapter

    from mixlaw.config.values import Share

    share: Any = TypeAdapter(Share)
    for text in ("30%", "30 %", "0.3", ".3"):
        assert options.share("--max")(text) == pytest.approx(0.3)
        assert share.validate_python(text) == pytest.approx(0.3)
    with pytest.raises(ConfigError, match=r"--max is 'much', which is not a share. Write it like 0.3, or 30 %"):
        options.share("--max")("much")
    with pytest.raises(ValueError, match="'much', which is not a share"):
        share.validate_python("much")
    with pytest.raises(ValueError, match="less than or equal to 1"):
        share.validate_python("130 %")


def test_one_group_needs_no_list(fit: Fit) -> None:
    assert mixlaw.solve(fit, "20M", groups="math <= 0.3").weights["math"] == pytest.approx(0.3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"max": {"math": "30"}}, "max of 'math' is 30.0; it must be a share between 0 and 1"),
        ({"max": {"math": None}}, "max of 'math' is None, which is not a number"),
        ({"max": {"math": "much"}}, "max of 'math' is 'much', which is not a share"),
        ({"max": [0.3, 0.7]}, "max is a value of type list; it must say a number for each name"),
        ({"max": np.array([0.3, 0.7])}, "max is a value of type ndarray"),
        ({"min": {"maths": "10 %"}}, "min: there is no domain 'maths'; did you mean 'math'"),
        ({"available": {"math": "lots"}}, "available of 'math' is 'lots'; it must be a number of tokens"),
        ({"available": {"math": -1}}, "available of 'math' is -1.0"),
        (
            {"available": {"math": 1e6, "code": 1e6}, "max_epochs": "many"},
            "max_epochs is 'many', which is not a number",
        ),
        ({"target_weight": {"math": "big"}}, "target_weight of 'math' is 'big', which is not a number"),
        ({"floor": {"math": object()}}, "floor of 'math' is <object .*, which is not a number"),
        ({"no_worse": {"math": "a bit"}}, "no_worse of 'math' is 'a bit', which is not a number of percent"),
        ({"prior": "equal", "prior_strength": "much"}, "prior_strength is 'much', which is not a number"),
        ({"prior": 5, "prior_strength": 1}, "prior is a value of type int"),
        ({"groups": [5]}, "A group is 5; it must be a text"),
        ({"wishes": {"max": {"math": 0.3}}}, r"wishes are a value of type dict; .* solve\(fit, '20M', max="),
    ],
)
def test_what_is_no_wish_is_one_error(fit: Fit, wishes: dict[str, Any], words: str) -> None:
    for solve in (mixlaw.solve, solve_mixture):
        with pytest.raises(ConfigError, match=words):
            solve(fit, 20_000_000, **wishes)


@pytest.mark.parametrize("budget", [None, [], "much", True, {}, float("nan")])
def test_a_budget_that_is_no_number_is_one_error(fit: Fit, budget: Any) -> None:
    for solve in (mixlaw.solve, solve_mixture):
        with pytest.raises(ConfigError, match="he budget is "):
            solve(fit, budget)


def test_a_budget_may_be_a_number_of_numpy(fit: Fit) -> None:
    assert mixlaw.solve(fit, np.int64(20_000_000)).budget_tokens == 20_000_000


def test_what_is_no_fit_is_one_error() -> None:
    with pytest.raises(DataError, match="cannot be read from None"):
        mixlaw.solve(None, "20M")
