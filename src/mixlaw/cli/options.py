"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
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
Law = Annotated[
    str,
    typer.Option(
        help="auto, a name from `mixlaw laws`, or your own: package.module:Class.", autocompletion=completion.law
    ),
]
LawOfFit = Annotated[
    str | None, typer.Option("--law", help="The fit's law, where its name alone is not known: package.module:Class.")
]
Procedure = Annotated[
    str,
    typer.Option(
        "--procedure",
        "--fit",
        help="joint (all runs at once), own_curve, or published (the paper's two steps).",
        autocompletion=completion.one_of("joint", "own_curve", "published"),
    ),
]
Repetition = Annotated[
    str,
    typer.Option(
        help="How repeated tokens count: auto (fitted), off (in full), or the decay R* in epochs.",
        autocompletion=completion.one_of("auto", "off"),
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        help="mean (all targets alike), weighted, or max (the worst target's loss).",
        autocompletion=completion.one_of("mean", "weighted", "max"),
    ),
]
TargetWeight = Annotated[
    list[str] | None,
    typer.Option(
        help="target=g: minimise the weighted sum; targets left out count 0.",
        autocompletion=completion.targets_of_fit,
    ),
]
Floor = Annotated[
    list[str] | None,
    typer.Option(help="target=nats: its loss must not exceed this.", autocompletion=completion.targets_of_fit),
]
NoWorse = Annotated[
    list[str] | None,
    typer.Option(
        help="target=percent: its loss may exceed the reference's by at most this.",
        autocompletion=completion.targets_of_fit,
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        help="natural, equal or domain=share...: the mixture of --no-worse.",
        autocompletion=completion.one_of("natural", "equal"),
    ),
]
Group = Annotated[list[str] | None, typer.Option(help='A constraint on shares: "code + math <= 0.5"; may be repeated.')]
Prior = Annotated[
    list[str] | None,
    typer.Option(
        help="natural, equal or domain=share...: pull the weights towards it.",
        autocompletion=completion.one_of("natural", "equal"),
    ),
]
PriorStrength = Annotated[float | None, typer.Option(help="Nats of the pull: strength KL(w || prior).")]
Minimum = Annotated[
    list[str] | None,
    typer.Option("--min", help="domain=share: floor of a weight.", autocompletion=completion.domains_of_fit),
]
Maximum = Annotated[
    list[str] | None,
    typer.Option("--max", help="domain=share: cap of a weight.", autocompletion=completion.domains_of_fit),
]
Available = Annotated[
    list[str] | None,
    typer.Option(help="domain=tokens: distinct tokens there are.", autocompletion=completion.domains_of_fit),
]
MaxEpochs = Annotated[float | None, typer.Option(help="Most passes over a domain; needs --available.")]
Executor = Annotated[
    str | None,
    typer.Option(
        help="local (processes here) or ray (a cluster); default executor.kind of the mix.yaml.",
        autocompletion=completion.one_of("local", "ray"),
    ),
]
Workers = Annotated[
    int | None, typer.Option(help="Most runs at once; default one a core or GPU, on a cluster all that fit.", min=1)
]
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
