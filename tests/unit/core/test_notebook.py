"""Tables and bars as HTML and text."""

from xml.etree import ElementTree

import pytest

from mixlaw.core.notebook import Markup, bar, html_table, interval, shares, shown, text_table


def test_numbers_have_four_digits_and_missing_ones_a_dash():
    assert [shown(x) for x in (1.18, 0.00012345, 1234.0, float("nan"), 3, True, "x")] == [
        "1.180",
        "0.0001234",
        "1234",
        "–",
        "3",
        "True",
        "x",
    ]


def test_text_columns_are_aligned_numbers_right():
    assert text_table("T", ["name", "n"], [["a", 1.5], ["long", 12.25]], ["note"]).splitlines() == [
        "T",
        "name      n",
        "a     1.500",
        "long  12.25",
        "note",
    ]


def test_names_with_markup_are_shown_as_text():
    text = html_table("<b>", ["<i>"], [["<img src=x onerror=alert(1)>", bar(0.5)][:1]], ["<u>"])
    assert "<img" not in text and "<i>" not in text and "<u>" not in text and "&lt;img" in text


@pytest.mark.parametrize(
    "figure",
    [
        bar(0.3),
        bar(float("nan")),
        bar(7),
        interval(1, 2, 3, (0, 4)),
        interval(1, 1, 1, (1, 1)),
        shares({"<a>": 1, "b": 3}),
    ],
)
def test_figures_are_well_formed(figure):
    assert isinstance(figure, Markup)
    assert ElementTree.fromstring(figure).tag == "svg"


def test_shares_fill_the_bar():
    rects = ElementTree.fromstring(shares({"a": 1, "b": 3})).findall("rect")
    widths = [float(rect.get("width", 0)) for rect in rects]
    assert widths[1] == pytest.approx(3 * widths[0])
