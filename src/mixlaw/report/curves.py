"""Figures with a plane of numbers: fitted curves, predicted against measured, weights over the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.prediction import BAND_ENDS
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import LEVEL, available_of, base_level, curve, losses_by_draw
from mixlaw.report.numbers import nats, percent, shortened, significant
from mixlaw.report.palette import series_of
from mixlaw.report.svg import (
    Axis,
    Figure,
    Markup,
    Scale,
    element,
    frame,
    joined,
    line,
    padded,
    polyline,
    ribbon,
    window,
    words,
)  # fmt: skip
from mixlaw.solve.solution import Solution

WIDTH, HEIGHT = 350, 262
_PATH_END, _PATH_HEIGHT = 322, 290
_LETTER = 8.6
"""Pixels of a bold letter, in the widest of the usual fonts."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 26, 44


def curve_figure(
    fit: Fit, runs: RunTable, target: str, solution: Solution | None = None, style: str = "series-0"
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
    """
    own = runs.tokens_RK[:, runs.domains.index(target)]
    others = runs.totals_R - own
    losses = runs.losses_RJ[:, runs.targets.index(target)]
    level = base_level(others[np.isfinite(losses)])
    at_level = np.abs(others - level) <= LEVEL * max(level, 1)
    there = np.isfinite(losses)
    largest = float(own[there].max(initial=0.0)) or 1.0
    smallest = float(own[there & (own > 0)].min(initial=largest))
    tokens = [smallest, largest] + ([float(solution.tokens[target])] if solution else [])
    zeros = bool((own[there] == 0).any())
    x = _token_scale([t for t in tokens if t > 0], room=1.6 if zeros else 1.12)
    grid = np.geomspace(x.low * (1.3 if zeros else 1), x.high, 72)
    mean, low, high = curve(fit, target, grid, level)
    seen = [*losses[there], *mean]
    planned = float(solution.tokens[target]) if solution else 0.0
    if solution and planned > 0:
        seen += [solution.predicted[target]["mean_low"], solution.predicted[target]["mean_high"]]
    y = Scale(*padded(seen), HEIGHT - _BOTTOM, _TOP)
    px = [x(g) for g in grid]
    inside = grid <= largest * 1.0001
    marks = []
    if solution and planned > 0:
        there_too = curve(fit, target, grid, solution.budget_tokens - planned)[0]
        marks.append(polyline(zip(px, map(y, there_too), strict=True), f"curve faint {style}"))
    marks += [ribbon(px, map(y, low), map(y, high), f"band {style}")]
    marks.append(polyline([(a, y(v)) for a, v, i in zip(px, mean, inside, strict=True) if i], f"curve {style}"))
    if not inside.all():
        tail = slice(max(int(inside.sum()) - 1, 0), None)
        marks.append(polyline(zip(px[tail], map(y, mean[tail]), strict=True), f"curve beyond {style}"))
        marks.append(line(x(largest), y.start, x(largest), y.end, "edge"))
    shown = np.flatnonzero(there)
    for r in map(int, shown[np.argsort(at_level[shown], kind="stable")]):
        tip = f"{runs.runs[r]}: {nats(losses[r])} nats, own {format_tokens(own[r])}, others {format_tokens(others[r])}"
        at = x(own[r]) if own[r] > 0 else x.start + 6
        marks.append(_dot(at, y(losses[r]), f"{'full' if at_level[r] else 'hollow'} {style}", tip))
    if solution and planned > 0:
        marks.append(_prediction(x(planned), y, solution.predicted[target], style))
    axis = Axis(x, "own tokens", format_tokens, 5, ((x.start + 6, "0"),) if zeros else ())
    body = joined([frame(axis, Axis(y, "loss, nats per token")), window(x, y, *marks)])
    said = (
        f"{int(there.sum())} runs from {format_tokens(smallest)} to {format_tokens(largest)} own tokens; the law runs "
        f"from {nats(mean[0])} to {nats(mean[-1])} nats with the other domains at {format_tokens(level)} tokens."
    )
    subtitle = f"others at {format_tokens(level)}"
    return Figure(target, said, body, WIDTH, HEIGHT, subtitle)


def parity_figure(fit: Fit, runs: RunTable, target: str, style: str = "series-0") -> Figure:
    """Draw measured against predicted losses of all runs; runs that the fit did not see are hollow.

    Args:
        fit: the fit.
        runs: the runs.
        target: a target.
        style: colour class.
    """
    losses = runs.losses_RJ[:, runs.targets.index(target)]
    predicted = fit.predict(runs, at="point").mean[:, list(fit.targets).index(target)]
    there = np.isfinite(losses)
    both = padded([*losses[there], *predicted[there]])
    x, y = Scale(*both, _LEFT, WIDTH - _RIGHT), Scale(*both, HEIGHT - _BOTTOM, _TOP)
    used = np.array([run in set(fit.runs.runs) for run in runs.runs])
    marks = [line(x(both[0]), y(both[0]), x(both[1]), y(both[1]), "diagonal")]
    for r in np.flatnonzero(there):
        tip = f"{runs.runs[r]}: predicted {nats(predicted[r])}, measured {nats(losses[r])}"
        marks.append(_dot(x(predicted[r]), y(losses[r]), f"{'full' if used[r] else 'hollow'} {style}", tip))
    body = joined([frame(Axis(x, "predicted, nats"), Axis(y, "measured, nats")), window(x, y, *marks)])
    fitted = fit.targets[target]
    error = float(np.mean(np.abs(predicted[there] / losses[there] - 1)))
    said = f"Mean relative error in the sample {percent(error, 2)}; held out, {percent(fitted.cv_mre, 2)}."
    subtitle = f"held out {percent(fitted.cv_mre, 1)} · mean {percent(fitted.cv_mre_mean, 1)}"
    return Figure(target, said, body, WIDTH, HEIGHT, subtitle if np.isfinite(fitted.cv_mre) else "")


def path_figure(path: Sequence[Solution], budget_tokens: float | None = None) -> Figure:
    """Draw the best weights over the budget.

    Args:
        path: solutions at different budgets.
        budget_tokens: a budget to mark.
    """
    path = sorted(path, key=lambda solution: solution.budget_tokens)
    domains = list(path[0].weights)
    at = min(path, key=lambda s: abs(np.log(s.budget_tokens / (budget_tokens or path[-1].budget_tokens))))
    series = series_of(domains, at.weights)
    height, end = _PATH_HEIGHT, _PATH_END
    x = _token_scale([s.budget_tokens for s in path], room=1.0, end=end)
    top = max(w for s in path for w in s.weights.values())
    y = Scale(0, min(1.0, top * 1.08), height - _BOTTOM, _TOP)
    marks = []
    if budget_tokens and x.low <= budget_tokens <= x.high:
        marks.append(line(x(budget_tokens), y.start, x(budget_tokens), y.end, "edge"))
    ordered = sorted(domains, key=lambda d: (series[d] != "series-rest", path[-1].weights[d]))
    for domain in ordered:
        points = [(x(s.budget_tokens), y(s.weights[domain])) for s in path]
        marks.append(polyline(points, f"curve {series[domain]}"))
        for (a, b), s in zip(points, path, strict=True):
            tip = f"{domain}: {percent(s.weights[domain])} at {format_tokens(s.budget_tokens)}"
            marks.append(_dot(a, b, f"full {series[domain]}", tip, 2.5))
    named = [d for d in domains if series[d] != "series-rest"]
    labels = _apart({d: y(path[-1].weights[d]) for d in named}, 16, y.end, y.start)
    said_of = {d: f"{shortened(d, 13)} {percent(path[-1].weights[d], 0)}" for d in named}
    names = [words(said_of[d], end + 9, at_y + 4, f"name ink {series[d]}") for d, at_y in labels.items()]
    if len(named) < len(domains):
        names.append(words(f"grey: {len(domains) - len(named)} others", end + 9, height - 10, "tick"))
    width = end + 14 + _LETTER * max(12, *map(len, said_of.values()))
    axes = frame(
        Axis(x, "budget, tokens", format_tokens, 6), Axis(y, "share of the budget, %", lambda v: f"{100 * v:g}")
    )
    said = "; ".join(f"{d} {percent(path[0].weights[d])} to {percent(path[-1].weights[d])}" for d in domains)
    span = f"{format_tokens(path[0].budget_tokens)} to {format_tokens(path[-1].budget_tokens)}"
    return Figure("Best weights at each budget", f"From {span}: {said}.", joined([axes, *marks, *names]), width, height)


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
    totals_R = fit.runs.totals_R[fit.runs.totals_R > 0]
    smallest, largest = (float(totals_R.min()), fit.largest_run) if len(totals_R) else (grid[0], grid[-1])
    x, y = _token_scale(budgets.tolist(), 1.0, _PATH_END), Scale(*padded([*low, *high]), _PATH_HEIGHT - _BOTTOM, _TOP)
    px, inside = [x(g) for g in grid], (grid >= smallest * 0.999) & (grid <= largest * 1.001)
    marks = [ribbon(px, map(y, low), map(y, high), "band series-0")]
    # A piece begins where the one before it ends, so that the line has no gaps.
    cuts = [0, *(np.flatnonzero(np.diff(inside.astype(int))) + 1), len(grid) - 1]
    for first, last in pairwise(cuts):
        piece = slice(max(first - 1, 0), last + 1)
        style = "curve series-0" if inside[first] else "curve beyond series-0"
        marks.append(polyline(zip(px[piece], map(y, mean[piece]), strict=True), style))
    ends = [end for end in (smallest, largest) if budgets[0] <= end <= budgets[-1]]
    marks += [line(x(end), y.start, x(end), y.end, "edge") for end in ends]
    for s, (value, lower, upper) in zip(path, bands, strict=True):
        ends_ = f"{significant(float(lower), 4)} to {significant(float(upper), 4)}"
        tip = f"{format_tokens(s.budget_tokens)}: {nats(float(value))} ({ends_}) nats"
        asked = budget_tokens is not None and abs(s.budget_tokens - budget_tokens) <= 0.5
        marks.append(_dot(x(s.budget_tokens), y(value), f"{'full' if asked else 'hollow'} series-0", tip))
    body = joined([frame(Axis(x, "budget, tokens", format_tokens, 5), Axis(y, "loss, nats")), window(x, y, *marks)])
    wide = [significant(float(part[2] - part[1]), 2) for part in (bands[0], bands[-1])]
    said = (
        f"The runs have {format_tokens(smallest)} to {format_tokens(largest)} tokens. The 90 % band is {wide[0]} nats "
        f"wide at {format_tokens(budgets[0])} and {wide[1]} at {format_tokens(budgets[-1])}."
    )
    return Figure(
        "Predicted loss over the budget",
        said,
        body,
        _PATH_END + 14 + 12 * _LETTER,
        _PATH_HEIGHT,
        "with the best weights of each budget",
    )


def _token_scale(tokens: Sequence[float], room: float, end: float = WIDTH - _RIGHT) -> Scale:
    low, high = min(tokens), max(tokens)
    if high / low < 1.5:
        low, high = low / 1.5, high * 1.5
    return Scale(low / room, high * min(room, 1.12), _LEFT, end, log=True)


def _dot(x: float, y: float, style: str, tip: str, radius: float = 3.8) -> Markup:
    return element("circle", cx=x, cy=y, r=radius, class_=f"point {style}", data_tip=tip)


def _prediction(x: float, y: Scale, predicted: Mapping[str, float], style: str) -> Markup:
    middle, size = y(predicted["mean"]), 6
    shape = f"M{x:.1f},{middle - size:.1f}l{size},{size}l{-size},{size}l{-size},{-size}Z"
    low, high = significant(predicted["mean_low"], 4), significant(predicted["mean_high"], 4)
    tip = f"predicted at the recommended mixture: {nats(predicted['mean'])} ({low} to {high}) nats"
    return joined(
        [
            line(x, y(predicted["mean_low"]), x, y(predicted["mean_high"]), f"whisker {style}"),
            element("path", d=shape, class_=f"diamond {style}", data_tip=tip),
        ]
    )


def _apart(places: Mapping[str, float], gap: float, top: float, bottom: float) -> dict[str, float]:
    """Move labels so that none is nearer than `gap` to the next, and all stay between top and bottom."""
    order = sorted(places, key=lambda name: places[name])
    at = [places[name] for name in order]
    for i in range(len(at)):
        at[i] = max(at[i], at[i - 1] + gap if i else top)
    for i in range(len(at) - 1, -1, -1):
        at[i] = min(at[i], at[i + 1] - gap if i + 1 < len(at) else bottom)
    return dict(zip(order, at, strict=True))
