"""Figures with one row per domain or target: weights, changes of the losses, marginal values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import Change, target_changes, total_changes
from mixlaw.report.numbers import listed, percent, percent_interval, shortened, significant
from mixlaw.report.palette import series_of
from mixlaw.report.svg import Axis, Figure, Markup, Scale, element, joined, line, words
from mixlaw.solve.solution import Solution

WIDTH = 420
_RIGHT, _TOP = 62, 30
_NAME = 14
_FEW = 8


def weights_figure(solution: Solution, series: Mapping[str, str] | None = None) -> Figure:
    """Draw the recommended share of every domain as a bar, with the baselines as ticks across it.

    Args:
        solution: the solution.
        series: domain -> colour class; by default as in the report.
    """
    series = series or series_of(list(solution.weights), solution.weights)
    pitch = 34 if len(solution.weights) <= 8 else 24
    shares = [*solution.weights.values(), *(w for b in solution.baselines.values() for w in b["weights"].values())]
    x = Scale(0, max(shares) * 1.02, _left(solution.weights), WIDTH - _RIGHT)
    parts, bottom = [], _TOP + pitch * len(solution.weights)
    parts.append(_scale_on_top(x, "share of the training tokens, %", bottom, lambda v: f"{100 * v:g}"))
    for row, domain in enumerate(in_order(solution.weights)):
        y, share = _TOP + pitch * row + pitch / 2, solution.weights[domain]
        tip = f"{domain}: {percent(share)}, {format_tokens(solution.tokens[domain])} tokens"
        tips = [f"{name} {percent(b['weights'][domain])}" for name, b in solution.baselines.items()]
        parts += [
            words(shortened(domain, _NAME), x.start - 10, y + 4, "name", "end"),
            _bar(x(0), x(share), y, pitch * 0.5, series[domain], "; ".join([tip, *tips])),
        ]
        ends = x(share)
        for name, at in sorted(
            ((n, x(b["weights"][domain])) for n, b in solution.baselines.items()), key=lambda m: m[1]
        ):
            half = pitch * 0.36
            parts += [line(at, y - half, at, y + half, style) for style in ("halo", f"mark-{name}")]
            # A label that a mark would cross stands behind the mark.
            ends = at if ends - 4 < at < ends + 50 else ends
        parts.append(words(percent(share), ends + 8, y + 4, "value"))
    said = listed([f"{domain} {percent(share)}" for domain, share in solution.weights.items()])
    return Figure("Recommended weights", f"Shares of the budget: {said}.", joined(parts), WIDTH, bottom + 8)


def changes_figure(fit: Fit, solution: Solution, against: str = "equal") -> Figure:
    """Draw how every target's predicted loss and the total change against a baseline, with 90 % intervals.

    Args:
        fit: the fit.
        solution: the solution.
        against: name of the baseline.
    """
    rows = {name: dict(changes) for name, changes in target_changes(fit, solution, against).items()}
    rows["recommended"]["total"] = total_changes(fit, solution)[against]
    names = [*(t for t in in_order(solution.weights) if t in fit.targets), "total"]
    pitch = 34 if len(names) <= 9 else 26
    shown = [v for changes in rows.values() for c in changes.values() for v in (c.mean, c.low, c.high)]
    low, high = min(0.0, *shown), max(0.0, *shown)
    room = 0.08 * (high - low) or 0.01
    x = Scale(low - room, high + room, _left(names), WIDTH - 14)
    bottom = _TOP + pitch * len(names)
    title = f"change of loss from the {against} mixture, %"
    parts = [_scale_on_top(x, title, bottom, lambda v: f"{100 * v:+g}".replace("-", "−") if v else "0")]
    parts.append(line(x(0), _TOP, x(0), bottom, "zero"))
    for row, name in enumerate(names):
        y = _TOP + pitch * row + pitch / 2
        style = "name strong" if name == "total" and row == len(names) - 1 else "name"
        parts.append(words(shortened(name, _NAME), x.start - 10, y + 4, style, "end"))
        for mixture in [m for m in rows if m != "recommended"] + ["recommended"]:
            if name in rows[mixture]:
                shift = 0 if len(rows) == 1 or mixture == "recommended" else pitch * 0.24
                up = -pitch * 0.14 if len(rows) > 1 and mixture == "recommended" else shift
                parts.append(_interval(x, y + up, rows[mixture][name], f"mix-{mixture}", f"{name}, {mixture}"))
    total = rows["recommended"]["total"]
    said = f"Total of the recommended mixture: {percent(total.mean, 1, True)}, {_of(total)}."
    return Figure("Predicted change of every loss", said, joined(parts), WIDTH, bottom + 8)


def marginal_figure(solution: Solution, series: Mapping[str, str] | None = None) -> Figure:
    """Draw how much the total loss would fall per million further tokens of each domain, in nats.

    Args:
        solution: the solution.
        series: domain -> colour class; by default as in the report.
    """
    series = series or series_of(list(solution.weights), solution.weights)
    order = sorted(solution.marginal, key=lambda domain: -solution.marginal[domain])
    values = solution.marginal
    pitch = 30 if len(order) <= 8 else 24
    ends = {d: (i["low"], i["high"]) for d, i in solution.marginal_interval.items()}
    low, high = (limit(0.0, *values.values(), *(v for pair in ends.values() for v in pair)) for limit in (min, max))
    x = Scale(low, high + 0.02 * (high - low) or 1.0, _left(order), WIDTH - _RIGHT - 10)
    bottom = _TOP + pitch * len(order)
    parts = [_scale_on_top(x, "nats per million tokens", bottom, None, 3)]
    for row, domain in enumerate(order):
        y, text = _TOP + pitch * row + pitch / 2, significant(values[domain])
        start, end = ends.get(domain, (values[domain], values[domain]))
        tip = f"{domain}: {text} nats per million tokens"
        if domain in ends:
            tip += f", 90 % interval {significant(start, 2)} to {significant(end, 2)}"
        parts += [
            words(shortened(domain, _NAME), x.start - 10, y + 4, "name", "end"),
            _bar(x(0), x(values[domain]), y, pitch * 0.5, series[domain], tip),
            line(x(start), y, x(end), y, "whisker mix-recommended") if domain in ends else Markup(""),
            words(text, x(max(values[domain], end, 0.0)) + 8, y + 4, "value"),
        ]
    said = listed([f"{domain} {significant(values[domain])}" for domain in order])
    return Figure(
        "What more data would be worth", f"Nats per million tokens: {said}.", joined(parts), WIDTH, bottom + 8
    )


def in_order(weights: Mapping[str, float]) -> list[str]:
    """Return the domains as given, or by falling share where there are too many to find one by its place."""
    return list(weights) if len(weights) <= _FEW else sorted(weights, key=lambda domain: -weights[domain])


def _left(names: Iterable[str]) -> float:
    return 18 + 7.4 * max(len(shortened(name, _NAME)) for name in names)


def _scale_on_top(x: Scale, title: str, bottom: float, label: Callable[[float], str] | None, count: int = 4) -> Markup:
    parts = [words(title, x.end, 11, "axis-title", "end")]
    for at, text in Axis(x, title, label, count).ticks():
        parts += [line(at, _TOP, at, bottom, "grid"), words(text, at, 26, "tick", "middle")]
    return joined(parts)


def _bar(start: float, end: float, y: float, thick: float, style: str, tip: str) -> Markup:
    left, wide = min(start, end), max(abs(end - start), 1.0)
    return element(
        "rect", x=left, y=y - thick / 2, width=wide, height=thick, rx=2, class_=f"fill {style}", data_tip=tip
    )


def _interval(x: Scale, y: float, change: Change, style: str, what: str) -> Markup:
    tip = f"{what}: {percent(change.mean, 2, True)}, {_of(change)}"
    shapes = [line(x(change.low), y, x(change.high), y, f"whisker {style}")] if change.has_interval else []
    shapes.append(element("circle", cx=x(change.mean), cy=y, r=4.5, class_=f"dot {style}", data_tip=tip))
    return joined(shapes)


def _of(change: Change) -> str:
    if not change.has_interval:
        return "no interval"
    return f"90 % interval {percent_interval(change.low, change.high, 2, True)}"
