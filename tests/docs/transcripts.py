"""Console blocks of Markdown pages: the commands that they show are run, in order, and what they print is compared.

    python tests/docs/transcripts.py PAGE FOLDER     write what the commands print in FOLDER into the page

In a block ```` ```console ````, a line `$ command` is run by bash, and the lines up to the next command are what it
prints on stdout; a line `...` stands for any lines. A command without shown lines is run, and must end with status
0. `mixlaw` runs in this process, with what stands behind a pipe in bash: to load it anew for each command took longer
than all else. Commands of `make`, and a pipe into Python, have processes of their own.
"""

import contextlib
import io
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from mixlaw.cli import main

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWN = re.compile(r"mixlaw (?P<words>[^|<>&;\n]*)(?:\| *(?P<rest>.*))?")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
DURATION = re.compile(r"\b\d+ (?:s|min|h)\b(?: \d+ (?:s|min)\b)?")
HASH = re.compile(r"(?<=\d[kMB]-)[0-9a-f]{8}\b")
"""Of a mixture's weights to the last bit: another processor, another hash."""

_TOLERANCE = 0.02
_DRAWN = 0.3
"""Of numbers with a decimal point: what rests on posterior draws differs between processors, since a chain of draws
carries a difference in the last digit on. A swapped domain or a wrong order of magnitude is still seen."""

_ROUNDING = 1e-9
"""Certificates are sums of rounding errors, which differ between processors."""


@dataclass
class Step:
    """One command and the lines that the page shows for it."""

    command: str
    shown: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    """Return the commands of a page, in order."""
    found: list[Step] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line.removeprefix("$ ").split("  #")[0].strip()))
            elif line.startswith("> "):
                found[-1].command += "\n" + line.removeprefix("> ")
            else:
                found[-1].shown.append(line)
    return found


def environment(bin_folder: Path) -> dict[str, str]:
    """Return the environment of commands: `mixlaw` is this checkout's, without a terminal."""
    bin_folder.mkdir(exist_ok=True)
    script = bin_folder / "mixlaw"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mixlaw "$@"\n')
    script.chmod(0o755)
    path = os.pathsep.join((str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    kept = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL")}
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def run(command: str, folder: Path, variables: dict[str, str]) -> str:
    """Return what a command prints on stdout; raise AssertionError where it fails."""
    own, printed = OWN.fullmatch(command), ""
    if own:
        printed = _run_here(shlex.split(own["words"]), folder, variables)
        if not own["rest"]:
            return printed
    bash = ["bash", "-c", own["rest"] if own else command]
    done = subprocess.run(bash, input=printed, capture_output=True, text=True, timeout=500, cwd=folder, env=variables)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _run_here(words: list[str], folder: Path, variables: dict[str, str]) -> str:
    """Return what `mixlaw` prints on stdout, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, variables, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    assert code == 0, f"$ mixlaw {shlex.join(words)}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue()


def difference(shown: list[str], printed: str) -> str:
    """Return why what was printed is not what the page shows; empty where it is.

    Durations are any durations, whole numbers may differ by 2 %, others by 30 % (see above), all else is exact.
    """
    lines = [line for line in (_plain(line) for line in _without_seconds(printed.splitlines())) if line]
    wanted = [line for line in (_plain(line) for line in _without_seconds(shown)) if line]
    at = 0
    for i, line in enumerate(wanted):
        if line == "...":
            continue
        if i and wanted[i - 1] == "...":
            while at < len(lines) and not _alike(line, lines[at]):
                at += 1
        if at >= len(lines):
            return f"shown, and not printed: {line}"
        if not _alike(line, lines[at]):
            return f"shown:   {line}\nprinted: {lines[at]}"
        at += 1
    if at < len(lines) and wanted[-1:] != ["..."]:
        return f"printed, and not shown: {lines[at]}"
    return ""


def _plain(line: str) -> str:
    return " ".join(HASH.sub("<hash>", DURATION.sub("<duration>", line)).split())


def _without_seconds(lines: list[str]) -> list[str]:
    """Take the numbers of a column `seconds` away."""
    end, found = None, []
    for line in lines:
        if (place := line.find("  seconds")) >= 0 and not line.startswith(" "):
            end = place + len("  seconds")
            found.append(line)
            continue
        if end is not None and re.search(r"\d$|–$", line[:end]):
            line = re.sub(r"\S+$", "<seconds>", line[:end]) + line[end:]
        elif not line.strip():
            end = None
        found.append(line)
    return found


def _alike(shown: str, printed: str) -> bool:
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(
        math.isclose(float(a), float(b), rel_tol=_DRAWN if "." in a + b else _TOLERANCE, abs_tol=_ROUNDING)
        for a, b in ((a.replace(",", ""), b.replace(",", "")) for a, b in pairs)
    )


def rewritten(text: str, folder: Path, variables: dict[str, str]) -> str:
    """Return a page with what its commands print; `make` commands and blocks with `...` are left as they are."""

    def fill(match: re.Match[str]) -> str:
        body = match[1]
        parts = []
        for step in steps(match[0]):
            printed = run(step.command, folder, variables) if not step.command.startswith(("make", "pip")) else ""
            silent = not step.shown or "..." in step.shown or not printed
            lines = step.shown if silent else printed.rstrip().splitlines()
            source = next(line for line in body.splitlines() if line.startswith(f"$ {step.command.splitlines()[0]}"))
            more = [f"> {line}" for line in step.command.splitlines()[1:]]
            parts += [source, *more, *(line.rstrip() for line in lines)]
        return "```console\n" + "\n".join(parts) + "\n```"

    return BLOCK.sub(fill, text)


if __name__ == "__main__":
    page, where = Path(sys.argv[1]), Path(sys.argv[2])
    page.write_text(rewritten(page.read_text(encoding="utf-8"), where, environment(where / ".bin")), encoding="utf-8")
