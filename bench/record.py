"""What every result file of a benchmark says of itself: split, seeds, commit, command, and what was chosen on what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SPLITS = ("tuning", "reporting")


def stamp(split: str, seeds: str, chosen_on: Mapping[str, str]) -> dict[str, Any]:
    """Return the head of a result file.

    Args:
        split: `tuning` or `reporting`.
        seeds: which, in words.
        chosen_on: constant of the package -> the data on which it was chosen.
    """
    changed = _git("status", "--porcelain", "--", "src")
    return {
        "split": split,
        "seeds": seeds,
        "commit": _git("rev-parse", "HEAD") + (" and changes in src" if changed else ""),
        "command": f"python -m {_module()} {' '.join(map(_plain, sys.argv[1:]))}".strip(),
        "chosen_on": dict(chosen_on),
    }


def _plain(word: str) -> str:
    """Return a word of the command without the folders of this machine."""
    return Path(word).name if Path(word).is_absolute() else word


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _module() -> str:
    return ".".join(Path(sys.argv[0]).resolve().relative_to(ROOT).with_suffix("").parts)
