"""The report's figures as PNG files, for places that show no SVG of their own: a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixlaw.report.drawing import write_png
from mixlaw.report.section import Section

_PANELS = 6


def write_pictures(folder: Path, sections: Sequence[Section]) -> dict[str, tuple[str, str]]:
    """Write one PNG a section that has figures, the first six side by side.

    Returns:
        The section's id -> the file's name and what it shows, in words.
    """
    written = {}
    for section in sections:
        if section.figures:
            shown, panels = section.figures[:_PANELS], section.layout == "panels"
            write_png(folder / f"{section.id}.png", shown)
            what = "; ".join(f.title for f in shown) if panels else f"{shown[0].title}. {shown[0].description}"
            written[section.id] = (f"{section.id}.png", f"{section.heading}: {what}" if panels else what)
    return written
