"""Figures as PNG, for places that show no SVG of their own: a pull request.

The report's figures are drawn once, as SVG; this reads the few elements that `mixlaw.report.svg` makes and the light
half of `figures.css`, and draws them with Matplotlib, whose font comes with it, so that the pictures are the same on
every machine.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mixlaw.core.errors import MissingExtra
from mixlaw.report.sections import Section
from mixlaw.report.svg import Figure, stylesheet

SCALE = 2.0
"""Pixels of the file per pixel of the figure."""

_GAP, _TITLE, _PER_ROW, _PANELS = 28.0, 24.0, 3, 6
_FONT = 0.88
"""DejaVu Sans is wider than the fonts of a browser."""


def write_png(path: Path, figures: Sequence[Figure], titled: bool = False) -> None:
    """Write figures side by side, three in a row.

    Args:
        path: the file.
        figures: one or more.
        titled: whether each has its title above it.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise MissingExtra("matplotlib", "report", "the figures of report.md") from None

    columns = min(len(figures), _PER_ROW)
    rows = [figures[i : i + columns] for i in range(0, len(figures), columns)]
    head = _TITLE if titled else 0.0
    wide = max(sum(f.width for f in row) + _GAP * (len(row) - 1) for row in rows)
    high = sum(max(f.height for f in row) + head for row in rows) + _GAP * (len(rows) - 1)
    margin = _GAP / 2
    canvas = Canvas(figsize=((wide + 2 * margin) / 72, (high + 2 * margin) / 72), dpi=72 * SCALE, facecolor="white")
    FigureCanvasAgg(canvas)
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_xlim(-margin, wide + margin)
    axes.set_ylim(high + margin, -margin)
    axes.axis("off")
    pen, top = _Pen(axes), 0.0
    for row in rows:
        left = 0.0
        for figure in row:
            if titled:
                pen.title(figure, left, top)
            pen.figure(figure, left, top + head)
            left += figure.width + _GAP
        top += max(f.height for f in row) + head + _GAP
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def write_pictures(folder: Path, sections: Sequence[Section]) -> dict[str, tuple[str, str]]:
    """Write one PNG a section that has figures, the first six side by side.

    Returns:
        The section's id -> the file's name and what it shows, in words.
    """
    written = {}
    for section in sections:
        if section.figures:
            shown, panels = section.figures[:_PANELS], section.layout == "panels"
            write_png(folder / f"{section.id}.png", shown, titled=panels)
            what = "; ".join(f.title for f in shown) if panels else f"{shown[0].title}. {shown[0].description}"
            written[section.id] = (f"{section.id}.png", f"{section.heading}: {what}" if panels else what)
    return written


