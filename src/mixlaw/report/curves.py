"""Figures with a plane of numbers: fitted curves, predicted against measured, weights and loss over the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import differences_in, losses_in
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.magnitude import magnitudes
from mixlaw.fit.prediction import BAND_ENDS
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import LEVEL, available_of, base_level, curve, losses_by_draw
from mixlaw.report.drawing import Figure, band, fill, mark, point
from mixlaw.report.numbers import nats, percent, shortened, significant
from mixlaw.report.palette import colours, series_of
from mixlaw.solve.solution import Solution

_PATH_WIDTH, _PATH_HEIGHT = 470, 300
_NAME = 30
_RANGE = ("range", "range of the runs' total tokens")
_CURVE_LEGEND = (
    ("full", "run with about the same tokens of the other domains"),
    ("hollow", "run with more or fewer tokens of the other domains"),
    ("curve", "law, with those tokens of the other domains"),
    ("beyond", "beyond the runs"),
    ("band", "90 % band"),
)
_PLANNED = (
    ("diamond", "prediction at the recommended mixture"),
    ("faint", "law, with the other domains as in the recommended mixture"),
)


def curve_figure(
    fit: Fit,
    runs: RunTable,
    target: str,
    solution: Solution | None = None,
    style: str = "series-0",
    links: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a target's measured losses against its own tokens, and the law through them.

    The law is drawn with the other domains' tokens held at the level that most runs share; runs at that level (within
    2 %) are full, the others hollow, for they need not lie on the line. Beyond the largest run it is broken.

    Args:
        fit: the fit.
        runs: the runs.
        target: a target that is a domain.
        solution: marks the loss predicted at the recommended mixture.
        style: colour class.
        links: run -> the anchor of its row in the page.
    """
    own = runs.tokens_RK[:, runs.domains.index(target)]
    others = runs.totals_R - own
    losses, unit = runs.losses_RJ[:, runs.targets.index(target)], differences_in([target])
    there = np.isfinite(losses)
    level = base_level(others[there])
    at_level = np.abs(others - level) <= LEVEL * max(level, 1)
    largest = float(own[there].max(initial=0.0)) or 1.0
    smallest = float(own[there & (own > 0)].min(initial=largest))
    planned = float(solution.tokens[target]) if solution else 0.0
    zeros = bool((own[there] == 0).any())
    left, right = _token_range([t for t in (smallest, largest, planned) if t > 0], 1.6 if zeros else 1.12)
    grid = np.geomspace(left * (1.3 if zeros else 1), right, 72)
    mean, low, high = curve(fit, target, grid, level)
    zero = left * 1.06

    def draw(axes: Any) -> None:
        seen = [*losses[there], *mean]
        if solution and planned > 0:
            predicted = solution.predicted[target]
            seen += [predicted["mean_low"], predicted["mean_high"]]
            there_too = curve(fit, target, grid, solution.budget_tokens - planned)[0]
            axes.plot(grid, there_too, **mark("faint", style))
        band(axes, grid, low, high, style)
        _broken(axes, grid, mean, grid <= largest * 1.0001, style)
        if right > largest * 1.2:
            axes.axvline(largest, **mark("edge"))
        shown = np.flatnonzero(there)
        for r in map(int, shown[np.argsort(at_level[shown], kind="stable")]):
            said = f"{nats(losses[r])} {unit}, own {format_tokens(own[r])}, others {format_tokens(others[r])}"
            kind, run = "full" if at_level[r] else "hollow", runs.runs[r]
            at = own[r] if own[r] > 0 else zero
            point(axes, at, losses[r], mark(kind, style), f"{run}: {said}", (links or {}).get(run, ""))
        if solution and planned > 0:
            _prediction(axes, planned, solution.predicted[target], style, unit)
        _token_axis(axes, "own training tokens", (left, right), zero if zeros else None)
        axes.set_ylim(*_padded(seen))
        axes.set_ylabel(f"loss, {losses_in([target], 'nats per token')}")

    said = (
        f"{int(there.sum())} runs from {format_tokens(smallest)} to {format_tokens(largest)} own tokens; the law runs "
        f"from {nats(mean[0])} to {nats(mean[-1])} {unit} with the other domains at {format_tokens(level)} tokens."
    )
    legend = [*_CURVE_LEGEND, *(_PLANNED if solution else ())]
    subtitle = f"other domains at {format_tokens(level)} tokens"
    return Figure(shortened(target, _NAME), said, draw, subtitle=subtitle, legend=legend)


