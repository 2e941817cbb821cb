"""What one section of the report holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mixlaw.report.drawing import Figure
from mixlaw.report.tables import Table


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        id: its anchor.
        heading: its heading.
        lead: what to look at, one or two sentences.
        figures: charts.
        tables: tables.
        legend: (kind of mark, what it means), of tables; figures have their own.
        notes: what must be said for honesty.
        code: command lines or other text to copy, (label, text).
        folded: (summary, sentences) shown on demand.
        short: the heading's short form for the navigation.
        layout: `beside` (a figure next to its table), `panels` (many small figures), `stacked` or `wide`.
        logs: (summary, figure) of single runs, each folded.
    """

    id: str
    heading: str
    lead: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    legend: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    code: Sequence[tuple[str, str]] = field(default_factory=tuple)
    folded: tuple[str, Sequence[str]] = ("", ())
    short: str = ""
    layout: str = "wide"
    logs: Sequence[tuple[str, Figure]] = ()

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The legend of all that the section shows, each entry once."""
        return list(dict.fromkeys([*self.legend, *(entry for figure in self.figures for entry in figure.legend)]))
