"""What a tracker is, and what it is given: one run at a time, when the run is over."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from mixlaw.core.errors import MissingExtra


@dataclass(frozen=True)
class LoggedRun:
    """All that a tracker shows of one run.

    Attributes:
        key: the run's identity, letters and digits; the same run has the same key whenever it is reported.
        name: the run's, as in the plan.
        group: the study's name.
        config: what was asked for: settings, tokens, seed; nested.
        curve: (step, {metric: value}) of the training, steps rising.
        final: metric -> value when the run was over.
    """

    key: str
    name: str
    group: str
    config: Mapping[str, Any]
    curve: Sequence[tuple[int, Mapping[str, float]]]
    final: Mapping[str, float]

    @property
    def last_step(self) -> int:
        """The last step of the curve; 0 without one."""
        return self.curve[-1][0] if self.curve else 0


class Tracker(Protocol):
    """Shows runs somewhere.

    Contract: `write` shows the whole run, and shows it once where it is called again with the same key. It raises
    whatever its package does; nothing that it does touches the study.
    """

    def write(self, run: LoggedRun) -> None:
        """Show one run: its configuration, its curve, its final values."""
        ...


def require(package: str, extra: str, purpose: str) -> None:
    """Raise MissingExtra where a package is not installed; does not import it."""
    found = find_spec(package)
    if (
        found is None or found.origin is None
    ):  # without an origin it is a folder, such as the one that wandb leaves behind
        raise MissingExtra(package, extra, purpose)


def package_of(name: str, extra: str, purpose: str) -> Any:
    """Return a package that only an extra brings.

    Args:
        name: what is imported, dots included.
        extra: the extra of mixlaw that brings it.
        purpose: what needs it, as the subject of a sentence.

    Raises:
        MissingExtra: it is not installed.
    """
    require(name.partition(".")[0], extra, purpose)
    return importlib.import_module(name)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the leaves of nested mappings as (dotted name, value)."""
    for name, value in values.items():
        if hasattr(value, "items"):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
