"""Training that came to nothing: how far each attempt at a run came that left no record.

A run that failed, crashed or was interrupted has cost something. `attempts.jsonl` in its folder keeps, a line each, the
share of its steps that earlier attempts had done, and whether they failed; metrics.jsonl and error.json tell it of the
last one. What ended without an error was interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path

from mixlaw.study.status import last_metrics

_FILE = "attempts.jsonl"


def note_attempt(folder: Path) -> None:
    """Keep how far the last attempt at a run came, before the next one begins and writes its own log."""
    if (part := _last(folder)) > 0:
        with open(folder / _FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps({"share": part, "failed": _failed(folder)}) + "\n")
    (folder / "metrics.jsonl").unlink(missing_ok=True)


def wasted(folder: Path) -> list[tuple[float, bool]]:
    """Return the shares of a run's training that came to nothing, and whether it failed, for each attempt.

    The attempt at work is none.
    """
    shares = []
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            value = json.loads(line)
            shares.append((float(value["share"]), bool(value.get("failed", True))))  # earlier versions did not say
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    if not any((folder / name).exists() for name in ("record.json", "lease.json")) and (part := _last(folder)) > 0:
        shares.append((part, _failed(folder)))
    return shares


def _last(folder: Path) -> float:
    """Return how far the last attempt came; all the way where it failed and no log tells."""
    if progress := last_metrics(folder):
        return min(progress["step"] / max(progress["steps"], 1), 1.0)
    return 1.0 if _failed(folder) else 0.0


def _failed(folder: Path) -> bool:
    return (folder / "error.json").exists()
