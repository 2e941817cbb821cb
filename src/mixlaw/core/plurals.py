"""Counts of things in sentences."""

from __future__ import annotations


def plural(count: int, what: str) -> str:
    """Return `1 run` or `3 runs`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
