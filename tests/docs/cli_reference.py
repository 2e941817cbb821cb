"""The text of docs/cli.md, from the command line's own --help: `make docs` writes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

VERBS = (
    *("init", "check", "run", "plan", "train", "status", "verify", "adopt"),
    *("fit", "laws", "solve", "predict", "mix", "export", "compare", "final", "eval", "report", "demo"),
)
INTRODUCTION = """\
# Command line

Every command takes `--json`: one JSON object on stdout and nothing else; an error is `{"error": {"code", "message",
"hint"}}`. Exit codes: 0 done, 1 error, 2 wrong usage, 3 finished but runs failed, 130 interrupted. Running a command
again does only what is missing. `--debug`, anywhere, shows the traceback of an error.
"""


CODE = """
import contextlib, io, json, sys
from mixlaw.cli import main
said = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([*words, "--help"])
    said.append(printed.getvalue())
json.dump(said, sys.stdout)
"""


def helps(commands: list[list[str]]) -> list[str]:
    """Return the help of commands as plain text, with their examples, which only a terminal with boxes breaks well."""
    plain, boxed = printed(commands, boxes="0"), printed(commands, boxes="1")
    return [
        "\n\n".join(
            part for part in (text.partition("\n\n  [bold]")[0], example.rpartition("╯")[2].strip("\n")) if part
        )
        for text, example in zip(plain, boxed, strict=True)
    ]


def printed(commands: list[list[str]], boxes: str) -> list[str]:
    """Return what commands print, 100 columns wide, from one process: its width is fixed when it starts."""
    environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TYPER_USE_RICH": boxes}
    words, asked = [sys.executable, "-c", CODE], json.dumps(commands)
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=True, env=environment)
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in json.loads(done.stdout)]


def reference() -> str:
    """Return docs/cli.md."""
    whole, *verbs = helps([[], *([verb] for verb in VERBS)])
    parts = [INTRODUCTION, f"```text\n{whole}\n```\n"]
    parts += [f"## mixlaw {verb}\n\n```text\n{text}\n```\n" for verb, text in zip(VERBS, verbs, strict=True)]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
