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
        "Every problem of a mix.yaml is listed at once with its path, such as `plan.base_tokens`, and the key "
        "that was probably meant. Mend them and say `mixlaw check mix.yaml`."
    ),
    "data": (
        "The message names file and line (or row and column). Mend or drop that row. A run table needs `run`, "
        "`tokens:<domain>` and `loss:<target>`; an empty loss means not measured, `nan` is refused."
    ),
    "design": (
        "The plan asks for what the data do not hold, such as three times `base_tokens` of a small domain. "
        "The message gives the largest value that works."
    ),
    "study": (
        "The study folder is missing a step (the message names the verb), is not writable, or another process "
        "is training in it with other settings."
    ),
    "run_failed": (
        "`mixlaw status mix.yaml` gives the reason and the run's folder its log. A loss that is not finite "
        "comes again: lower `train.learning_rate`. Then `mixlaw run mix.yaml --retry-failed`. The other runs "
        "are kept."
    ),
    "fit": "The message names the target and what the runs lack. See [My fit looks wrong](fit-looks-wrong.md).",
    "too_few_runs": (
        "A target has fewer different mixtures than its law has parameters. Train more runs, or take a law "
        "with fewer parameters; see [How many runs](how-many-runs.md)."
    ),
    "not_identifiable": (
        "The runs never move what would tell the parameters apart: every domain must have at least three "
        "different amounts, and the others must move, too. `design: space_filling` does that."
    ),
    "did_not_converge": "Look at the losses: a diverged run, tokens in millions instead of tokens, or columns swapped.",
    "solve": "The message names the option. Weights come from a fit with an equation.",
    "infeasible": "The message names the bounds that bind and the largest budget, cap or number of epochs that works.",
    "newer_format": (
        "The message names the file. It is not damaged, so mixlaw neither reads it nor writes it again: upgrade "
        "mixlaw, or use the version that wrote the study."
    ),
    "missing_extra": (
        "Install what the message says: `[train]` brings torch and transformers, `[report]` the report, "
        "`[trl]` TRL and PEFT, `[laws]` LightGBM."
    ),
    "file": (
        "The message names the path, where the system does. On a full disk free some space: what is done is kept, "
        "and the same command goes on where it stopped."
    ),
    "usage": "An unknown verb or option, or one without its value: `mixlaw VERB --help`. Exit code 2.",
    "interrupted": "Ctrl-C. Finished runs are kept; the same command goes on where it stopped. Exit code 130.",
    "internal": "A fault of mixlaw. `--debug` shows the traceback; please report it.",
}

INTRODUCTION = """\
# Errors by code

Written by `make docs` from `mixlaw.core.errors`; a test compares the two.

Every error that mixlaw raises on purpose states a fact with its values, the rule that it breaks and the remedy. On
the command line it is one line on stderr; with `--json` it is `{"error": {"code", "message", "hint"}}` on stdout. The
codes are stable. From Python the classes are those of `mixlaw.core.errors`, all below `mixlaw.MixlawError`. The exit
code is 1 unless said otherwise.
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
