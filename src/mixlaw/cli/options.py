"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.core.commands import parts
from mixlaw.core.errors import ConfigError
from mixlaw.core.percents import parse_percent, parse_share
from mixlaw.core.tokens import parse_tokens

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout and nothing else.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also show the tables behind the answer.")]
ConfigFile = Annotated[Path, typer.Argument(help="The mix.yaml.", show_default=False)]
OptionalConfigFile = Annotated[Path | None, typer.Argument(help="The mix.yaml.", show_default=False)]
Runs = Annotated[
    list[Path],
    typer.Argument(
        help="A run table (CSV, Parquet, JSON), a study folder or a mix.yaml; or several, as studies to be fitted "
        "together.",
        show_default=False,
    ),
]
FitFile = Annotated[
    Path,
    typer.Argument(
        help="A fit.json, written by `mixlaw fit --out`; or a study folder, a mix.yaml or a run table.",
        show_default=False,
    ),
]
Params = Annotated[
    str | None, typer.Option(help="Model size to predict for, such as 7B; needs runs of several sizes (column params).")
]
Law = Annotated[
    str,
    typer.Option(
        help="auto, a name from `mixlaw laws`, or your own: package.module:Class.", autocompletion=completion.law
    ),
]
LawOfFit = Annotated[
    str | None, typer.Option("--law", help="The law of the fit, if it is your own: package.module:Class.")
]
Procedure = Annotated[
    str,
    typer.Option(
        help="How to fit: joint (all runs at once), own_curve (each domain's own runs), or published (as in "
        "the paper, in two steps).",
        autocompletion=completion.one_of("joint", "own_curve", "published"),
    ),
]
Metric = Annotated[
    list[str] | None,
    typer.Option(help="name=higher or name=lower: also fit the column metric:<name>, where higher (lower) is better."),
]
Repetition = Annotated[
    str,
    typer.Option(
        help="How much repeated tokens count: auto (fitted to the runs), off (like new ones), or "
        "a number: the decay R* in epochs.",
        autocompletion=completion.one_of("auto", "off"),
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        help="What to minimise: mean (all targets count the same), weighted, or max (the worst target's loss).",
        autocompletion=completion.one_of("mean", "weighted", "max"),
    ),
]
TargetWeight = Annotated[
    list[str] | None,
    typer.Option(
        help="target=weight: minimise the weighted sum of losses; targets without a weight count 0.",
        autocompletion=completion.targets_of_fit,
    ),
]
Floor = Annotated[
    list[str] | None,
    typer.Option(help="target=nats: its loss must stay at or below this.", autocompletion=completion.targets_of_fit),
]
NoWorse = Annotated[
    list[str] | None,
    typer.Option(
        help="target=percent: its loss may be at most this much above the loss with --reference.",
        autocompletion=completion.targets_of_fit,
    ),
]
Certainty = Annotated[
    str | None,
    typer.Option(
        help="How surely --floor and --no-worse are to hold, 50 to 99 %; without, the expected losses keep to them."
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        help="What --no-worse compares with: base (the base model as it is), or a mixture: natural, equal, or "
        "domain=share,...",
        autocompletion=completion.one_of("base", "natural", "equal"),
    ),
]
Group = Annotated[list[str] | None, typer.Option(help='A constraint on shares: "code + math <= 0.5"; may be repeated.')]
Prior = Annotated[
    list[str] | None,
    typer.Option(
        help="Pull the weights towards a mixture: natural, equal, or domain=share,...",
        autocompletion=completion.one_of("natural", "equal"),
    ),
]
PriorStrength = Annotated[
    float | None,
    typer.Option(
        help="How strongly --prior pulls, in nats: this times the divergence KL(weights || prior) is added to the loss."
    ),
]
Minimum = Annotated[
    list[str] | None,
    typer.Option("--min", help="domain=share: smallest weight of a domain.", autocompletion=completion.domains_of_fit),
]
Maximum = Annotated[
    list[str] | None,
    typer.Option("--max", help="domain=share: largest weight of a domain.", autocompletion=completion.domains_of_fit),
]
Available = Annotated[
    list[str] | None,
    typer.Option(
        help="domain=tokens: how many distinct tokens the domain has.", autocompletion=completion.domains_of_fit
    ),
]
MaxEpochs = Annotated[
    float | None, typer.Option(help="How many times the data of a domain may be used at most; needs --available.")
]
Executor = Annotated[
    str | None,
    typer.Option(
        help="Where to train: local (this machine), ray or slurm (a cluster); default executor.kind of mix.yaml.",
        autocompletion=completion.one_of("local", "ray", "slurm"),
    ),
]
Budget = Annotated[str | None, typer.Option(help="Training tokens; default: budget of the mix.yaml.")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="How many runs to train at once; by default one for each core or GPU, on a cluster as many as fit.", min=1
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train failed runs again.")]

KeepModels = Annotated[bool, typer.Option("--keep-models", help="Keep each run's model on disk, for `mixlaw eval`.")]


_VALUES = {
    **dict.fromkeys(("--tokens", "--available"), "math=2M"),
    **{"--floor": "math=0.72", "--no-worse": "math=1%", "--target-weight": "math=2", "--metric": "accuracy=higher"},
    **{"--loss": "math=eval/math_loss", "--data": "gsm8k=gsm8k.jsonl", "--source": "math=prompts.jsonl"},
}
"""Option -> a pair that it takes, where it is no share."""


def _example(option: str, commas: bool) -> str:
    value = _VALUES.get(option, "math=0.4")
    quoted = f""". Put a name that has commas in quotes: {option} "'a, b'={value.partition("=")[2]}\""""
    return f"For example: {option} {value}{quoted if commas else ''}"


def pairs(values: list[str] | None, option: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """Return {name: value} from `name=value` texts, each option given once or with commas; see `parts`.

    Raises:
        ConfigError: no `=`, a name given twice, or a value that cannot be read.
    """
    found: dict[str, Any] = {}
    for text in values or []:
        for name, value, part in parts(text):
            if not name:
                raise ConfigError(f"{option} is {part!r}; it must be name=value.", _example(option, commas="," in text))
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
            raise ConfigError(f"{option}: {text!r} is not a number.", _example(option, commas=False)) from None

    return read


def share(option: str) -> Callable[[str], float]:
    """Return a reader of shares, such as 0.4 or 40 %, that names the option in its error."""
    return lambda text: parse_share(text, option)


def percent(option: str) -> Callable[[str], float]:
    """Return a reader of percentages that names the option in its error."""
    return lambda text: parse_percent(text, option)


def tokens(option: str) -> Callable[[str], int]:
    """Return a reader of token counts that names the option in its error."""

    def read(text: str) -> int:
        return 0 if text.strip() in ("0", "0.0") else parse_tokens(text, option)

    return read


def again(**given: Any) -> str:
    """Return options as they are repeated in a command that is copied, after a space; what was not given is left out.

    Args:
        given: name of an option, with `_` for `-` -> its value, a list of values, or None.
    """
    words = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    ]
    return "".join(f" {word}" for word in words)
