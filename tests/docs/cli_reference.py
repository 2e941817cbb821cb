"""The text of docs/cli.md, from the command line's own --help: `make docs` writes it."""

import os
import subprocess
import sys
from pathlib import Path

VERBS = (
    *("init", "check", "run", "plan", "train", "status", "adopt"),
    *("fit", "laws", "solve", "predict", "mix", "export", "compare", "final", "eval", "report", "demo"),
)
INTRODUCTION = """\
# Command line

Written by `make docs` from `--help`; a test compares the two.

Every verb takes `--json`: one JSON object on stdout and nothing else; an error is `{"error": {"code", "message",
"hint"}}`. Exit codes: 0 done, 1 error, 2 wrong usage, 3 finished but runs failed, 130 interrupted. Running a verb again
does only what is missing. `--debug`, anywhere, shows the traceback of an error.
"""


def help_of(*arguments: str) -> str:
    """Return the help of a command, 100 columns wide."""
    environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "mixlaw", *arguments, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def reference() -> str:
    """Return docs/cli.md."""
    parts = [INTRODUCTION, f"```text\n{help_of()}\n```\n"]
    parts += [f"## mixlaw {verb}\n\n```text\n{help_of(verb)}\n```\n" for verb in VERBS]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
