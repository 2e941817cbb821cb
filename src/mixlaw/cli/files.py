"""Verbs that write files: init, check, mix, report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.answers import Fact, checks_facts, fitting, named, show_answer
from mixlaw.cli.mixture_files import export_of, mix_details, mix_facts, mix_warnings
from mixlaw.cli.output import finish, folded, here, note, plain, print_json, show_checks, show_failures, stdout, table
from mixlaw.core.errors import ConfigError
from mixlaw.core.plurals import plural
from mixlaw.core.tokens import format_tokens

_SHOWN_CHARACTERS = 800


def init(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Data files, folders or dataset ids, one for each domain.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("mix.yaml"),
    model: Annotated[
        str | None, typer.Option(help="Base model: a folder or a Hugging Face id; by default the bundled one.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Training tokens of the final run; by default as many as the data has.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STANDARD=NAME",
            help="The name of a column in the files: standard=name, such as messages=chat; may be repeated.",
        ),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Copy the demo's mix.yaml, data and model instead.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Look at data files and write a commented mix.yaml that runs as it is.

    It detects each file's format, counts its rows, names a domain after it, and derives the budget and the size of the
    runs from the data. Without --model it uses the bundled model of 1M parameters, for a first answer in minutes.

    Examples:
        mixlaw init data/chat.jsonl data/code.jsonl
        mixlaw init data/*.jsonl --model Qwen/Qwen2.5-0.5B --budget 20M
        mixlaw init data/qa.csv --columns prompt=question --columns completion=answer
        mixlaw init --example --out my-mix/mix.yaml
    """
    from mixlaw.api.files import example_config
    from mixlaw.api.init import init as write_config

    say = None if as_json else note
    if example:
        written = example_config(out.parent, force=force)
    elif paths:
        renames = _renames(columns or [])
        written = write_config(paths, out, model=model, budget=budget, columns=renames, force=force, note=say)
    else:
        raise ConfigError("No dataset paths were given.", "Run `mixlaw init data/*.jsonl`, or `mixlaw init --example`.")
    if as_json:
        print_json({"written": str(written)})
    else:
        finish({"configuration": written}, f"mixlaw check {here(written)}")


def _renames(columns: list[str]) -> dict[str, str]:
    """Return standard name -> name in the file, of `standard=name` texts."""
    found: dict[str, str] = {}
    for text in columns:
        standard, equals, name = text.partition("=")
        if not (standard and equals and name):
            raise ConfigError(
                f"--columns {text}: a renaming is written standard=name.", "For example: --columns messages=chat."
            )
        if found.setdefault(standard, name) != name:
            raise ConfigError(
                f"--columns gives '{standard}' two names: '{found[standard]}' and '{name}'.",
                "If the files differ, set `columns` of each domain in mix.yaml.",
            )
    return found


