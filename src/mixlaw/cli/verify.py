"""The verb that looks a study over: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import options as opt
from mixlaw.cli.answers import Fact, fitting, named, show_answer
from mixlaw.cli.output import here, note, print_json, table
from mixlaw.cli.progress import SweepLine

_NOT_SOUND = 1


def verify(
    study: Annotated[
        Path,
        typer.Argument(
            help="The study folder or its mix.yaml; or a mixture, an export or a model.", show_default=False
        ),
    ],
    retrain: Annotated[int, typer.Option(help="How many finished runs to train again; 0 for none.", min=0)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the choice of these runs.")] = 0,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Read every file of a study, compute its hashes again, train some runs again, and say what is sound.

    Changes nothing. A run that is trained again on the same machine, with the same versions and threads, must give the
    same losses, bit for bit. Of a mixture, an export or a model, in any folder, the files are read. The exit code is 0
    where everything is sound, and 1 where something is not.

    Examples:
        mixlaw verify studies/mix
        mixlaw verify mix.yaml --retrain 3
        mixlaw verify studies/mix --retrain 0 --json
        mixlaw verify exports/trl-40M-8cf1166a
    """
    from mixlaw.api.facts import is_study
    from mixlaw.api.verify import verify as verify_study
    from mixlaw.study.origin import origin_of

    with SweepLine(as_json) as line:
        result = verify_study(study, retrain=retrain, seed=seed, on_event=line, note=None if as_json else note)
    if as_json:
        print_json(result.to_json())
    else:
        again = f"mixlaw verify {here(study)}"
        if is_study(result.study):  # only a mix.yaml can be run
            again = f"mixlaw run {here(study if study.is_file() else origin_of(study) or 'mix.yaml')}"
        show_answer(
            _facts(result),
            "" if result.sound else again,
            before="nothing, all is sound" if result.sound else "correct what is named",
            warnings=[f"{problem.problem} {problem.remedy}" for problem in result.problems],
            verbose=verbose,
            details=lambda: _details(result),
        )
    if not result.sound:
        raise typer.Exit(_NOT_SOUND)


def _facts(result: Any) -> list[Fact]:
    retrained = [f"{named(run.run)} {'gave the same' if run.equal else run.remark}" for run in result.retrained]
    kinds = [f"{checked.what} {checked.files:,}" for checked in result.checked]
    return [
        ("files", result.table()[0]),
        ("read", fitting(kinds)),
        ("trained", fitting(retrained) if retrained else ""),
        ("not", f"no run was trained again: {result.not_retrained}" if result.not_retrained else ""),
    ]


def _details(result: Any) -> None:
    table(*result.table())
    if result.retrained:
        rows = [[r.run, "the same" if r.equal else "another", r.remark] for r in result.retrained]
        table("Trained again", ["run", "record", "remark"], rows)