class _Pen:
    """Draws elements at an offset, clipped where a nested `<svg>` says so."""

    def __init__(self, axes: Any) -> None:
        self.axes, self.style, self.order = axes, _Style(), 0.0

    def title(self, figure: Figure, left: float, top: float) -> None:
        size = 13 * _FONT
        self._text(figure.title, left, top + 13, size, "#1d2329", "bold", "left")
        if figure.subtitle:
            shift = left + 9 + 0.68 * size * min(len(figure.title), 30)
            self._text(figure.subtitle, shift, top + 13, 11 * _FONT, "#5b6570", "normal", "left")

    def figure(self, figure: Figure, left: float, top: float) -> None:
        root = ElementTree.fromstring(f"<svg>{figure.body}</svg>")
        for node in root:
            self.draw(node, left, top, "", None)

    def draw(self, node: ElementTree.Element, left: float, top: float, inherited: str, clip: Any) -> None:
        from matplotlib.patches import Rectangle

        classes = f"{inherited} {node.get('class', '')}"
        value = {key: float(text) for key, text in node.attrib.items() if key in _NUMBERS}
        if node.tag in ("svg", "g"):
            if node.tag == "svg":
                box = (value["x"] + left, value["y"] + top)
                clip = Rectangle(box, value["width"], value["height"], transform=self.axes.transData)
            for child in node:
                self.draw(child, left, top, classes, clip)
            return
        if node.tag == "text":
            style = self.style.of(classes)
            anchor = {"middle": "center", "end": "right"}.get(node.get("text-anchor", ""), "left")
            size = float(re.sub("px$", "", style.get("font-size", "12px"))) * _FONT
            weight = "bold" if int(style.get("font-weight", "400")) >= 600 else "normal"
            words = "".join(node.itertext())
            self._text(words, value["x"] + left, value["y"] + top, size, style.get("fill", "#1d2329"), weight, anchor)
            return
        self._shape(node.tag, node.get("d", ""), value, (left, top), self.style.of(classes), clip)

    def _shape(
        self, tag: str, d: str, value: dict[str, float], at: tuple[float, float], style: dict[str, str], clip: Any
    ) -> None:
        from matplotlib.patches import Circle, PathPatch, Rectangle
        from matplotlib.path import Path as Outline

        left, top = at
        if tag == "rect":
            patch = Rectangle((value["x"] + left, value["y"] + top), value["width"], value["height"])
        elif tag == "circle":
            patch = Circle((value["cx"] + left, value["cy"] + top), value["r"])
        elif tag == "line":
            ends = [(value["x1"] + left, value["y1"] + top), (value["x2"] + left, value["y2"] + top)]
            patch = PathPatch(Outline(ends))
        else:
            patch = PathPatch(Outline([(x + left, y + top) for x, y in _points(d)], closed=False))
        fill, stroke = style.get("fill", "#000"), style.get("stroke", "none")
        patch.set_facecolor("none" if tag == "line" else fill)
        patch.set_edgecolor(stroke)
        patch.set_linewidth(float(style.get("stroke-width", "1")) if stroke != "none" else 0.0)
        if dashes := style.get("stroke-dasharray"):
            width = max(patch.get_linewidth(), 1e-6)
            patch.set_linestyle((0, tuple(float(part) / width for part in dashes.split())))
        patch.set_alpha(float(style.get("opacity", "1")))
        self.order += 1e-3
        patch.set_zorder(self.order)
        self.axes.add_patch(patch)
        if clip is not None:
            patch.set_clip_path(clip)

    def _text(self, words: str, x: float, y: float, size: float, colour: str, weight: str, anchor: str) -> None:
        self.order += 1e-3
        self.axes.text(
            x, y, words, fontsize=size, color=colour, fontweight=weight, ha=anchor, va="baseline",
            family="DejaVu Sans", parse_math=False, zorder=self.order,
        )  # fmt: skip


_NUMBERS = {"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "width", "height"}


def _points(d: str) -> list[tuple[float, float]]:
    """Return the corners of a path of the commands that figures use: M, L and l with pairs, and Z."""
    found: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MLlZ])([^MLlZ]*)", d):
        pairs = [float(part) for part in numbers.replace(",", " ").split()]
        for x, y in zip(pairs[::2], pairs[1::2], strict=True):
            found.append((found[-1][0] + x, found[-1][1] + y) if command == "l" else (x, y))
        if command == "Z":
            found.append(found[0])
    return found


class _Style:
    """The light half of `figures.css`: the declarations of every set of classes, in order."""

    def __init__(self) -> None:
        text = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.S)
        light = re.search(r":root\s*\{([^}]*)\}", text)
        self.values = dict(re.findall(r"(--[\w-]+):\s*([^;]+);", light[1] if light else ""))
        plain = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^}]*\})*[^{}]*\}", "", text)
        self.rules = []
        for selectors, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", plain):
            pairs = dict(re.findall(r"([\w-]+):\s*([^;]+)(?:;|\s*$)", declarations.strip()))
            for selector in selectors.split(","):
                if not selector.strip().startswith(":root") and ":" not in selector:
                    self.rules.append((selector.strip().split()[-1], pairs))

    def of(self, classes: str) -> dict[str, str]:
        """Return what holds for an element with these classes."""
        there, found = set(classes.split()), dict[str, str]()
        for selector, pairs in self.rules:
            needed = [part for part in selector.split(".") if part]
            if selector.startswith(".") and set(needed) <= there:
                found |= pairs
        return {key: self._resolved(value, found) for key, value in found.items() if not key.startswith("--")}

    def _resolved(self, value: str, found: dict[str, str]) -> str:
        while match := re.search(r"var\((--[\w-]+)\)", value):
            name = match[1]
            value = value.replace(match[0], found.get(name) or self.values[name])
        return value.strip()
