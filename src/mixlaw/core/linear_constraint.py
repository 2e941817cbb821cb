"""Linear constraints on the weights of a mixture, as people write them: "code + math <= 0.5".

text   = side sign side          sign = <=, >=, == or =
side   = [+|-] term {+|- term}
term   = number | [number [*]] name | [number [*]] 'any name'
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mixlaw.core.errors import ConfigError
from mixlaw.core.suggestions import suggest

_SIGN = re.compile(r"<=|>=|==|=|<|>")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NAME = re.compile(r"[^\W\d][\w.:/]*(?:-[\w.:/]+)*")
_EXAMPLE = "Write it like code + math <= 0.5. Quote a name that has spaces or signs: 'my domain' >= 0.1."
_FLIPPED = {"<=": ">=", ">=": "<=", "==": "=="}


@dataclass(frozen=True)
class LinearConstraint:
    """`sum_i terms_i w_i  sign  bound` for the weights w of a mixture.

    Attributes:
        terms: domain -> coefficient; domains left out count 0.
        sign: `<=`, `>=` or `==`.
        bound: the right side.

    Raises:
        ConfigError: no term, an unknown sign, or a number that is not finite.
    """

    terms: Mapping[str, float]
    sign: Literal["<=", ">=", "=="]
    bound: float

    def __post_init__(self) -> None:
        if self.sign not in _FLIPPED:
            raise ConfigError(f"The sign of a group is '{self.sign}'; it must be <=, >= or ==.", _EXAMPLE)
        if not any(self.terms.values()):
            raise ConfigError("A group names no domain, so there is nothing to constrain.", _EXAMPLE)
        if not all(math.isfinite(value) for value in (*self.terms.values(), self.bound)):
            raise ConfigError(f"The group '{self}' has a number that is not finite.", "Correct the number.")

    def __str__(self) -> str:
        parts = []
        for name, factor in self.terms.items():
            size = "" if abs(factor) == 1 else f"{abs(factor):g} "
            shown = name if _NAME.fullmatch(name) else f"'{name}'"
            parts.append(f"{'-' if factor < 0 else '+'} {size}{shown}")
        text = " ".join(parts)
        return f"{text.removeprefix('+ ')} {self.sign} {self.bound:g}"

    @staticmethod
    def parse(text: str, domains: Iterable[str] = ()) -> LinearConstraint:
        """Return the constraint of a text.

        Args:
            text: as above; numbers may stand on both sides.
            domains: the names there are: they need no quotes, unless they are numbers or contain <, > or =. None given:
                any name is taken.

        Raises:
            ConfigError: not of this form, or an unknown domain.
        """
        known = tuple(domains)
        signs = _SIGN.findall(_QUOTED.sub("", text))
        if len(signs) != 1 or signs[0] in "<>":
            found = f"'{signs[0]}'" if len(signs) == 1 else f"{len(signs)} signs"
            raise ConfigError(f"The group '{text}' has {found}; it needs one of <=, >=, ==.", _EXAMPLE)
        reader = _Reader(text, known)
        left, left_number = reader.side()
        sign = reader.sign()
        right, right_number = reader.side()
        terms = {name: left.get(name, 0.0) - right.get(name, 0.0) for name in (*left, *right)}
        constraint = LinearConstraint(terms, sign, right_number - left_number)
        constraint.require(known)
        return constraint

    def require(self, domains: tuple[str, ...]) -> None:
        """Raise ConfigError where a name is none of the domains; no domains: every name is taken."""
        for name in self.terms:
            if domains and name not in domains:
                raise ConfigError(f"The group '{self}' names no domain '{name}'; {suggest(name, domains)}.", _EXAMPLE)


class _Reader:
    """Reads a constraint from left to right."""

    def __init__(self, text: str, domains: tuple[str, ...]) -> None:
        self.text, self.at = text, 0
        self.names = sorted((d for d in domains if not _NUMBER.fullmatch(d)), key=len, reverse=True)

    def sign(self) -> Literal["<=", ">=", "=="]:
        found = self._take(_SIGN)
        if found is None:
            raise self._error("a sign")
        return "<=" if found[0] == "<=" else ">=" if found[0] == ">=" else "=="

    def side(self) -> tuple[dict[str, float], float]:
        """Return domain -> coefficient and the sum of the numbers, up to the sign or the end."""
        terms: dict[str, float] = {}
        number = 0.0
        first = True
        while not self._ended():
            plus = self._take(re.compile(r"[+-]"))
            if plus is None and not first:
                raise self._error("+ or -")
            factor = -1.0 if plus is not None and plus[0] == "-" else 1.0
            size = self._take(_NUMBER) if self._name_length() == 0 else None
            times = self._take(re.compile(r"\*")) if size else None
            name = self._name()
            if name is None and (size is None or times is not None):
                raise self._error("a domain")
            value = factor * (float(size[0]) if size else 1.0)
            if name is None:
                number += value
            else:
                terms[name] = terms.get(name, 0.0) + value
            first = False
        if first:
            raise self._error("a domain or a number")
        return terms, number

    def _ended(self) -> bool:
        self._skip()
        return self.at >= len(self.text) or (_SIGN.match(self.text, self.at) is not None and self._name_length() == 0)

    def _name(self) -> str | None:
        self._skip()
        if quoted := self._take(_QUOTED):
            return quoted[1] if quoted[1] is not None else quoted[2]
        if length := self._name_length():
            self.at += length
            return self.text[self.at - length : self.at]
        found = self._take(_NAME)
        return None if found is None else found[0]

    def _name_length(self) -> int:
        """Return the length of the longest known name that stands here as a word of its own."""
        self._skip()
        for name in self.names:
            after = self.text[self.at + len(name) : self.at + len(name) + 1]
            if self.text.startswith(name, self.at) and not ((after.isalnum() and name[-1].isalnum()) or after == "_"):
                return len(name)
        return 0

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _error(self, wanted: str) -> ConfigError:
        rest = self.text[self.at :].strip()
        where = f"at '{rest}'" if rest else "at its end"
        return ConfigError(f"The group '{self.text}' cannot be read {where}: {wanted} is needed.", _EXAMPLE)
