from __future__ import annotations

import math

import pytest

from mixlaw.core.durations import duration
from mixlaw.report.numbers import (
    listed,
    nats,
    percent,
    percent_interval,
    perplexity,
    shortened,
    significant,
    whole,
    whole_percents,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0213, "0.0213"), (13.04, "13.0"), (3.1e-5, "3.10×10⁻⁵"), (0.0, "0"), (-0.5, "−0.500"), (9.999, "10.0")],
)
def test_significant_digits_survive_every_size(value, text):
    assert significant(value) == text


def test_a_number_that_does_not_exist_is_a_dash():
    assert nats(math.nan) == percent(None) == significant(math.inf) == perplexity(None) == perplexity(1e9) == "–"


def test_a_small_positive_share_is_never_shown_as_zero():
    assert percent(0.0001) == "<0.1 %"
    assert percent(0.0) == "0.0 %"


def test_signs_are_true_minus_signs_and_zero_has_none():
    assert percent(-0.029, 1, sign=True) == "−2.9 %"
    assert percent(0.029, 1, sign=True) == "+2.9 %"
    assert percent(-1e-6, 1, sign=True) == "0.0 %"
    assert percent_interval(-0.01, 0.02, 1, sign=True) == "−1.0 to +2.0 %"


def test_whole_percentages_sum_to_a_hundred():
    assert whole_percents({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 34, "b": 33, "c": 33}
    assert sum(whole_percents({str(i): 1 / 37 for i in range(37)}).values()) == 100


@pytest.mark.parametrize(
    ("seconds", "text"), [(48, "48 s"), (252, "4 min 12 s"), (12000, "3 h 20 min"), (3600, "1 h"), (190800, "2 d 5 h")]
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text


def test_lists_and_long_names_read_well():
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"
    assert shortened("medical question answering", 14) == "medical q…ring"
    assert whole(1234567.4) == "1\u202f234\u202f567"
