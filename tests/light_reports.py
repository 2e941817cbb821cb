"""Reports without pictures, for tests that ask for nothing about pictures: Matplotlib takes most of a report's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mixlaw.report import page, pictures
from mixlaw.report.drawing import Figure

SVG = '<svg viewBox="0 0 1 1" class="figure"></svg>'


@contextmanager
def empty_files() -> Iterator[None]:
    """Write the first bytes of a PNG file in place of every picture of report.md; the page has all of its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "write_png", _first_bytes)
        yield


@contextmanager
def without_figures() -> Iterator[None]:
    """Draw nothing: neither the files beside report.md nor the figures of the page."""
    with empty_files(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "svg", SVG)
        patch.setattr(page, "key_svg", lambda *_: SVG)
        yield


@contextmanager
def alike_figures() -> Iterator[None]:
    """Draw the first two figures of each kind, and show the longer one in place of every further one."""
    drawn: dict[str, list[str]] = {}
    draw = Figure.svg.fget

    def svg(figure: Figure) -> str:
        found = drawn.setdefault(figure.draw.__qualname__, [])
        if len(found) < 2:
            found.append(draw(figure))
            return found[-1]
        return max(found, key=len)

    with empty_files(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "svg", property(svg))
        yield


def _first_bytes(path: Path, figures: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + path.name.encode())
