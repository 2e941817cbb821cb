from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mixlaw.report import (
    budget_figure,
    changes_figure,
    curve_figure,
    marginal_figure,
    parity_figure,
    path_figure,
    weights_figure,
)
from mixlaw.report.palette import series_of
from mixlaw.report.svg import Scale, decimals, element
from mixlaw.solve.solving import solve_mixture
from report_examples import HOSTILE, example


def test_text_and_attributes_are_escaped_unless_they_are_markup():
    inner = element("b", "<i>")
    assert element("a", inner, "&", title='"<') == '<a title="&quot;&lt;"><b>&lt;i&gt;</b>&amp;</a>'


@pytest.mark.parametrize(("low", "high"), [(0.97, 1.04), (0, 3.3), (-0.02, 0.4), (1e-7, 3e-7), (100, 1e6)])
def test_linear_ticks_are_round_inside_and_told_apart(low, high):
    ticks = Scale(low, high, 0, 100).ticks(5)
    assert 2 <= len(ticks) <= 8
    assert low <= ticks[0] and ticks[-1] <= high
    if high > 1e-3:
        assert len({decimals(ticks)(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(("low", "high"), [(1e5, 1e9), (2e5, 3e5), (6e4, 2e6), (1, 1e12)])
def test_logarithmic_ticks_stay_few(low, high):
    ticks = Scale(low, high, 0, 100, log=True).ticks(6)
    assert 2 <= len(ticks) <= 6
    assert all(low * 0.99 <= tick <= high * 1.01 for tick in ticks)


def test_a_tick_label_is_never_rounded_to_another_value():
    assert [decimals([1.5, 1.75, 2.0])(v) for v in (1.5, 1.75, 2.0)] == ["1.50", "1.75", "2.00"]


def test_up_to_seven_domains_have_colours_of_their_own_and_of_more_the_heaviest_have():
    assert len(set(series_of([str(i) for i in range(7)]).values())) == 7
    many = series_of([str(i) for i in range(20)], {str(i): i / 190 for i in range(20)})
    assert many["19"] == "series-0" and many["0"] == "series-rest"
    assert sum(value != "series-rest" for value in many.values()) == 7


@pytest.mark.parametrize("K", [1, 2, 3, 12])
def test_every_figure_alone_is_well_formed_described_and_inert(K):
    domains = [HOSTILE, *(f"d{i}" for i in range(1, K))]
    runs, fit = example(domains)
    solution = solve_mixture(fit, 5e6)
    figures = [
        weights_figure(solution),
        changes_figure(fit, solution),
        marginal_figure(solution),
        curve_figure(fit, runs, HOSTILE, solution),
        parity_figure(fit, runs, HOSTILE),
        path_figure([solution, solve_mixture(fit, 5e7)], 5e6),
        budget_figure(fit, [solution, solve_mixture(fit, 5e7)], 5e6),
    ]
    for figure in figures:
        text = figure.standalone()
        tree = ElementTree.fromstring(text)
        assert tree.attrib["role"] == "img" and len(tree.attrib["aria-label"]) > 20
        assert "<img" not in text and "nan" not in text.lower()


def test_the_band_of_the_loss_widens_along_the_budget_and_the_range_of_the_runs_is_marked():
    _, fit = example(["a", "b"])
    smallest, largest = fit.runs.totals_R.min(), fit.largest_run
    path = [
        solve_mixture(fit, budget) for budget in (smallest / 4, (smallest * largest) ** 0.5, 4 * largest, 16 * largest)
    ]
    figure = budget_figure(fit, path)
    tree = ElementTree.fromstring(figure.standalone())
    lines = [e for e in tree.iter() if e.attrib.get("class", "") == "edge"]
    assert len(lines) == 2
    styles = [e.attrib.get("class", "") for e in tree.iter() if e.tag.endswith(("polyline", "path"))]
    assert sum(s.startswith("curve beyond") for s in styles) == 2 and styles.count("curve series-0") == 1
    tips = [re.search(r"\((.*) to (.*)\)", e.attrib["data-tip"]) for e in tree.iter() if "data-tip" in e.attrib]
    widths = [float(tip[2]) - float(tip[1]) for tip in tips if tip]
    assert len(widths) == 4 and widths[1] < widths[2] < widths[3]
    # Within the runs no line is broken.
    inside = budget_figure(fit, [solve_mixture(fit, b) for b in np.linspace(smallest * 1.01, largest * 0.99, 3)])
    assert "curve beyond" not in inside.standalone() and "edge" not in inside.standalone().split("</style>")[-1]


def test_a_run_without_the_domain_stands_at_a_zero_of_its_own():
    runs, fit = example(["a", "b"])
    runs.tokens_RK[1, 0] = 0
    text = curve_figure(fit, runs, "a").standalone()
    assert ">0</text>" in text
    ElementTree.fromstring(text)
