"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.core.errors import ConfigError
from mixlaw.core.tokens import parse_tokens

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
ConfigFile = Annotated[Path, typer.Argument(help="The mix.yaml.", show_default=False)]
FitFile = Annotated[
    Path, typer.Argument(help="A fit.json, written by `mixlaw fit --out` or `mixlaw run`.", show_default=False)
]
Params = Annotated[
    str | None, typer.Option(help="Model size to speak of, such as 7B; needs runs of several (column params).")
]
Workers = Annotated[int | None, typer.Option(help="Worker processes; default one a core or GPU.", min=1)]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train failed runs again.")]

KeepModels = Annotated[bool, typer.Option("--keep-models", help="Keep each run's model on disk, for `mixlaw eval`.")]


def pairs(values: list[str] | None, option: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """Return {name: value} from `name=value` texts, each option given once or with commas.

    Raises:
        ConfigError: no `=`, a name given twice, or a value that cannot be read.
    """
    found: dict[str, Any] = {}
    for text in values or []:
        for part in text.split(","):
            name, sign, value = part.strip().rpartition("=")
            if not sign or not name:
                raise ConfigError(f"{option} is {part!r}; it reads name=value.", f"For example: {option} math=0.4")
            if name in found:
                raise ConfigError(f"{option} names '{name}' twice.", "Give it once.")
            found[name] = read(value)
    return found


def number(option: str) -> Callable[[str], float]:
    """Return a reader of plain numbers that names the option in its error."""

    def read(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"{option}: {text!r} is not a number.", f"For example: {option} math=0.4") from None

    return read


def tokens(option: str) -> Callable[[str], int]:
    """Return a reader of token counts that names the option in its error."""

    def read(text: str) -> int:
        return 0 if text.strip() in ("0", "0.0") else parse_tokens(text, option)

    return read
