"""The verb that publishes: push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.answers import show_answer
from mixlaw.cli.output import here, note, print_json, table
from mixlaw.core.plurals import plural


def push(
    config: opt.ConfigFile,
    what: Annotated[
        str,
        typer.Argument(
            help="mixture (files with card), model (with card) or study (runs, fit, solution, report).",
            autocompletion=completion.one_of("mixture", "model", "study"),
        ),
    ],
    repo: Annotated[str, typer.Option(metavar="USER/NAME", help="The repository; it is made where it is missing.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the mixture or model; by default the study's newest.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let all read a new repository; otherwise private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written; works without network.")
    ] = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Write a mixture, a model or the study to a repository of the Hugging Face Hub, in one commit.

    A study goes without places of this machine and without a row of the data. A public repository takes
    no mixture with sources whose licence forbids it or is not known: see domains.<name>.license.

    Examples:
        mixlaw push mix.yaml mixture --repo my-team/chat-mix --dry-run
        mixlaw push mix.yaml study --repo my-team/chat-study --public
        mixlaw push mix.yaml model --repo my-team/chat-model
    """
    from mixlaw.api.push import push as publish

    say = None if as_json else note
    done = publish(config, what, repo, folder=folder, public=public, dry_run=dry_run, note=say)  # type: ignore[arg-type]
    if as_json:
        print_json(done.to_json())
        return
    title, columns, rows, notes = done.table()
    again = f"mixlaw push {here(config)} {what} --repo {repo}" + (" --public" if public else "")
    size = f"{plural(len(rows) - 1, 'file')}, {rows[-1][-1]}"
    show_answer(
        [("what", title), ("size", size), ("address", done.address or "")],
        "" if done.address else again,
        before="nothing, it is there" if done.address else "",
        verbose=verbose,
        details=lambda: table(title, columns, rows),
    )
    for text in notes:
        note(text)