def parity_figure(
    fit: Fit, runs: RunTable, target: str, style: str = "series-0", links: Mapping[str, str] | None = None
) -> Figure:
    """Draw measured against predicted losses of all runs; runs that the fit did not see are hollow.

    The base model as it is has no point where its loss is not fitted (`Fit.base_left_out`): the law says nothing of it.

    Args:
        fit: the fit.
        runs: the runs.
        target: a target.
        style: colour class.
        links: run -> the anchor of its row in the page.
    """
    return parity_figures(fit, runs, {target: style}, links)[0]


def parity_figures(
    fit: Fit, runs: RunTable, styles: Mapping[str, str], links: Mapping[str, str] | None = None
) -> list[Figure]:
    """Return the `parity_figure` of each target in its colour class; the runs are predicted once for all of them."""
    predicted = dict(zip(fit.targets, fit.predict(runs, at="point").mean.T, strict=True))
    return [_parity(fit, runs, target, predicted[target], style, links or {}) for target, style in styles.items()]


def _parity(
    fit: Fit, runs: RunTable, target: str, predicted: np.ndarray, style: str, links: Mapping[str, str]
) -> Figure:
    losses, unit = runs.losses_RJ[:, runs.targets.index(target)], differences_in([target])
    there = np.isfinite(losses) & ((runs.totals_R > 0) | (target not in fit.base_left_out))
    used = set(fit.runs.runs)

    def draw(axes: Any) -> None:
        ends = _padded([*losses[there], *predicted[there]])
        axes.plot(ends, ends, **mark("diagonal"))
        for r in map(int, np.flatnonzero(there)):
            run = runs.runs[r]
            tip = f"{run}: predicted {nats(predicted[r])}, measured {nats(losses[r])}"
            looks = mark("full" if run in used else "hollow", style)
            point(axes, predicted[r], losses[r], looks, tip, links.get(run, ""))
        axes.set(xlim=ends, ylim=ends, xlabel=f"predicted loss, {unit}", ylabel=f"measured loss, {unit}")
        _few_ticks(axes.xaxis)
        _few_ticks(axes.yaxis)

    fitted = fit.targets[target]
    error = float(np.mean(np.abs(predicted[there] - losses[there]) / magnitudes(losses[there])))
    said = f"Mean relative error in the sample {percent(error, 2)}; held out, {percent(fitted.cv_mre, 2)}."
    subtitle = f"held out {percent(fitted.cv_mre, 1)} · mean {percent(fitted.cv_mre_mean, 1)}"
    legend = [("full", "run"), ("diagonal", "predicted = measured")]
    if not set(runs.runs) <= used:
        legend.insert(1, ("hollow", "run not in the fit"))
    subtitle = subtitle if np.isfinite(fitted.cv_mre) else ""
    return Figure(shortened(target, _NAME), said, draw, subtitle=subtitle, legend=legend)


