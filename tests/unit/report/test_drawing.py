from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import mixlaw
from mixlaw.core.errors import DataError
from mixlaw.report import (
    Figure,
    budget_figure,
    changes_figure,
    curve_figure,
    marginal_figure,
    parity_figure,
    path_figure,
    weights_figure,
)
from mixlaw.report.comparison import curve
from mixlaw.report.curves import log_ticks
from mixlaw.report.drawing import key_svg, slide
from mixlaw.report.palette import colours, series_of
from mixlaw.solve.solving import solve_mixture
from report_examples import HOSTILE, example


@pytest.mark.parametrize(("low", "high"), [(1e5, 1e9), (2e5, 3e5), (6e4, 2e6), (1, 1e12)])
def test_logarithmic_ticks_stay_few(low, high):
    ticks = log_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 6
    assert all(low * 0.99 <= tick <= high * 1.01 for tick in ticks)


def test_up_to_seven_domains_have_colours_of_their_own_and_of_more_the_heaviest_have():
    assert len(set(series_of([str(i) for i in range(7)]).values())) == 7
    many = series_of([str(i) for i in range(20)], {str(i): i / 190 for i in range(20)})
    assert many["19"] == "series-0" and many["0"] == "series-rest"
    assert sum(value != "series-rest" for value in many.values()) == 7


def test_no_two_colours_are_the_same_so_that_each_gets_its_own_name_back():
    assert len(set(colours().values())) == len(colours()) >= 13


def figures_of(domains):
    runs, fit = example(domains)
    solution = solve_mixture(fit, 5e6)
    path = [solution, solve_mixture(fit, 5e7)]
    return [
        weights_figure(solution),
        changes_figure(fit, solution),
        marginal_figure(solution),
        curve_figure(fit, runs, domains[0], solution),
        parity_figure(fit, runs, domains[0]),
        path_figure(path, 5e6, fit),
        budget_figure(fit, path, 5e6),
    ]


@pytest.mark.parametrize("K", [1, 2, 3, 12])
def test_every_figure_is_well_formed_described_and_inert(K):
    for figure in figures_of([HOSTILE, *(f"d{i}" for i in range(1, K))]):
        tree = ElementTree.fromstring(figure.svg)
        assert tree.attrib["role"] == "img" and len(tree.attrib["aria-label"]) > 20
        assert "<img" not in figure.svg and "style>" not in figure.svg and "nan" not in figure.svg.lower()
        drawn = re.findall(r"(?:fill|stroke): ?(#\w+)", figure.svg)
        assert not drawn, f"colours without a name: {set(drawn)}"
        ElementTree.fromstring(figure.standalone())


def test_every_figure_alone_has_a_title_units_and_a_legend():
    for figure in figures_of(["chat", "code", "math"]):
        canvas = slide([figure])
        (axes,) = canvas.axes
        assert axes.get_title(loc="left") == figure.title
        assert re.search(r"%|nats|tokens", axes.get_xlabel()), figure.title
        legend = [text.get_text() for text in canvas.legends[0].get_texts()]
        assert legend == [text for _, text in figure.legend] and legend


def test_identifiers_of_two_figures_never_meet():
    found = [set(re.findall(r' id="([^"]+)"', figure.svg)) for figure in figures_of(["a", "b"])]
    assert sum(map(len, found)) == len(set().union(*found)) > 0


def test_a_name_with_dollars_is_no_formula_and_a_long_one_is_shown_whole():
    name = "customer support $x^2$ transcripts"
    runs, fit = example([name, "b"])
    canvas = slide([weights_figure(solve_mixture(fit, 5e6)), curve_figure(fit, runs, name)])
    assert canvas.axes[0].get_yticklabels()[0].get_text() == name
    assert name in weights_figure(solve_mixture(fit, 5e6)).svg


def test_a_point_leads_to_the_row_of_its_run():
    runs, fit = example(["a", "b"])
    text = curve_figure(fit, runs, "a", links={"run-3": "run-4"}).svg
    assert len(re.findall(r'<g data-row="run-4">', text)) == 1
    assert 'data-tip="run-3: ' in text


