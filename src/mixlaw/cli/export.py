"""The verb export: files with which another program trains on the solution, or trains the runs on a cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.answers import packed
from mixlaw.cli.output import finish, here, labelled, note, print_json, stdout, table, warn
from mixlaw.core.errors import ConfigError

TOOLS = ("trl", "axolotl", "llamafactory", "open-instruct", "nemo", "nemo-rl", "verl", "skypilot", "kubernetes")

To = Annotated[
    str,
    typer.Option(
        help="trl, axolotl, llamafactory, open-instruct or nemo; prompts for nemo-rl or verl; to train the runs "
        "there: skypilot, kubernetes.",
        show_default=False,
        autocompletion=completion.one_of(*TOOLS),
    ),
]
ByReference = Annotated[
    bool,
    typer.Option(
        "--by-reference",
        help="Let the tool mix the original sources itself, instead of reading mixlaw's files; shares are then "
        "approximate.",
    ),
]
Weights = Annotated[list[str] | None, typer.Option(help="domain=share,...: these weights instead of the solution's.")]
FileFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="Format of the training files: jsonl or parquet.",
        autocompletion=completion.one_of("jsonl", "parquet"),
    ),
]
Shards = Annotated[int | None, typer.Option(help="How many training files to write.", min=1)]
Rows = Annotated[
    str,
    typer.Option(
        help="conversations, tokens (ids and labels; trl, axolotl, llamafactory), or auto: conversations if the "
        "tool then learns from the same tokens as mixlaw, otherwise tokens.",
        autocompletion=completion.one_of("auto", "conversations", "tokens"),
    ),
]
MaxDropped = Annotated[
    float, typer.Option(help="Largest part of the rows that a tool may skip by its own rules.", min=0, max=1)
]
Storage = Annotated[
    str | None,
    typer.Option(help="For skypilot and kubernetes: where all workers see the study, a volume or s3://bucket."),
]
Workers = Annotated[
    int | None, typer.Option(help="For skypilot and kubernetes: how many workers to start; default 4.", min=1)
]
Accelerators = Annotated[
    str, typer.Option(help="For skypilot: GPUs of each worker, such as H100:1; for kubernetes their number.")
]
Image = Annotated[
    str, typer.Option(help="For both: container image with mixlaw and its extra train; by default it is installed.")
]
Prompts = Annotated[int | None, typer.Option(help="For nemo-rl and verl: how many prompts in all.", min=1)]
PromptSources = Annotated[
    list[str] | None,
    typer.Option("--source", help="name=file: for nemo-rl and verl, the prompts of a source; once for each."),
]
Out = Annotated[Path | None, typer.Option(help="Output folder; default exports/<tool>-<id> in the study.")]


def export(
    config: opt.ConfigFile,
    to: To,
    by_reference: ByReference = False,
    budget: opt.Budget = None,
    weights: Weights = None,
    file_format: FileFormat = "jsonl",
    shards: Shards = None,
    rows: Rows = "auto",
    max_dropped: MaxDropped = 0.01,
    storage: Storage = None,
    workers: Workers = None,
    accelerators: Accelerators = "",
    image: Image = "",
    prompts: Prompts = None,
    source: PromptSources = None,
    out: Out = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Write a configuration and data with which another trainer trains on the solution.

    The folder holds all that the tool needs, with exact shares of tokens, and can be moved. With
    --by-reference the tool reads the original sources. It counts rows, so the shares of tokens are only approximate;
    the command prints by how much. What the tool must be told is in the folder's README.md, and shown with --verbose.

    For skypilot and kubernetes it writes a file that starts workers for the planned runs on a cloud.

    For nemo-rl and verl (reinforcement learning), give the solution.json of `mixlaw solve` instead of a mix.yaml,
    the files of prompts and their number: exactly as many rows of each are copied.

    Examples:
        mixlaw export mix.yaml --to llamafactory
        mixlaw export mix.yaml --to skypilot --storage s3://bucket/study --accelerators H100:1
        mixlaw export solution.json --to verl --prompts 20000 --source math=math.parquet --source code=code.parquet
    """
    from mixlaw.api.export import export as write_export
    from mixlaw.api.export_prompts import PROMPT_TOOLS
    from mixlaw.api.export_workers import CLOUDS

    if to not in TOOLS:
        raise ConfigError(f"--to: there is no tool '{to}'.", f"Known: {', '.join(TOOLS)}.")
    if to in CLOUDS:
        _export_workers(config, to, storage, workers, accelerators, image, out, as_json)
        return
    if to in PROMPT_TOOLS or prompts is not None or source:
        _export_prompts(config, to, weights, prompts, source, out, as_json)
        return
    if storage or workers or accelerators or image:
        raise ConfigError(
            "--storage, --workers, --accelerators and --image are for workers on a cloud.",
            f"Leave them out, or use --to {' or '.join(CLOUDS)}.",
        )
    given = opt.pairs(weights, "--weights", opt.share("--weights")) or None
    result = write_export(
        config,
        to,
        by_reference=by_reference,
        budget=budget,
        weights=given,
        file_format=file_format,
        shards=shards,
        rows=rows,
        max_dropped=max_dropped,
        out=out,
        note=None if as_json else note,
    )
    if as_json:
        print_json(result.facts | {"folder": str(result.folder), "files": sorted(result.recipe.files)})
        return
    _details(result) if verbose else _drift(result)
    written = {"training files": result.mixture} if result.mixture else {}
    finish(written | {"configuration": result.folder}, f"cd {here(result.folder)} && {result.recipe.command}")
    if not verbose:
        warn(result.facts["warnings"])


