"""Just enough SVG: elements whose text is escaped by default, scales with round ticks, and a chart's frame.

Colours are classes (`series-0`, `grid`, ...) that `templates/figures.css` gives a light and a dark value, so that a
figure follows the page it is in. Coordinates are pixels at the size where 12 px text is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np


class Markup(str):
    """Text that is markup already, and is not escaped again (here, nor by Jinja)."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Return one element; children and attribute values that are not `Markup` are escaped.

    Args:
        name: the tag.
        children: text or `Markup`.
        attributes: `_` becomes `-` (`text_anchor`), a trailing one is dropped (`class_`); None leaves one out.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{name}{pairs}>{inside}</{name}>")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def joined(parts: Iterable[Markup]) -> Markup:
    """Return the elements one after another."""
    return Markup("".join(parts))


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Attributes:
        title: what it shows, a heading's words.
        description: what a reader who cannot see it should know.
        body: the elements.
        width: pixels.
        height: pixels.
        subtitle: a second line under the title.
    """

    title: str
    description: str
    body: Markup
    width: float
    height: float
    subtitle: str = ""

    @property
    def svg(self) -> Markup:
        """The `<svg>` element for a page that has `figures.css`."""
        return element(
            "svg",
            self.body,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            width=self.width,
            height=self.height,
            role="img",
            aria_label=f"{self.title}. {self.description}",
            class_="figure",
        )

    def standalone(self) -> str:
        """Return the text of an SVG file: the figure with its own stylesheet."""
        style = element("style", Markup(stylesheet()))
        svg = Figure(self.title, self.description, Markup(style + self.body), self.width, self.height).svg
        return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"

    def _repr_svg_(self) -> str:
        return self.standalone()


def stylesheet() -> str:
    """Return the figures' stylesheet, light and dark."""
    return (Path(__file__).parent / "templates" / "figures.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Scale:
    """A map from values to pixels, linear or logarithmic.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: pixel.
        end: pixel.
        log: whether equal ratios take equal space.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values inside the scale."""
        return _log_ticks(self.low, self.high, count) if self.log else _linear_ticks(self.low, self.high, count)


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**d for d in decades for m in steps if low * 0.999 <= m * 10.0**d <= high * 1.001]
        if len(ticks) <= count:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / count)]
    return ticks if len(ticks) >= 2 else _linear_ticks(low, high, 3)


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """Return the range of the finite values with some room at both ends; never an empty range."""
    array = np.array(list(values), float)
    array = array[np.isfinite(array)]
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    room = share * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


@dataclass(frozen=True)
class Axis:
    """One axis of a frame.

    Attributes:
        scale: values to pixels.
        title: the quantity and its unit.
        label: value -> text of a tick; None for as many decimals as the ticks need.
        count: about how many ticks.
        extra: further ticks, (pixel, text), such as a zero left of a logarithmic scale.
    """

    scale: Scale
    title: str
    label: Callable[[float], str] | None = None
    count: int = 5
    extra: tuple[tuple[float, str], ...] = ()

    def ticks(self) -> list[tuple[float, str]]:
        """Return (pixel, text) of every tick."""
        values = self.scale.ticks(self.count)
        label = self.label or decimals(values)
        return [(self.scale(value), label(value)) for value in values] + list(self.extra)


def decimals(values: Iterable[float]) -> Callable[[float], str]:
    """Return a formatter with just as many decimals as the values need to be told exactly."""
    values = list(values)
    digits = next((d for d in range(8) if all(abs(round(v, d) - v) < 1e-9 for v in values)), 8)
    return lambda value: f"{value:.{digits}f}".replace("-", "−")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def words(text: str, x: float, y: float, class_: str = "label", anchor: str = "start") -> Markup:
    """Return a line of text at its baseline."""
    return element("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def polyline(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Return a line through points."""
    return element("path", d=_path(points), class_=class_)


def ribbon(xs: Iterable[float], lows: Iterable[float], highs: Iterable[float], class_: str) -> Markup:
    """Return the area between two lines, all in pixels."""
    xs = list(xs)
    edge = list(zip(xs, highs, strict=True)) + list(zip(xs, lows, strict=True))[::-1]
    return element("path", d=_path(edge) + "Z", class_=class_)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def window(x: Scale, y: Scale, *children: Markup) -> Markup:
    """Return the children, cut off at the edges of the two scales."""
    left, top = min(x.start, x.end), min(y.start, y.end)
    wide, high = abs(x.end - x.start), abs(y.end - y.start)
    return element(
        "svg", *children, x=left, y=top, width=wide, height=high, viewBox=f"{left:g} {top:g} {wide:g} {high:g}"
    )


def frame(x: Axis, y: Axis) -> Markup:
    """Return grid, tick labels and titles of two axes; the y title stands on top, where it reads level."""
    left, right = x.scale.start, x.scale.end
    bottom, top = y.scale.start, y.scale.end
    parts = [words(y.title, 0, top - 12, "axis-title")]
    for at, text in y.ticks():
        parts += [line(left, at, right, at, "grid"), words(text, left - 7, at + 4, "tick", "end")]
    parts.append(line(left, bottom, right, bottom, "axis"))
    for at, text in x.ticks():
        parts += [line(at, bottom, at, bottom + 4, "axis"), words(text, at, bottom + 17, "tick", "middle")]
    parts.append(words(x.title, right, bottom + 35, "axis-title", "end"))
    return joined(parts)