def test_the_band_of_the_loss_widens_along_the_budget_and_the_range_of_the_runs_is_marked():
    _, fit = example(["a", "b"])
    smallest, largest = fit.runs.totals_R.min(), fit.largest_run
    budgets = (smallest / 4, (smallest * largest) ** 0.5, 4 * largest, 16 * largest)
    path = [solve_mixture(fit, budget) for budget in budgets]
    for figure in (budget_figure(fit, path), path_figure(path, None, fit)):
        (axes,) = slide([figure]).axes
        (shade,) = [patch for patch in axes.patches if patch.get_gid() == "runs"]
        assert shade.get_x() == pytest.approx(smallest) and shade.get_width() == pytest.approx(largest - smallest)
    figure = budget_figure(fit, path)
    (axes,) = slide([figure]).axes
    styles = [line.is_dashed() for line in axes.lines if line.get_marker() == "none"]
    assert sorted(styles) == [False, True, True]
    tips = [re.search(r"\((.*) to (.*)\)", tip) for tip in re.findall('data-tip="([^"]*)"', figure.svg)]
    widths = [float(tip[2]) - float(tip[1]) for tip in tips if tip]
    assert len(widths) == 4 and widths[1] < widths[2] < widths[3]
    # Within the runs no line is broken.
    inside = budget_figure(fit, [solve_mixture(fit, b) for b in np.linspace(smallest * 1.01, largest * 0.99, 3)])
    assert not any(line.is_dashed() for line in slide([inside]).axes[0].lines)


def test_a_run_without_the_domain_stands_at_a_zero_of_its_own():
    runs, fit = example(["a", "b"])
    runs.tokens_RK[1, 0] = 0
    assert ">0</text>" in curve_figure(fit, runs, "a").svg


def test_a_curve_is_the_mean_over_the_draws_like_the_prediction_beside_it():
    fit = example(("a", "b"))[1]
    mean, low, high = curve(fit, "a", np.array([2e6, 8e7]), 1e6)
    said = fit.predict([{"a": own, "b": 1e6} for own in (2e6, 8e7)])
    assert mean == pytest.approx(said.mean[:, 0])
    assert ((low <= mean) & (mean <= high)).all()
    assert mean != pytest.approx(fit.predict([{"a": 2e6, "b": 1e6}, {"a": 8e7, "b": 1e6}], at="point").mean[:, 0])


@pytest.mark.parametrize("kind", ["bar", "band", "range", "full", "hollow", "curve/series-1", "mix-natural", "edge"])
def test_every_kind_of_mark_has_a_key(kind):
    assert 'aria-hidden="true"' in key_svg(kind) and re.search("<path|<use", key_svg(kind))


def test_plots_are_matplotlib_figures_and_leave_its_settings_alone(material):
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    before = dict(matplotlib.rcParams)
    _, fit, _ = material
    best = mixlaw.solve(fit, budget=4e6)
    plots = [
        mixlaw.plot_weights(best), mixlaw.plot_changes(fit, best), mixlaw.plot_curves(fit, best),
        mixlaw.plot_measured(fit, ["code"]), mixlaw.plot_budgets(fit, best), mixlaw.plot_marginal(best),
    ]  # fmt: skip
    assert all(isinstance(plot, Canvas) for plot in plots)
    assert [len(plot.axes) for plot in plots] == [1, 1, 3, 1, 2, 1]
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(DataError, match="'law' cannot be drawn"):
        mixlaw.plot_measured(fit, ["law"])
    with pytest.raises(DataError, match="no baseline 'natural'"):
        mixlaw.plot_changes(fit, best, "natural")
    assert isinstance(weights_figure(best), Figure)


def test_a_base_model_that_is_not_fitted_is_no_point_of_predicted_against_measured():
    runs, fit = example(["chat", "code"])
    tokens = runs.tokens_RK.copy()
    tokens[0] = 0
    runs = replace(runs, tokens_RK=tokens)
    with_base = parity_figure(fit, runs, "chat").svg
    without = parity_figure(replace(fit, base_left_out=("chat",)), runs, "chat").svg
    assert f"{runs.runs[0]}: predicted" in with_base and f"{runs.runs[0]}: predicted" not in without
    assert f"{runs.runs[1]}: predicted" in without