def path_figure(path: Sequence[Solution], budget_tokens: float | None = None, fit: Fit | None = None) -> Figure:
    """Draw the best weights over the budget.

    Args:
        path: solutions at different budgets.
        budget_tokens: a budget to mark.
        fit: whose range of runs is marked; None for no range.
    """
    path = sorted(path, key=lambda solution: solution.budget_tokens)
    domains, budgets = list(path[0].weights), [float(s.budget_tokens) for s in path]
    at = min(path, key=lambda s: abs(np.log(s.budget_tokens / (budget_tokens or path[-1].budget_tokens))))
    series = series_of(domains, at.weights)
    named = [d for d in domains if series[d] != "series-rest"]
    texts = {d: f"{shortened(d, _NAME)} {percent(path[-1].weights[d], 0)}" for d in named}

    def draw(axes: Any) -> None:
        top = min(1.0, 1.08 * max(w for s in path for w in s.weights.values()))
        _mark_runs(axes, fit, budgets)
        if budget_tokens and budgets[0] <= budget_tokens <= budgets[-1]:
            axes.axvline(budget_tokens, **mark("edge"))
        for domain in sorted(domains, key=lambda d: (series[d] != "series-rest", path[-1].weights[d])):
            shares = [s.weights[domain] for s in path]
            axes.plot(budgets, shares, **mark("curve", series[domain]))
            for budget, share in zip(budgets, shares, strict=True):
                tip = f"{domain}: {percent(share)} at {format_tokens(budget)}"
                point(axes, budget, share, mark("full", series[domain]) | {"markersize": 5}, tip)
        places = _apart({d: path[-1].weights[d] for d in named}, 0.065 * top, 0.0, top)
        for domain, place in places.items():
            looks = {"color": colours()[series[domain]], "fontweight": "bold", "va": "center"}
            axes.annotate(texts[domain], (1, place), (9, 0), ("axes fraction", "data"), "offset points", **looks)
        _token_axis(axes, "budget, tokens (logarithmic)", _token_range(budgets, 1.05))
        axes.set_ylim(0, top)
        axes.set_ylabel("share of the budget, %")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")

    said = "; ".join(f"{d} {percent(path[0].weights[d])} to {percent(path[-1].weights[d])}" for d in domains)
    span = f"{format_tokens(budgets[0])} to {format_tokens(budgets[-1])}"
    legend = [_RANGE] if fit and len(fit.runs.totals_R[fit.runs.totals_R > 0]) else []
    legend += [("edge", "line: the budget of this report")] if budget_tokens else []
    legend += [("curve/series-rest", f"{len(domains) - len(named)} other domains")] if len(named) < len(domains) else []
    width = _PATH_WIDTH + 6.6 * max(max(map(len, texts.values())) - 12, 0)
    return Figure(
        "Best weights at each budget", f"From {span}: {said}.", draw, width, _PATH_HEIGHT,
        subtitle="beside the lines: the shares at the largest budget", legend=legend,
    )  # fmt: skip


def budget_figure(fit: Fit, path: Sequence[Solution], budget_tokens: float | None = None) -> Figure:
    """Draw the predicted loss of the best weights over the budget, with its 90 % band.

    The loss is the weighted total that was minimised. Outside the range of the runs' total tokens the line is broken:
    the band widens there with the distance.

    Args:
        fit: the fit.
        path: solutions at different budgets, 2 or more.
        budget_tokens: a budget to mark.
    """
    path = sorted(path, key=lambda solution: solution.budget_tokens)
    bands = []
    for s in path:
        g_J = np.array([s.target_weights.get(target, 1.0) for target in fit.targets])
        drawn_S = losses_by_draw(fit, s.tokens, available_of(s)) @ g_J
        bands.append((drawn_S.mean(), *np.quantile(drawn_S, BAND_ENDS)))
    budgets = np.array([float(s.budget_tokens) for s in path])
    grid = np.geomspace(budgets[0], budgets[-1], 72)
    mean, low, high = (np.interp(np.log(grid), np.log(budgets), part) for part in np.array(bands).T)
    smallest, largest = _range_of(fit) or (grid[0], grid[-1])

    def draw(axes: Any) -> None:
        _mark_runs(axes, fit, budgets.tolist())
        band(axes, grid, low, high, "series-0")
        _broken(axes, grid, mean, (grid >= smallest * 0.999) & (grid <= largest * 1.001), "series-0")
        for s, (value, lower, upper) in zip(path, bands, strict=True):
            ends = f"{significant(float(lower), 4)} to {significant(float(upper), 4)}"
            asked = budget_tokens is not None and abs(s.budget_tokens - budget_tokens) <= 0.5
            looks = mark("full" if asked else "hollow", "series-0")
            point(
                axes,
                s.budget_tokens,
                value,
                looks,
                f"{format_tokens(s.budget_tokens)}: {nats(value)} ({ends}) {s.unit}",
            )
        _token_axis(axes, "budget, tokens (logarithmic)", _token_range(budgets.tolist(), 1.05))
        axes.set_ylim(*_padded([*low, *high]))
        axes.set_ylabel(f"minimised loss, {path[0].unit}")

    wide = [significant(float(part[2] - part[1]), 2) for part in (bands[0], bands[-1])]
    said = (
        f"The runs have {format_tokens(smallest)} to {format_tokens(largest)} tokens. The 90 % band is {wide[0]} "
        f"{path[0].unit} wide at {format_tokens(budgets[0])} and {wide[1]} at {format_tokens(budgets[-1])}."
    )
    legend = [("curve", "within the range of the runs"), ("beyond", "outside of it"), ("band", "90 % band"), _RANGE]
    legend += [("full", "point: the budget of this report")] if budget_tokens else []
    return Figure(
        "Predicted loss over the budget", said, draw, _PATH_WIDTH, _PATH_HEIGHT,
        subtitle="with the best weights of each budget", legend=legend,
    )  # fmt: skip


