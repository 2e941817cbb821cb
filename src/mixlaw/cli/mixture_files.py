"""What mix answers: what was written, how exact it is, and the command that exports it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from mixlaw.cli.answers import Fact, fitting, named
from mixlaw.cli.output import here, table
from mixlaw.core.plurals import plural
from mixlaw.core.tokens import format_tokens

_FAR_OFF_POINTS = 1.0
"""Points that a share of tokens may be off before it is said. No data."""


def _points_off(manifest: Any) -> float:
    entries = manifest["domains"].values()
    return 100 * max(abs(entry["achieved_share"] - entry["requested_share"]) for entry in entries)


def mix_warnings(manifest: Any) -> list[str]:
    """Return a sentence where whole conversations are too long for the budget, so that shares are far off."""
    off, asked = _points_off(manifest), manifest["budget_tokens"]
    if off < _FAR_OFF_POINTS:
        return []
    return [
        f"A budget of {format_tokens(asked)} tokens is too small: conversations are whole, so there are "
        f"{manifest['achieved_tokens']:,} tokens, and shares are off by up to {off:.0f} points. Give a larger --budget."
    ]


def export_of(config: Path, budget: str | None, weights: list[str] | None, file_format: str, shards: int | None) -> str:
    """Return the command that exports the mixture that was written with these options."""
    given = [("--budget", budget), ("--format", None if file_format == "jsonl" else file_format), ("--shards", shards)]
    given += [("--weights", text) for text in weights or ()]
    more = [shlex.join([option, str(value)]) for option, value in given if value is not None]
    return " ".join([f"mixlaw export {here(config)}", *more, "--to trl"])


def mix_facts(manifest: Any) -> list[Fact]:
    """Return the answer of `mix`: tokens, shares, and how far these are off."""
    entries = sorted(manifest["domains"].items(), key=lambda pair: -pair[1]["achieved_share"])
    shares = [f"{named(name)} {100 * entry['achieved_share']:.2f} %" for name, entry in entries]
    off = _points_off(manifest)
    passes = max(entry["epochs"] for _, entry in entries)
    rows = sum(entry["rows"] for _, entry in entries)
    size = f"{manifest['achieved_tokens']:,} in {plural(rows, 'row')}, {plural(len(manifest['files']), 'file')}"
    return [
        ("tokens", size),
        ("shares", fitting(shares)),
        ("sure", f"shares within {max(off, 0.01):.2f} points of those asked for; at most {passes:.2g} passes"),
    ]


def mix_details(manifest: Any) -> None:
    """Print what was written of each domain."""
    rows = []
    for name, entry in manifest["domains"].items():
        shares = [f"{100 * entry[key]:.2f} %" for key in ("requested_share", "achieved_share")]
        rows.append([name, *shares, f"{entry['achieved_tokens']:,}", f"{entry['epochs']:.2f}", entry["rows"]])
    columns = ["domain", "requested", "achieved", "tokens", "epochs", "rows"]
    table(f"{manifest['achieved_tokens']:,} tokens", columns, rows)
