"""What a check says: PASS, WARN or FAIL, the value it judged, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixlaw.report.numbers import listed

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
NAMES_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """One health check.

    Attributes:
        status: `PASS`, `WARN` or `FAIL`.
        name: what was looked at.
        finding: the value, in a sentence.
        next_step: what to do; empty for a PASS.
    """

    status: str
    name: str
    finding: str
    next_step: str = ""


def some(names: Sequence[str]) -> str:
    """Return some names as text: the first five, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return listed(names) if more <= 0 else f"{', '.join(names[:NAMES_SHOWN])} and {more} more"
