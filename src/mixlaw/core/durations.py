"""Wall times in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a wall time: 48 s, 4 min 12 s, 3 h 20 min, 2 d 5 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(i for i, (_, size) in enumerate(units) if seconds >= size)
    (unit, size), (next_unit, next_size) = units[first], units[first + 1]
    rest = seconds % size // next_size
    return f"{seconds // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
