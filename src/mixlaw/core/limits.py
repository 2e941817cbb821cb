"""What mixlaw refuses to read because it is too much: every limit, and how to raise it.

The limits are far beyond what people write. They stop input that is small and means much, such as a compressed file of
one row, before it takes the memory or the time of a machine. An environment variable raises each of them:
`MIXLAW_MAX_ROW_BYTES=500000000 mixlaw run mix.yaml`. None of them changes what is learnt: what is beyond is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mixlaw.core.errors import ConfigError


@dataclass(frozen=True)
class Limit:
    """A limit.

    Attributes:
        default: what holds without the variable.
        what: what is limited, with its unit.
        why: how the default compares with what occurs.
    """

    default: int
    what: str
    why: str


LIMITS = {
    "row_bytes": Limit(64 << 20, "bytes of a row as it is read", "a row of a million tokens has about 4 MB"),
    "expansion": Limit(200, "times that a compressed file above 1 GiB may grow", "text shrinks to a twentieth at best"),
    "template_characters": Limit(128 << 20, "characters that a chat template writes of a row", "twice the largest row"),
    "template_seconds": Limit(20, "seconds that a chat template takes for a row", "a row of 4 MB takes 0.1 s"),
    "template_bytes": Limit(1 << 30, "bytes of memory that a chat template takes for a small row", "usual are 10 MB"),
    "worker_bytes": Limit(16 << 30, "bytes of memory of a process that reads data", "usual are 300 MB"),
    "yaml_bytes": Limit(1_000_000, "bytes of a YAML file", "a mix.yaml of a thousand domains has 100,000"),
    "yaml_depth": Limit(50, "levels of keys and lists inside one another in YAML", "a mix.yaml has 5"),
    "yaml_values": Limit(100_000, "values in YAML, those behind aliases counted", "a mix.yaml has 100"),
    "yaml_digits": Limit(100, "characters of a number in YAML", "float64 needs 25"),
}
"""Name -> limit. No data: set by reasoning, from what the largest sound input would need."""


def variable(name: str) -> str:
    """Return the environment variable that sets a limit."""
    return f"MIXLAW_MAX_{name.upper()}"


def limit(name: str) -> int:
    """Return a limit: the environment's, or the default.

    Raises:
        ConfigError: the environment's is no whole number from 1.
    """
    text = os.environ.get(variable(name))
    if text is None:
        return LIMITS[name].default
    if not text.strip().isdecimal() or len(text) > 18 or int(text) < 1:
        raise ConfigError(
            f"{variable(name)} is {text[:40]!r}; it must be a whole number from 1.", "Correct it, or unset it."
        )
    return int(text)


def raised(name: str) -> str:
    """Return the sentence that says how to raise a limit."""
    return f"Or raise the limit: set {variable(name)} in the environment."