def check(
    config: opt.OptionalConfigFile = None,
    model: Annotated[
        str | None,
        typer.Option(help="Examine the chat template of a model (folder or id) instead of a mix.yaml."),
    ] = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Check mix.yaml and the data, and count tokens. Trains nothing.

    Problems of the data are named as WARN or FAIL: rows dropped, cut or repeated, near copies,
    conversations that domains share, validation sets that are too small. --verbose shows them with their
    remedies, and one conversation of each domain with the supervised part, which the model learns from, marked.

    Examples:
        mixlaw check mix.yaml
        mixlaw check mix.yaml --json
        mixlaw check --model HuggingFaceTB/SmolLM2-135M-Instruct
    """
    from mixlaw.api.files import check as check_config

    if (config is None) == (model is None):
        raise ConfigError("`mixlaw check` takes either a mix.yaml or --model.", "Run `mixlaw check mix.yaml`.")
    if config is None:
        _check_model(str(model), as_json)
        return
    found = check_config(config, None if as_json else note)
    if as_json:
        print_json(_as_json(found))
        return
    show_answer(
        _check_facts(found),
        f"mixlaw run {here(config)}",
        verbose=verbose,
        details=lambda: _check_details(found),
    )
    if not verbose:
        show_failures(found.checks)
    for text in found.notes:
        note(text)


def _check_facts(found: Any) -> list[Fact]:
    trained = {name: counts["train"] for name, counts in found.domains.items()}
    sizes = [f"{named(n)} {format_tokens(t['tokens'])}" for n, t in sorted(trained.items(), key=_by_tokens)]
    total = sum(train["tokens"] for train in trained.values())
    supervised = sum(train["supervised_tokens"] for train in trained.values())
    held = sum(counts["validation"]["rows"] for counts in found.domains.values())
    rows = sum(train["rows"] for train in trained.values())
    said = f"{rows:,} to train on and {held:,} held out; {100 * supervised / max(total, 1):.0f} % of tokens supervised"
    cost = f"{plural(found.proxy_runs, 'proxy run')} of {format_tokens(found.proxy_tokens)} tokens in all"
    return [
        ("tokens", fitting(sizes, f"{format_tokens(total)}: ")),
        ("rows", said),
        *checks_facts(found.checks),
        ("cost", f"{cost}, {found.cost}" if found.cost else cost),
    ]


def _by_tokens(pair: tuple[str, Any]) -> float:
    return -pair[1]["tokens"]


def _check_details(found: Any) -> None:
    for name, parts in found.examples.items():
        _show_example(name, parts)
    rows = []
    for name, counts in found.domains.items():
        train, held = counts["train"], counts["validation"]
        share = f"{100 * train['supervised_tokens'] / train['tokens']:.0f} %"
        rows.append([name, counts["format"], train["rows"], format_tokens(train["tokens"]), share, held["rows"]])
    columns = ["domain", "format", "rows", "tokens", "supervised", "held out"]
    table("Domains", columns, rows)
    _show_data(found)
    if found.cost and found.cost.flop is not None:
        note(f"The runs take {found.cost.flop:.1e} floating-point operations, evaluations included.")


def _as_json(found: Any) -> dict[str, Any]:
    """Return what `check` found as its JSON."""
    return {
        "domains": found.domains,
        "proxy_runs": found.proxy_runs,
        "proxy_tokens": found.proxy_tokens,
        "budget_tokens": found.budget_tokens,
        "parameters": found.parameters,
        "proxy_flop": found.cost and found.cost.flop,
        "cost": found.cost and found.cost.to_json(),
        "notes": found.notes,
        "checks": [asdict(check) for check in found.checks],
        "overlap": found.overlap.to_json() if found.overlap else None,
        "likeness": found.likeness,
        "examples": {
            name: [{"text": text, "supervised": on} for text, on in parts] for name, parts in found.examples.items()
        },
    }


def _check_model(model: str, as_json: bool) -> None:
    """Say which kinds of conversations the chat template of a model carries."""
    from mixlaw.api.files import check_model

    found = check_model(model)
    if as_json:
        print_json({"model": model} | found._asdict())
        return
    table("Chat template", ["conversation", "result"], [[kind, result] for kind, result in found.conversations.items()])
    if any(result != "ok" for result in found.conversations.values()):
        note("A row of a refused kind ends the command with an error that names the row and says what to do.")
    if found.stops:
        stdout().print(f"Answers end with {plain(' or '.join(found.stops))}.")
    for text in found.warnings:
        note(text)


def _show_data(found: Any) -> None:
    """Print what became of the rows, what domains have in common, and the checks that are no PASS."""
    from mixlaw.report.data_health import ROWS_LEGEND, rows_table

    table("Rows read, dropped and cut", *rows_table(found.domains, found.likeness))
    note(ROWS_LEGEND)
    if found.overlap is not None and found.overlap.shared:
        table("Conversations of each domain that are also in another, %", *found.overlap.matrix())
    show_checks(found.checks)


def _show_example(name: str, parts: list[tuple[str, bool]]) -> None:
    console, left = stdout(), _SHOWN_CHARACTERS
    console.print(f"[bold]{plain(name)}[/] (the supervised part is marked ▌)")
    if len(parts) > 1 and not parts[-1][0].strip():
        parts = parts[:-1]  # the line end behind the last answer
    for text, supervised in parts:
        shown, left = text[:left], left - len(text)
        style = "green" if supervised else "dim"
        for line in shown.splitlines():
            for part in folded(console, line, 2) or [""]:
                console.print(f"{'▌' if supervised else ' '} {plain(part)}", style=style)
        if left <= 0:
            console.print("  ...", style="dim")
            break


def mix(
    config: opt.ConfigFile,
    budget: Annotated[str | None, typer.Option(help="Training tokens; default: budget of the mix.yaml.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="domain=share,...: these weights instead of the solution's.")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Format of the training files: jsonl or parquet.",
            autocompletion=completion.one_of("jsonl", "parquet"),
        ),
    ] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="Output folder; default mixtures/<id> in the study.")] = None,
    shards: Annotated[
        int | None, typer.Option(help="How many files to write; by default one for about every 100 MB.", min=1)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of processes; by default one for each core. The files are the same for any number.", min=1
        ),
    ] = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Write the training files of the solution, or of given weights, with a manifest and a card.

    Shares are exact to within one conversation, and the data may be larger than memory. A command
    that was killed continues where it stopped.

    Examples:
        mixlaw mix mix.yaml
        mixlaw mix mix.yaml --budget 20M --format parquet
        mixlaw mix mix.yaml --weights chat=0.5,code=0.5 --out equal
    """
    from mixlaw.api.mixture import mix as write_mixture

    given = opt.pairs(weights, "--weights", opt.share("--weights")) or None
    manifest, folder = write_mixture(
        config,
        budget=budget,
        weights=given,
        out=out,
        file_format=file_format,
        shards=shards,
        workers=workers,
        note=None if as_json else note,
    )
    if as_json:
        print_json(manifest | {"folder": str(folder)})
        return
    show_answer(
        mix_facts(manifest),
        export_of(config, budget, weights, file_format, shards),
        written={"training files": folder},
        warnings=mix_warnings(manifest),
        verbose=verbose,
        details=lambda: mix_details(manifest),
    )


def report(
    source: Annotated[Path, typer.Argument(help="A mix.yaml, its study folder, or a run table.", show_default=False)],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Training tokens, such as 20M; by default the budget of the study, or the largest run of a run table."
        ),
    ] = None,
    law: opt.Law = "auto",
    procedure: opt.Procedure = "joint",
    out: Annotated[Path | None, typer.Option(help="Output folder; default report/ in the study.")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write report.html, report.md with figures, and report.json.

    --law and --procedure choose how a run table is fitted. A study has a fit already, made as mix.yaml says.

    Examples:
        mixlaw report mix.yaml
        mixlaw report runs.csv --budget 20M --out report
        mixlaw report runs.csv --budget 20M --law pairwise
    """
    from mixlaw.api.files import report as write_report

    files = write_report(source, out, budget, law=law, procedure=procedure)
    if as_json:
        print_json({"written": files})
    else:
        finish(files, f"open {here(files['html'])}")
