"""What each verb shows on a terminal of 80 and of 60 columns, as text files.

    PYTHONPATH=tests:. python tests/docs/recordings.py     write the files of tests/data/recordings again

They are made beside a demo of the kept runs, as the test makes one: beside another, where mixtures were compared or
other runs trained, some verbs say more. The commands run in this process, on a console that
takes itself for a terminal; colours are taken out. Nothing is trained: comparison runs have the losses that the law
predicts, with a scatter, the results of `final`, `eval` and `cancel` are made up, and no figure is drawn. What is
computed is computed once for both widths.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from demo_study import place_runs, place_solution
from docs.transcripts import environment, run
from light_reports import without_figures
from mixlaw.cli import main

KEPT = Path(__file__).parents[1] / "data" / "recordings"
WIDTHS = (80, 60)
COMMANDS = {
    "demo": ["demo", "demo --verbose"],
    "init": ["init mixlaw-demo/data/sql.jsonl.gz mixlaw-demo/data/shell.jsonl.gz --out own.yaml --force"],
    "check": ["check mixlaw-demo/mix.yaml", "check mixlaw-demo/mix.yaml --verbose"],
    "plan": ["plan mixlaw-demo/mix.yaml", "plan mixlaw-demo/mix.yaml --verbose"],
    "train": ["train mixlaw-demo/mix.yaml"],
    "run": ["run mixlaw-demo/mix.yaml"],
    "status": ["status mixlaw-demo/mix.yaml", "status mixlaw-demo/study --verbose"],
    "verify": ["verify mixlaw-demo/study --retrain 0", "verify mixlaw-demo/study --retrain 0 --verbose"],
    "cancel": ["cancel mixlaw-demo/mix.yaml"],
    "fit": ["fit mixlaw-demo/study --out fit.json", "fit mixlaw-demo/study --out fit.json --verbose"],
    "laws": [
        "laws mixlaw-demo/study --laws transfer,pairwise,exponential",
        "laws mixlaw-demo/study --laws transfer,pairwise,exponential --verbose",
    ],
    "solve": ["solve fit.json --budget 2M", "solve mixlaw-demo/study --budget 2M --verbose"],
    "predict": ["predict fit.json --tokens {all}", "predict fit.json --tokens {one} --verbose"],
    "mix": ["mix mixlaw-demo/mix.yaml --budget 60k", "mix mixlaw-demo/mix.yaml --budget 60k --verbose"],
    "export": [
        "export mixlaw-demo/mix.yaml --budget 60k --to trl",
        "export mixlaw-demo/mix.yaml --budget 60k --to axolotl --by-reference",
        "export mixlaw-demo/mix.yaml --budget 60k --to axolotl --by-reference --verbose",
    ],
    "compare": ["compare mixlaw-demo/mix.yaml", "compare mixlaw-demo/mix.yaml --verbose"],
    "final": ["final mixlaw-demo/mix.yaml", "final mixlaw-demo/mix.yaml --verbose"],
    "eval": ["eval mixlaw-demo/mix.yaml", "eval mixlaw-demo/mix.yaml --verbose"],
    "report": ["report mixlaw-demo/study"],
    "push": ["push mixlaw-demo/mix.yaml study --repo my-team/chat-study --dry-run"],
    "adopt": ["adopt mixlaw-demo/mix.yaml results.csv"],
}
"""Verb -> its commands, in an order in which each finds what it reads."""

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMPUTED = (
    *("api.numbers.fit", "api.numbers.laws", "api.sweep.run", "api.files.check", "api.files.report"),
    *("api.mixture.mix", "api.export.export", "api.verify.verify", "api.push.push"),
)
"""Functions that the verbs call, whose results are kept for the next width."""


def finished_demo(folder: Path) -> Path:
    """Make `mixlaw-demo` in a folder, from the runs that are kept, and return the folder."""
    place_runs(folder / "mixlaw-demo" / "study")
    run("mixlaw demo", folder, environment(folder / ".bin"))
    place_solution(folder / "mixlaw-demo" / "mix.yaml")
    return folder


def record(folder: Path) -> dict[str, str]:
    """Return file name -> what a verb showed; `folder` holds a finished demo, and is written to."""
    shown = {}
    with contextlib.chdir(folder), _nothing_trained(), _computed_once(), without_figures():
        names = _prepare()
        for verb, commands in COMMANDS.items():
            for width in WIDTHS:
                parts = []
                for command in commands:
                    command = command.format(**names)
                    parts.append(f"$ mixlaw {command}\n{terminal(command, width)}")
                shown[f"{verb}-{width}.txt"] = "\n".join(parts)
    return shown


def terminal(command: str, width: int) -> str:
    """Return what a command shows on a terminal of so many columns, stdout and stderr as they come."""
    screen = io.StringIO()
    place = {"COLUMNS": str(width), "LINES": "40", "FORCE_COLOR": "1", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    with (
        mock.patch.dict(os.environ, place),
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        code = main(shlex.split(command))
    text = _STYLE.sub("", screen.getvalue())
    assert code == 0, f"$ mixlaw {command}\n{text}"
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _prepare() -> dict[str, str]:
    """Write the results that `adopt` reads, and return the mixtures that `predict` is asked for."""
    from mixlaw.api.numbers import load_runs

    runs = load_runs("mixlaw-demo/study")
    runs.take([not name.startswith("base") for name in runs.runs]).to_csv("results.csv")
    return {"all": ",".join(f"{name}=200k" for name in runs.domains), "one": f"{runs.domains[0]}=600k"}


@contextlib.contextmanager
def _computed_once() -> Iterator[None]:
    """Keep what the functions behind the verbs return, and what they say meanwhile."""
    with contextlib.ExitStack() as patches:
        for name in _COMPUTED:
            module, _, function = f"mixlaw.{name}".rpartition(".")
            patches.enter_context(mock.patch(f"{module}.{function}", _kept(_found(module, function))))
        yield


def _found(module: str, function: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), function)


def _kept(function: Any) -> Any:
    results: dict[str, tuple[Any, list[str]]] = {}

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        said: list[str] = []
        note = named.get("note")
        shown = {key: value for key, value in named.items() if key not in ("note", "on_event")}
        places = [str(getattr(part, "file", part)) for part in arguments]
        key = f"{places} {shown}"
        if key not in results:
            if note:
                named["note"] = said.append
            results[key] = function(*arguments, **named), said
        value, said = results[key]
        for text in said:
            note(text)
        return value

    return call


@contextlib.contextmanager
def _nothing_trained() -> Iterator[None]:
    """Let comparison runs have predicted losses, and `final`, `eval` and `cancel` results that are made up."""
    with (
        mock.patch("mixlaw.api.compare.train_pending", _predict_pending),
        mock.patch("mixlaw.api.final.final", _final),
        mock.patch("mixlaw.api.evaluate.evaluate", _evaluated),
        mock.patch("mixlaw.api.workers.cancel", lambda config: 2),
    ):
        yield


def _predict_pending(project: Any, study: Any, *, specs: Any, **_: Any) -> list[Any]:
    from mixlaw.core.run import RunRecord, TargetLoss

    for i, spec in enumerate(study.pending(specs)):
        losses = {
            target: TargetLoss(1000 * (p["mean"] + 0.004 * ((7 * i + 3 * j) % 5 - 2)), 1000)
            for j, (target, p) in enumerate(project.fit.predict(spec.tokens).of_mixture().items())
        }
        counts = dict(spec.tokens)
        lease = study.claim(spec)
        study.complete(spec, RunRecord(spec, counts, counts, counts, losses, 10, 1_000_000), {"wall_s": 1.0})
        lease.release()
    return study.status(specs)


def _final(project: Any, **_: Any) -> SimpleNamespace:
    predicted = project.solve(project.fit).predicted
    losses = {target: {"loss_nats": p["mean"] + 0.01} for target, p in predicted.items()}
    folder = project.study.folder / "models" / "final"
    return SimpleNamespace(folder=folder, new=True, facts={"predicted": predicted, "losses": losses})


def _evaluated(*_: Any, **__: Any) -> dict[str, Any]:
    from mixlaw.evaluate.agreement import Evaluated, agreement

    models = [
        Evaluated(f"{name}-300k-s{seed}", {"sql": 1.6 + 0.1 * i}, {"openbookqa": 0.26 - 0.01 * (i % 3), "sql": 0.12})
        for i, (name, seed) in enumerate((name, seed) for name in ("solution", "equal", "natural") for seed in (0, 1))
    ]
    found = {m.name: {task: {"value": value, "stderr": 0.031} for task, value in m.metrics.items()} for m in models}
    return {"models": found, "agreement": agreement(models)}


def in_a_copy(demo: Path) -> dict[str, str]:
    """Return what `record` does, in a copy of a folder with a finished demo."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(demo / "mixlaw-demo", Path(folder) / "mixlaw-demo")
        return record(Path(folder))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = record(finished_demo(Path(place)))
    KEPT.mkdir(exist_ok=True)
    for old in KEPT.glob("*.txt"):
        old.unlink()
    for name, text in made.items():
        (KEPT / name).write_text(text, encoding="utf-8")
