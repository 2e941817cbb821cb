"""Figures with one row per domain or target: weights, changes of the losses, marginal values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import Change, target_changes, total_changes
from mixlaw.report.drawing import TIP, Figure, mark, mixture_mark, point
from mixlaw.report.numbers import listed, percent, percent_interval, shortened, significant
from mixlaw.report.palette import colours, series_of
from mixlaw.solve.solution import Solution

WIDTH = 430
_NAME, _SHORT = 34, 14
_FEW = 8
_FOOT = 56
_MEANS = {"equal": "equal mixture", "natural": "natural mixture (in proportion to the available tokens)"}


def weights_figure(solution: Solution, series: Mapping[str, str] | None = None) -> Figure:
    """Draw the recommended share of every domain as a bar, with the baselines as ticks across it.

    Args:
        solution: the solution.
        series: domain -> colour class; by default as in the report.
    """
    of, names = series or series_of(list(solution.weights), solution.weights), in_order(solution.weights)
    most = max([*solution.weights.values(), *(w for b in solution.baselines.values() for w in b["weights"].values())])

    def draw(axes: Any) -> None:
        for row, domain in enumerate(names):
            share = solution.weights[domain]
            tip = f"{domain}: {percent(share)}, {format_tokens(solution.tokens[domain])} tokens"
            tips = [f"{name} {percent(b['weights'][domain])}" for name, b in solution.baselines.items()]
            _bar(axes, row, share, of[domain], "; ".join([tip, *tips]))
            end = share
            for at, name in sorted((b["weights"][domain], name) for name, b in solution.baselines.items()):
                halo = mark("mark-equal") | {"color": colours()["paper"], "linewidth": 4.5}
                for looks in (halo, mark(f"mark-{name}")):
                    axes.plot([at, at], [row - 0.36, row + 0.36], solid_capstyle="butt", **looks)
                # A label that a mark would cross stands behind the mark.
                end = at if end - 0.02 * most < at < end + 0.16 * most else end
            _value(axes, row, end, percent(share))
        _rows(axes, names, (0, most * 1.2))
        _label(axes, "share of the training tokens, %", lambda v: f"{100 * v:g}")

    said = listed([f"{domain} {percent(share)}" for domain, share in solution.weights.items()])
    legend = [("bar", "recommended"), *((f"mark-{name}", _MEANS.get(name, name)) for name in solution.baselines)]
    at = f"at {format_tokens(solution.budget_tokens)} tokens"
    return Figure(
        "Recommended weights", f"Shares of the budget: {said}.", draw, *_size(names, 33), subtitle=at, legend=legend
    )


def changes_figure(fit: Fit, solution: Solution, against: str = "equal") -> Figure:
    """Draw how every target's predicted loss and the total change against a baseline, with 90 % intervals.

    Args:
        fit: the fit.
        solution: the solution.
        against: name of the baseline.
    """
    rows = {name: dict(changes) for name, changes in target_changes(fit, solution, against).items()}
    total = rows["recommended"]["total"] = total_changes(fit, solution)[against]
    names = [*(t for t in in_order(solution.weights) if t in fit.targets), "total"]
    others = [name for name in rows if name != "recommended"]

    def draw(axes: Any) -> None:
        axes.axvline(0, color=colours()["axis"], linewidth=1.5, zorder=1)
        for row, name in enumerate(names):
            for mixture in [*others, "recommended"]:
                if name in rows[mixture]:
                    shift = 0.0 if not others else -0.14 if mixture == "recommended" else 0.24
                    _interval(axes, row + shift, rows[mixture][name], mixture, f"{name}, {mixture}")
        _rows(axes, names)
        axes.get_yticklabels()[-1].set_fontweight("bold")
        title = f"change of the loss from the {against} mixture, %"
        _label(axes, title, lambda v: f"{100 * v:+g}".replace("-", "−") if v else "0")

    said = f"Total of the recommended mixture: {percent(total.mean, 1, True)}, {_of(total)}."
    legend = [("mix-recommended", "recommended mixture")]
    legend += [(f"mix-{name}", f"{name} mixture") for name in others]
    return Figure(
        "Predicted change of every loss", said, draw, *_size(names, 33, at_most=9), subtitle="below 0 is better",
        legend=[*legend, ("whisker/ink", "90 % interval")],
    )  # fmt: skip


def marginal_figure(solution: Solution, series: Mapping[str, str] | None = None) -> Figure:
    """Draw how much the total loss would fall with more tokens of each domain, in nats.

    Args:
        solution: the solution.
        series: domain -> colour class; by default as in the report.
    """
    of = series or series_of(list(solution.weights), solution.weights)
    size, step = solution.further()
    values = {domain: size * value for domain, value in solution.marginal.items()}
    names = sorted(values, key=lambda domain: -values[domain])
    ends = {d: (size * i["low"], size * i["high"]) for d, i in solution.marginal_interval.items()}
    seen = [0.0, *values.values(), *(v for pair in ends.values() for v in pair)]

    def draw(axes: Any) -> None:
        for row, domain in enumerate(names):
            text = significant(values[domain])
            start, end = ends.get(domain, (values[domain], values[domain]))
            tip = f"{domain}: {text} {solution.unit} per {step} tokens"
            if domain in ends:
                tip += f", 90 % interval {significant(start, 2)} to {significant(end, 2)}"
                axes.plot([start, end], [row, row], **mark("whisker", "ink"))
            _bar(axes, row, values[domain], of[domain], tip)
            _value(axes, row, max(values[domain], end, 0.0), text)
        low, high = min(seen), max(seen)
        _rows(axes, names, (low, high + 0.22 * (high - low or 1.0)))
        _label(axes, f"fall of the loss, {solution.unit} per {step} tokens")

    each = listed([f"{domain} {significant(values[domain])}" for domain in names])
    said = f"{solution.unit.capitalize()} per {step} tokens: {each}."
    return Figure(
        "What more data would be worth", said, draw, *_size(names, 30),
        legend=[("bar", "mean")] + ([("whisker/ink", "90 % interval")] if ends else []),
    )  # fmt: skip


def in_order(weights: Mapping[str, float]) -> list[str]:
    """Return the domains as given, or by falling share where there are too many to find one by its place."""
    return list(weights) if len(weights) <= _FEW else sorted(weights, key=lambda domain: -weights[domain])


def _size(names: Sequence[str], pitch: float, at_most: int = _FEW) -> tuple[float, float]:
    """Return width and height for these rows: long names make a figure wider."""
    longest = max(len(shortened(name, _NAME)) for name in names)
    width = WIDTH + 6.0 * max(longest - _SHORT, 0)
    return width, _FOOT + (pitch if len(names) <= at_most else 24) * len(names)


def _rows(axes: Any, names: Iterable[str], ends: tuple[float, float] | None = None) -> None:
    names = [shortened(name, _NAME) for name in names]
    axes.set_yticks(range(len(names)), names, color=colours()["ink"], fontsize=10.5)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(axis="y", visible=False)
    if ends:
        axes.set_xlim(*ends)
    else:
        axes.margins(x=0.08)


def _label(axes: Any, title: str, label: Callable[[float], str] | None = None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel(title)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    if label:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: label(round(value, 12))))


def _bar(axes: Any, row: int, value: float, series: str, tip: str) -> None:
    axes.barh(row, value, height=0.5, color=colours()[series], gid=TIP + tip, zorder=2)


def _value(axes: Any, row: int, end: float, text: str) -> None:
    axes.annotate(text, (end, row), (7, 0), textcoords="offset points", va="center", fontweight="bold", zorder=5)


def _interval(axes: Any, row: float, change: Change, mixture: str, what: str) -> None:
    if change.has_interval:
        series = "ink" if mixture == "recommended" else "series-rest"
        axes.plot([change.low, change.high], [row, row], **mark("whisker", series))
    point(axes, change.mean, row, mixture_mark(mixture), f"{what}: {percent(change.mean, 2, True)}, {_of(change)}")


def _of(change: Change) -> str:
    if not change.has_interval:
        return "no interval"
    return f"90 % interval {percent_interval(change.low, change.high, 2, True)}"
