"""The text of docs/errors.md, from the tree of errors: `make docs` writes it."""

import inspect
import sys
from pathlib import Path

from mixlaw import cli
from mixlaw.core import errors
from mixlaw.core.errors import MixlawError

COMMAND_LINE = (cli._Usage, cli._Interrupted, cli._Internal)

DO = {
    "error": "The base of all others; never raised by itself.",
    "config": (
        "All problems of a mix.yaml are listed at once, each with its path, such as `plan.base_tokens`, and the key "
        "that was probably meant. Correct them and run `mixlaw check mix.yaml`."
    ),
    "data": (
        "The message names file and line (or row and column). Correct or delete that row. A run table needs `run`, "
        "`tokens:<domain>` and `loss:<target>`. An empty loss means that it was not measured; `nan` is an error."
    ),
    "design": (
        "The plan needs more than the data hold, such as three times `base_tokens` of a small domain. "
        "The message gives the largest value that works."
    ),
    "study": (
        "An earlier step is missing in the study folder (the message names the command that does it), or the folder "
        "cannot be written, or another process trains in it with other settings."
    ),
    "run_failed": (
        "`mixlaw status mix.yaml` gives the reason; the log is in the run's folder. If a loss was not finite, the same "
        "training would fail again: lower `train.learning_rate`. Then `mixlaw run mix.yaml --retry-failed`. The other "
        "runs are kept."
    ),
    "runs_failed": (
        "The message lists the failed runs by kind (diverged, out of memory, killed, refused), with counts and "
        "remedies. Do what it says, then `mixlaw run mix.yaml --retry-failed`. Finished runs are kept. Exit code 3."
    ),
    "fit": "The message names the target and what the runs lack. See [My fit looks wrong](fit-looks-wrong.md).",
    "too_few_runs": (
        "A target has fewer different mixtures than its law has parameters. Train more runs, or take a law "
        "with fewer parameters; see [How many runs](how-many-runs.md)."
    ),
    "not_identifiable": (
        "The runs are too much alike to tell the parameters of the law apart. Every domain needs at least three "
        "different amounts, and the amounts of the other domains must differ, too. `design: space_filling` does that."
    ),
    "did_not_converge": "Look at the run table: has a run diverged, are tokens given in millions, are columns swapped?",
    "solve": "The message names the option. Weights need a fit of a law that has an equation.",
    "infeasible": "The message names the bounds that bind and the largest budget, cap or number of epochs that works.",
    "newer_format": (
        "The message names the file. It is not damaged, so mixlaw neither reads it nor writes it again: upgrade "
        "mixlaw, or use the version that wrote the study."
    ),
    "missing_extra": (
        "Install what the message says: `[train]` brings torch and transformers, `[report]` the report, "
        "`[trl]` TRL and PEFT, `[laws]` LightGBM."
    ),
    "hub": (
        "The message says what the Hub answered. Log in with `hf auth login` and a token that may write, check the "
        "name, and look with `mixlaw push ... --dry-run` at what would be sent. `push` writes all files in one commit."
    ),
    "file": (
        "The message names the path, if the operating system gives it. If the disk is full, free some space. What is "
        "done is kept, and the same command continues where it stopped."
    ),
    "usage": "There is no such command or option, or its value is missing: see `mixlaw COMMAND --help`. Exit code 2.",
    "interrupted": (
        "You pressed Ctrl-C, or the process was told to end (SIGTERM). Finished runs are kept; the same command, which "
        "the message repeats, continues from there. Exit code 130, or 143 after a SIGTERM."
    ),
    "internal": "A bug in mixlaw. Please report it, with the traceback that `--debug` shows.",
}

INTRODUCTION = """\
# Errors by code

An error states what is wrong, with the values, and what to do. On the command line it is one line on stderr; with
`--json` it is `{"error": {"code", "message", "hint"}}` on stdout. The codes do not change between versions. In Python
each code is a class of `mixlaw.core.errors`; all of them derive from `mixlaw.MixlawError`. The exit code is 1 unless
stated otherwise. It is 3 where the command has done its work but some of the runs failed (`run`, `train`),
and with `runs_failed`; 130 after Ctrl-C and 143 after a SIGTERM.
"""


def kinds(root: type[MixlawError] = MixlawError) -> list[type[MixlawError]]:
    """Return the classes of the tree, parents first."""
    below = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return [root, *(kind for child in below for kind in kinds(child))]


def reference() -> str:
    """Return docs/errors.md."""
    parts = [INTRODUCTION]
    for kind in (*kinds(), *COMMAND_LINE):
        first = (inspect.getdoc(kind) or "").split("\n")[0]
        own = kind.__module__ == errors.__name__
        said = f"`{kind.__name__}`: {first}" if own else "From the command line only."
        parts.append(f"## {kind.code}\n\n{said}\n\n{DO[kind.code]}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