def _range_of(fit: Fit) -> tuple[float, float] | None:
    totals_R = fit.runs.totals_R[fit.runs.totals_R > 0]
    return (float(totals_R.min()), float(totals_R.max())) if len(totals_R) else None


def _mark_runs(axes: Any, fit: Fit | None, budgets: Sequence[float]) -> None:
    """Shade the range of the runs' total tokens, as far as it is in the picture."""
    ends = _range_of(fit) if fit else None
    if ends and ends[0] <= budgets[-1] and ends[1] >= budgets[0]:
        axes.axvspan(max(ends[0], budgets[0]), min(ends[1], budgets[-1]), zorder=0, gid="runs", **fill("range"))


def _broken(axes: Any, x: np.ndarray, y: np.ndarray, inside: np.ndarray, series: str) -> None:
    """Draw a line, broken where it is not inside; a piece begins where the one before it ends, without gaps."""
    cuts = [0, *(np.flatnonzero(np.diff(inside.astype(int))) + 1), len(x) - 1]
    for first, last in pairwise(cuts):
        piece = slice(max(first - 1, 0), last + 1)
        axes.plot(x[piece], y[piece], **mark("curve" if inside[first] else "beyond", series))


def _token_range(tokens: Sequence[float], room: float) -> tuple[float, float]:
    low, high = min(tokens), max(tokens)
    if high / low < 1.5:
        low, high = low / 1.5, high * 1.5
    return low / room, high * min(room, 1.12)


def _token_axis(axes: Any, title: str, ends: tuple[float, float], zero: float | None = None) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    ticks = log_ticks(*ends, 5)
    places = ticks if zero is None else [zero, *(tick for tick in ticks if tick > zero * 1.3)]
    axes.set_xticks(places, ["0" if place == zero else format_tokens(place) for place in places])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(title)
    _few_ticks(axes.yaxis)


def _few_ticks(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Return at most `count` round values between two, evenly spaced in their logarithms where that can be."""
    from matplotlib.ticker import MaxNLocator

    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**d for d in decades for m in steps if low * 0.999 <= m * 10.0**d <= high * 1.001]
        if len(ticks) <= count:
            break
    else:
        ticks = ticks[:: int(np.ceil(len(ticks) / count))]
    if len(ticks) < 2:
        ticks = [float(t) for t in MaxNLocator(3).tick_values(low, high) if low <= t <= high]
    return ticks


def _prediction(axes: Any, x: float, predicted: Mapping[str, float], style: str, unit: str) -> None:
    ends = (predicted["mean_low"], predicted["mean_high"])
    axes.plot([x, x], ends, **mark("whisker", style))
    low, high = (significant(end, 4) for end in ends)
    tip = f"predicted at the recommended mixture: {nats(predicted['mean'])} ({low} to {high}) {unit}"
    point(axes, x, predicted["mean"], mark("diamond", style), tip)


def _padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """Return the range of the finite values with some room at both ends; never an empty range."""
    array = np.array(values, float)
    array = array[np.isfinite(array)]
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    room = share * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def _apart(places: Mapping[str, float], gap: float, low: float, high: float) -> dict[str, float]:
    """Move labels so that none is nearer than `gap` to the next, and all stay between low and high."""
    order = sorted(places, key=lambda name: places[name])
    at = [places[name] for name in order]
    for i in range(len(at)):
        at[i] = max(at[i], at[i - 1] + gap if i else low)
    for i in range(len(at) - 1, -1, -1):
        at[i] = min(at[i], at[i + 1] - gap if i + 1 < len(at) else high)
    return dict(zip(order, at, strict=True))
