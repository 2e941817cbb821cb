"""Amounts are read by name wherever there are names, and everything else is one error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mixlaw.core.errors import DataError
from mixlaw.fit import Fit
from mixlaw.fit.prediction import token_array
from planted_fits import planted_fit, two_runs

NAMES = ("math", "code")
MIXTURE = {"math": 1e6, "code": 3e6}
IN_ORDER = [[1e6, 3e6]]


def fit() -> Fit:
    points = {name: {"C": 1.0, "k": 0.3, "alpha": 0.6, "beta": 0.2 + i / 10, "E": 0.5} for i, name in enumerate(NAMES)}
    draws = {name: np.array([list(point.values())] * 4) for name, point in points.items()}
    return planted_fit("transfer", two_runs(NAMES, NAMES), points, draws, decay=5.0)


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def series(**values: Any) -> Any:
    return pytest.importorskip("pandas").Series(values)


def one_mixture() -> list[Any]:
    pandas = pytest.importorskip("pandas")
    backwards = dict(reversed(MIXTURE.items()))
    prefixed = {f"tokens:{name}": [tokens] for name, tokens in backwards.items()}
    return [
        MIXTURE,
        backwards,
        {"math": "1M", "code": "3M"},
        {"code": " 3_000_000 ", "math": 1_000_000},
        {"math": np.int64(1_000_000), "code": np.float32(3e6)},
        series(code=3e6, math=1e6),
        series(code="3M", math="1M"),
        frame(code=[3e6], math=[1e6]),
        frame(code=["3M"], math=["1M"]),
        {"code": [3e6], "math": ["1M"]},
        [backwards],
        (backwards,),
        pytest.importorskip("pyarrow").table({"code": [3e6], "math": [1e6]}),
        pandas.DataFrame(prefixed),
        pandas.DataFrame({"run": ["r0"], "loss:math": [1.0], "comment": ["x"], **prefixed}),
        pandas.DataFrame({"run": ["r0"], **prefixed}).set_index("run"),
        pandas.DataFrame(prefixed).iloc[0],
        {name: cells[0] for name, cells in prefixed.items()},
        [1e6, 3e6],
        np.array([[1e6, 3e6]]),
    ]


@pytest.mark.parametrize("case", range(20))
def test_names_not_places_say_which_domain_an_amount_is_of(case: int) -> None:
    given = one_mixture()[case]
    assert token_array(given, NAMES).tolist() == IN_ORDER
    assert fit().predict(given).mean == pytest.approx(fit().predict(np.array(IN_ORDER)).mean)


def test_several_mixtures_keep_their_order() -> None:
    rows = [[1e6, 3e6], [2e6, 0.0]]
    assert token_array([MIXTURE, {"math": 2e6}], NAMES).tolist() == rows
    assert token_array(frame(code=[3e6, 0], math=[1e6, 2e6]), NAMES).tolist() == rows


def test_distinct_tokens_of_a_table_count_in_a_prediction() -> None:
    table = {"tokens:math": [1e6], "tokens:code": [3e6], "unique:math": [1e5], "unique:code": [1e5]}
    once, often = fit().predict(MIXTURE).mean, fit().predict(frame(**table)).mean
    assert (often > once).all()
    for available in ({"math": 1e5, "code": 1e5}, {"code": "100k", "math": "0.1M"}, series(code=1e5, math=1e5)):
        assert fit().predict(MIXTURE, available).mean == pytest.approx(often)


def refused() -> list[tuple[Any, str]]:
    return [
        (series(math=1e6), "has no tokens of 'code'; the fit has 'math', 'code'"),
        (frame(math=[1e6]), "has no tokens of 'code'"),
        (frame(math=[1e6], code=[1e6], chat=[0]), "The fit has no domain 'chat'; it has 'math', 'code'"),
        (frame(x=[1e6], y=[3e6]), "The fit has no domain 'x', 'y'"),
        (pytest.importorskip("pandas").Series([1e6, 3e6]), "The fit has no domain '0', '1'"),
        (pytest.importorskip("pandas").DataFrame([[1e6, 3e6]]), "The fit has no domain '0', '1'"),
        ([MIXTURE, {"chat": 1}], "The fit has no domain 'chat'"),
        (frame(math=[], code=[]), "no mixture to predict"),
        ({}, r"A mixture names no domain. Write \{'math': 0\} for the model before any training"),
        ([{}], "A mixture names no domain"),
        ([], "no mixture to predict"),
        (np.zeros((0, 2)), "no mixture to predict"),
        (None, "shape"),
        ("natural", "The tokens of the mixtures are 'natural', which are no numbers"),
        (["1M", "3M"], "which are no numbers"),
        ({"math": None, "code": 1}, "tokens of 'math' is None, which is not a number"),
        ({"math": "many", "code": 1}, "tokens of 'math' is 'many'; it must be a number of tokens from 0"),
        ({"math": "-1M", "code": 1}, "tokens of 'math' is '-1M'; it must be"),
        ({"math": float("nan"), "code": 1}, "negative or not finite"),
        ({"math": [1, 2], "code": [1]}, "different lengths"),
        (frame(math=[1e6], code=["many"]), "'code' of '1' is 'many'"),
    ]


@pytest.mark.parametrize("case", range(21))
def test_amounts_that_cannot_be_read_are_one_error(case: int) -> None:
    given, words = refused()[case]
    with pytest.raises(DataError, match=words):
        fit().predict(given)


def test_what_is_available_is_of_the_fits_domains() -> None:
    with pytest.raises(DataError, match="The fit has no domain 'maths'"):
        fit().predict(MIXTURE, {"maths": 1e6})
    with pytest.raises(DataError, match="available is a value of type list; it must say a number for each name"):
        fit().predict(MIXTURE, [1e6, 1e6])  # type: ignore[arg-type]
