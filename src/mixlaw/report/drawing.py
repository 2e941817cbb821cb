"""How figures are drawn: once, with Matplotlib, for a page (SVG), a pull request (PNG) and a notebook.

A `Figure` says what it shows and how to draw that on Matplotlib's axes. Alone it has its title, its units and its
legend, on white. In the page it has neither title nor legend, which stand beside it as text, and its colours are the
names of `figures.css`, so that it follows the page into the dark. There, marks carry a text to show on hovering.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.core.errors import MissingExtra
from mixlaw.core.files import atomic_open
from mixlaw.report.palette import colours

SCALE = 2.0
"""Pixels of a PNG per pixel of the figure."""

TIP = "tip:"
"""Starts the `gid` of an artist that has a text to show on hovering."""

_INCH = 72.0
_PER_ROW, _ROOM = 3, 26.0


@dataclass(frozen=True)
class Figure:
    """A figure, not drawn yet.

    Attributes:
        title: what it shows, a heading's words.
        description: what a reader who cannot see it should know.
        draw: draws it on axes.
        width: pixels, at the size where 11 px text is right.
        height: pixels.
        subtitle: a second line under the title.
        legend: (kind of mark, what it means); the kinds are those of `mark`.
    """

    title: str
    description: str
    draw: Callable[[Any], None]
    width: float = 350
    height: float = 250
    subtitle: str = ""
    legend: Sequence[tuple[str, str]] = ()

    @property
    def svg(self) -> str:
        """The `<svg>` element for a page that has `figures.css`."""
        with _style():
            canvas = _canvas(self.width, self.height, "none")
            self.draw(canvas.subplots())
            return _svg_of(canvas, f"{self.title}. {self.description}")

    def standalone(self) -> str:
        """Return the text of an SVG file that needs no stylesheet."""
        with _style():
            return _written(slide([self]), "svg").decode()


def slide(figures: Sequence[Figure]) -> Any:
    """Return a `matplotlib.figure.Figure` of figures side by side, three in a row, with titles and one legend.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    with _style():
        columns = min(len(figures), _PER_ROW)
        rows = [figures[i : i + columns] for i in range(0, len(figures), columns)]
        legend = list(dict.fromkeys(entry for figure in figures for entry in figure.legend))
        wide = max(sum(f.width for f in row) for row in rows)
        per_row = max(1, int(wide // (30 + 6.4 * max((len(text) for _, text in legend), default=1))))
        lines = math.ceil(len(legend) / per_row)
        high = sum(max(f.height + _head(f) for f in row) for row in rows) + 18 * lines + (8 if lines else 0)
        canvas = _canvas(wide, high, "white")
        grid = canvas.subplots(len(rows), columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place < len(figures):
                figures[place].draw(axes)
                _head_of(axes, figures[place])
            else:
                axes.set_axis_off()
        if legend:
            keys = [_key(kind) for kind, _ in legend]
            canvas.legend(keys, [text for _, text in legend], loc="outside lower left", ncols=per_row)
        return canvas


def write_png(path: Path, figures: Sequence[Figure]) -> None:
    """Write figures side by side, three in a row, as one picture."""
    with _style():
        picture = _written(slide(figures), "png")
    with atomic_open(path, "wb") as file:
        file.write(picture)


def key_svg(kind: str, place: str = "") -> str:
    """Return the small drawing of a kind of mark for a legend; `place` tells those of a page apart."""
    with _style():
        canvas = _canvas(24, 16, "none", layout=None)
        handle = _key(kind)
        if hasattr(handle, "set_data"):
            upright = handle.get_linestyle() != "None" and kind.startswith(("mark-", "edge"))
            x, y = ([0.5, 0.5], [0.1, 0.9]) if upright else ([0.04, 0.5, 0.96], [0.5] * 3)
            handle.set_data(x, y)
            handle.set_markevery([1] if len(x) == 3 else [])
        else:
            handle.set_bounds(0.04, 0.2, 0.92, 0.6)
        handle.set_transform(canvas.transFigure)
        canvas.add_artist(handle)
        label = _quoted(f"{place} {kind}")
        return _svg_of(canvas, label).replace(f'role="img" aria-label="{label}"', 'aria-hidden="true"')


def mark(kind: str, series: str = "muted") -> dict[str, Any]:
    """Return how Matplotlib draws a kind of mark in a colour of `figures.css`, as arguments of `Axes.plot`.

    Args:
        kind: `full` and `hollow` points, `dot` and `open-dot`, `diamond`; lines `curve`, `faint`, `beyond`, `whisker`,
            `edge`, `diagonal`, `mark-equal` and `mark-natural`.
        series: the colour.
    """
    of, c = colours(), colours()[series]
    points = {
        "full": ("o", 7.4, c, of["paper"], 1.0),
        "hollow": ("o", 7.2, of["paper"], c, 1.25),
        "dot": ("o", 8.4, c, of["paper"], 1.0),
        "open-dot": ("o", 7.6, of["paper"], c, 1.8),
        "diamond": ("D", 7.6, of["paper"], c, 1.8),
    }
    if kind in points:
        shape, size, face, edge, width = points[kind]
        looks = {"marker": shape, "markersize": size, "markerfacecolor": face, "markeredgecolor": edge}
        return looks | {"markeredgewidth": width, "linestyle": "none", "zorder": 4}
    width, dashes, colour = {
        "curve": (2.0, "-", c),
        "faint": (1.0, "-", c),
        "beyond": (2.0, (0, (2.5, 2)), c),
        "whisker": (1.8, "-", c),
        "edge": (1.0, (0, (2, 3)), of["axis"]),
        "diagonal": (1.2, "-", of["axis"]),
        "mark-equal": (2.0, "-", of["ink"]),
        "mark-natural": (2.0, (0, (1, 1)), of["ink"]),
    }.get(kind, (2.0, (0, (3, 1)), of["ink"]))
    return {"linewidth": width, "linestyle": dashes, "color": colour, "marker": "none", "zorder": 3}


def _key(kind: str) -> Any:
    """Return an artist that stands for a kind of mark: of `mark`, or a filled `bar`, `band` or `range`."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    if looks := fill(kind):
        return Rectangle((0, 0), 1, 1, **looks)
    if kind.startswith("mix-"):
        return Line2D([], [], **mixture_mark(kind.removeprefix("mix-")))
    kind, _, series = kind.partition("/")
    return Line2D([], [], **mark(kind, series or "muted"))


def fill(kind: str) -> dict[str, Any]:
    """Return how Matplotlib fills an area: a `bar`, a `band` around a line, the `range` of the runs; else nothing."""
    found = {"bar": ("muted", 1.0), "band": ("muted", 0.2), "range": ("axis", 0.22)}.get(kind)
    return {"facecolor": colours()[found[0]], "alpha": found[1], "linewidth": 0} if found else {}


def mixture_mark(name: str) -> dict[str, Any]:
    """Return the point of a mixture: `recommended` in ink, others open and grey."""
    return mark("dot", "ink") if name == "recommended" else mark("open-dot", "series-rest")


def band(axes: Any, x: Any, low: Any, high: Any, series: str) -> None:
    """Fill the area between two lines."""
    axes.fill_between(x, low, high, color=colours()[series], alpha=0.16, linewidth=0, zorder=2)


def point(axes: Any, x: float, y: float, looks: dict[str, Any], tip: str, link: str = "") -> None:
    """Draw one point with a text for the hand that hovers over it, and an anchor to go to, if any."""
    (line,) = axes.plot([x], [y], gid=TIP + tip, clip_on=False, **looks)
    if link:
        line.set_url(f"#{link}")


def _head(figure: Figure) -> float:
    return _ROOM + (16 if figure.subtitle else 0)


def _head_of(axes: Any, figure: Figure) -> None:
    axes.set_title(figure.title, loc="left", pad=24 if figure.subtitle else 9)
    if figure.subtitle:
        axes.annotate(
            figure.subtitle, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
            color=colours()["muted"], fontsize=9.5,
        )  # fmt: skip


def _canvas(width: float, height: float, face: str, layout: Any = "constrained") -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width / _INCH, height / _INCH), dpi=_INCH, facecolor=face, layout=layout)
    FigureCanvasAgg(canvas)
    return canvas


@contextmanager
def _style() -> Any:
    """Hold Matplotlib to the look of the report, and its random names and dates to fixed ones."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "report", "figures") from None
    of = colours()
    looks: Any = {
        "font.family": "DejaVu Sans", "font.size": 10.5, "text.color": of["ink"], "text.parse_math": False,
        "axes.edgecolor": of["axis"], "axes.labelcolor": of["muted"], "axes.grid": True, "axes.axisbelow": True,
        "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
        "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlecolor": of["ink"], "axes.labelsize": 10,
        "grid.color": of["grid"], "xtick.color": of["axis"], "ytick.color": of["axis"], "ytick.left": False,
        "xtick.labelcolor": of["muted"], "ytick.labelcolor": of["muted"], "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5, "legend.frameon": False, "legend.fontsize": 9.5, "legend.handlelength": 1.6,
        "svg.fonttype": "none", "svg.hashsalt": "mixlaw", "axes.unicode_minus": True, "axes.formatter.useoffset": False,
        "axes.labelpad": 6, "axes.xmargin": 0.02, "figure.constrained_layout.w_pad": 0.06,
        "figure.constrained_layout.h_pad": 0.06,
    }  # fmt: skip
    # Without this the page's own style would be taken over, from the settings of whoever calls.
    with matplotlib.rc_context(looks), warnings.catch_warnings():
        # A name may have letters that the font lacks: the page has fonts that have them.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def _written(canvas: Any, form: str) -> bytes:
    text, about = io.BytesIO(), {"Date": None} if form == "svg" else {"Software": None}
    canvas.savefig(text, format=form, dpi=_INCH * (SCALE if form == "png" else 1), metadata=about)
    return text.getvalue()


def _svg_of(canvas: Any, label: str) -> str:
    """Return the element for the page: named colours, its own fonts, short numbers, and no `id` but what is referred
    to, which has the figure's own mark in it."""
    import hashlib

    import matplotlib

    salt = hashlib.sha256(label.encode()).hexdigest()[:16]
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        text = _written(canvas, "svg").decode()
    text = text[text.index("<svg ") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>\s*<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.S)
    width, height = (round(canvas.get_size_inches()[i] * _INCH) for i in (0, 1))
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label='
    text = re.sub(r"<svg [^>]*>", lambda _: f'{head}"{_quoted(label)}" class="figure">', text, count=1)
    text = re.sub(rf'<g id="{TIP}([^"]*)">', r'<g class="mark" data-tip="\1">', text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    # A picture must hold no link of its own: report.js goes to a run's row.
    text = re.sub(r'<a xlink:href="#([^"]*)"[^>]*>', r'<g data-row="\1">', text).replace("</a>", "</g>")
    text = text.replace("xlink:href", "href")
    text = re.sub(
        r"font-family: [^;\"]*;?|font: ([\d.]+px)[^;\"]*", lambda m: f"font-size: {m[1]}" if m[1] else "", text
    )
    text = re.sub(r'( (?:d|x|y|transform|width|height)=")([^"]*)"', _shorter, text)
    text = re.sub(r'style="[^"]*"', _named, text)
    return re.sub(r">\s*\n\s*<", "><", text).strip()


def _named(match: re.Match[str]) -> str:
    text = match[0]
    for name, value in colours().items():
        text = text.replace(value, f"var(--{name if name.startswith('series') else f'figure-{name}'})")
    return text


def _shorter(match: re.Match[str]) -> str:
    numbers = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), match[2])
    return f'{match[1]}{" ".join(numbers.split())}"'


def _quoted(text: str) -> str:
    from html import escape

    return escape(text)
