"""Commands that a hint tells people to run, and how names are written in their options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PART = re.compile(r"""\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*(?==)""")
"""A name in quotes at the start of a part, which may hold commas and signs, before its `=`."""


def command(verb: str, file: Path | None) -> str:
    """Return the command of a verb for a mix.yaml, as it can be copied; by its usual name where it is not known."""
    return f"mixlaw {verb} {shlex.quote(str(file or 'mix.yaml'))}"


def parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value, text) of each `name=value` between commas; a name in quotes may have commas itself.

    The name is empty where a part is none such.
    """
    at = 0
    while at <= len(text):
        quoted = _PART.match(text, at)
        end = text.find(",", quoted.end() if quoted else at)
        part = text[at : len(text) if end < 0 else end]
        if quoted:
            yield quoted["single"] or quoted["double"] or "", text[quoted.end() + 1 : at + len(part)], part
        else:
            name, sign, value = part.strip().rpartition("=")
            yield name if sign else "", value, part
        at += len(part) + 1


def written(values: Mapping[str, Any]) -> str:
    """Return `name=value,...` as `parts` reads it, quoted for a shell where it must be."""
    return shlex.quote(",".join(f"{_name(name)}={value}" for name, value in values.items()))


def _name(name: str) -> str:
    if name.strip() == name and not re.search(r"[,'\"]", name):
        return name
    return f'"{name}"' if "'" in name else f"'{name}'"
