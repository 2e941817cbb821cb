"""The verb that looks a study over: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixlaw.cli import options as opt
from mixlaw.cli.output import finish, here, note, print_json, table, warn
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

    with SweepLine(as_json) as line:
        result = verify_study(study, retrain=retrain, seed=seed, on_event=line, note=None if as_json else note)
    if as_json:
        print_json(result.to_json())
    else:
        table(*result.table())
        if result.retrained:
            rows = [[r.run, "the same" if r.equal else "another", r.remark] for r in result.retrained]
            table("Trained again", ["run", "record", "remark"], rows)
        for problem in result.problems:
            warn([f"{problem.problem} {problem.remedy}"])
        again = f"mixlaw run {here(study)}" if is_study(result.study) else f"mixlaw verify {here(study)}"
        if result.not_retrained:
            note(f"No run was trained again: {result.not_retrained}")
        finish({}, "nothing, all is sound" if result.sound else "correct what is named, then: " + again)
    if not result.sound:
        raise typer.Exit(_NOT_SOUND)
