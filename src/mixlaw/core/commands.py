"""Commands that a hint tells people to run."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(verb: str, file: Path | None) -> str:
    """Return the command of a verb for a mix.yaml, as it can be copied; by its usual name where it is not known."""
    return f"mixlaw {verb} {shlex.quote(str(file or 'mix.yaml'))}"
