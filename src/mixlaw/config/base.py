"""What every part of mix.yaml is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Node(BaseModel):
    """A part of mix.yaml: no unknown keys, and no changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the known one that is like it, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f", did you mean '{close[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""