def _export_workers(
    config: Path,
    to: str,
    storage: str | None,
    workers: int | None,
    accelerators: str,
    image: str,
    out: Path | None,
    as_json: bool,
) -> None:
    from mixlaw.api.export_workers import export_workers

    result = export_workers(
        config,
        to,
        storage=storage,
        workers=workers,
        accelerators=accelerators,
        image=image,
        out=out,
        note=None if as_json else note,
    )
    if as_json:
        print_json({"file": str(result.path), "command": result.command, "notes": list(result.notes)})
        return
    for text in result.notes:
        note(text)
    finish({"workers": result.path}, f"cd {here(result.path.parent)} && {result.command}")


def _details(result: Any) -> None:
    """Print what the folder's README.md says, too."""
    _shares(result)
    for text in result.recipe.notes:
        note(text)


def _drift(result: Any) -> None:
    """Print by how much the shares of tokens may be off; nothing where they are exact."""
    off = [f"{name} {100 * share:.2f} points" for name, share in result.recipe.drift.items()]
    if off:
        for label, text in packed("shares", [f"of rows, so of tokens off by at most: {off[0]}", *off[1:]], 2):
            labelled(stdout(), label, text)


def _shares(result: Any) -> None:
    """Print what is drawn of each source by reference; nothing otherwise."""
    if result.recipe.drift:
        rows = [
            [
                s["name"],
                s["wanted_rows"],
                s["rows"],
                s["mean_tokens"],
                f"± {100 * result.recipe.drift[s['name']]:.2f} %",
            ]
            for s in result.facts["sources"]
        ]
        columns = ["domain", "rows used", "rows in the source", "tokens per row", "its share may be off by"]
        table(f"By reference, in {result.recipe.unit}", columns, rows)


def _export_prompts(
    solution: Path,
    to: str,
    weights: list[str] | None,
    prompts: int | None,
    sources: list[str] | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from mixlaw.api.export_prompts import PROMPT_TOOLS, export_prompts, shown

    if to not in PROMPT_TOOLS:
        raise ConfigError(
            "--prompts and --source are for prompts.", f"Leave them out, or use --to {' or '.join(PROMPT_TOOLS)}."
        )
    if prompts is None or not sources:
        raise ConfigError(
            f"--to {to} needs the files of prompts, and how many prompts to write.",
            "For example: --prompts 20000 --source math=math.jsonl --source code=code.jsonl.",
        )
    if solution.suffix != ".json" and not weights:
        raise ConfigError(
            f"{solution} is no solution.json.", "Write one: mixlaw solve fit.json --budget 20k --out solution.json."
        )
    given = opt.pairs(weights, "--weights", opt.share("--weights")) or None
    folder = out or Path(f"{to}-prompts")
    files = opt.pairs(sources, "--source", str)
    result = export_prompts(given or solution, to, sources=files, prompts=prompts, out=folder)
    if as_json:
        facts = {"folder": str(result.folder), "rows": dict(result.files), "passes": dict(result.passes)}
        print_json(facts | {"command": result.command})
        return
    table(f"{prompts:,} prompts for {PROMPT_TOOLS[to].label}", ["file", "rows", "share", "passes"], shown(result))
    finish({"prompts": result.folder}, f"cd {here(result.folder)} && less README.md")
