"""What a JSON value must look like: its types, and numbers that can be.

A shape is a type, a `Number`, `{key: shape}` for an object (a key that ends with "?" may be missing), `{EACH: shape}`
for an object of any keys, `[shape]` for a list, `(None, shape)` for null or such a value, or a frozenset of the texts
that may be. Keys that no shape names are kept as they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

EACH = "*"
"""In a shape, the one key that stands for all keys of an object, whatever they are."""

MOST_COUNT = 10**18
"""Of tokens, rows, steps and parameters. More than were ever counted, and beyond what float64 adds up well."""

MOST_LOSS_NATS = 10_000.0
"""Mean nats per supervised token. A guess among 256,000 tokens costs 12.5 nats, a sure and wrong one some hundreds."""

_LONGEST_SHOWN = 60
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_WORDS |= {dict: "an object", list: "a list"}


@dataclass(frozen=True)
class Number:
    """A number within bounds.

    Attributes:
        low: the least.
        high: the most.
        whole: whether it has no fraction; 3.0 has none.
    """

    low: float
    high: float
    whole: bool = False

    @property
    def words(self) -> str:
        """What a message calls it."""
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"

    def holds(self, value: Any) -> bool:
        """Return whether a value is such a number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        return not self.whole or value == int(value)


COUNT = Number(0, MOST_COUNT, whole=True)
SOME = Number(1, MOST_COUNT, whole=True)
SHARE = Number(0, 1)
SECONDS = Number(0, 1e10)
NOT_NEGATIVE = Number(0, MOST_COUNT)


def problem(value: Any, shape: Any, at: str = "") -> str | None:
    """Return what is wrong with a value at a place such as `runs[3].tokens.math`, or None."""
    if isinstance(shape, Number):
        return None if shape.holds(value) else _unlike(value, shape.words if _fits(value, float) else "a number", at)
    if isinstance(shape, tuple):
        return None if value is None else problem(value, shape[1], at)
    if isinstance(shape, frozenset):
        known = isinstance(value, str) and value in shape
        return None if known else _unlike(value, f"one of: {', '.join(sorted(shape))}", at)
    kind = list if isinstance(shape, list) else dict if isinstance(shape, dict) else shape
    if not _fits(value, kind):
        return _unlike(value, _WORDS[kind], at)
    parts: list[tuple[Any, Any, str]] = []
    if isinstance(shape, list):
        parts = [(part, shape[0], f"{at}[{i}]") for i, part in enumerate(value)]
    elif isinstance(shape, dict):
        names = {key: shape[EACH] for key in value} if EACH in shape else {k.rstrip("?"): v for k, v in shape.items()}
        inside = {name: f"{at}.{name}".lstrip(".") for name in names}
        if missing := [name for name in names if name not in value and f"{name}?" not in shape]:
            return f"'{inside[missing[0]]}' is missing"
        parts = [(value[name], part, inside[name]) for name, part in names.items() if name in value]
    return next(filter(None, (problem(*part) for part in parts)), None)


def shown(value: Any) -> str:
    """Return a value for a message, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _unlike(value: Any, words: str, at: str) -> str:
    return f"{f'{at!r}' if at else 'the file'} is {shown(value)}; it must be {words}"


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # which Python takes for a whole number
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
