"""What the shell offers after an option: names that exist, also those of a fit's domains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

LAWS = (
    *("mean", "chinchilla", "autoscale", "transfer", "bivariate", "exponential", "additive", "additive_joint"),
    *("pairwise", "ridge", "gp", "gbdt"),
)
"""Names of laws and regressors, said again here: importing them takes longer than a keystroke may."""

Complete = Callable[[str], list[str]]


def one_of(*names: str) -> Complete:
    """Return the completion of an option that takes one of some names."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def several_of(*names: str) -> Complete:
    """Return the completion of an option that takes names with commas between them; none is offered twice."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in taken]

    return complete


def domains_of_fit(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `name=` for each domain of the fit.json on the command line, after the last comma."""
    before, comma, last = incomplete.rpartition(",")
    names = _fit(ctx).get("domains", [])
    return [f"{before}{comma}{name}=" for name in names if f"{name}=".startswith(last)]


def targets_of_fit(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `name=` for each target of the fit.json on the command line, after the last comma."""
    before, comma, last = incomplete.rpartition(",")
    names = _fit(ctx).get("targets", [])
    return [f"{before}{comma}{name}=" for name in names if f"{name}=".startswith(last)]


def _fit(ctx: typer.Context) -> dict[str, Any]:
    try:
        value = json.loads(Path(ctx.params["fit_file"]).read_text(encoding="utf-8"))
    except (KeyError, TypeError, OSError, ValueError):
        return {}  # no such file yet: nothing to offer, and nothing to complain about between two keystrokes
    return value if isinstance(value, dict) else {}
