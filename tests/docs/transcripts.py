"""Console blocks of Markdown pages: the commands that they show are run, in order, and what they print is compared.

    PYTHONPATH=tests python tests/docs/transcripts.py PAGE FOLDER     write what the commands print into the page

FOLDER holds a finished `mixlaw-demo`.

In a block ```` ```console ````, a line `$ command` is run by bash, and the lines up to the next command are what it
prints on stdout; a line `...` stands for any lines. A command without shown lines is run, and must end with status
0. `mixlaw` runs in this process, with what stands behind a pipe in bash: to load it anew for each command took longer
than all else; and beside a finished demo, reports are written without their figures, of which nothing is printed.
Commands of `make`, and a pipe into Python, have processes of their own.
"""

import contextlib
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from unittest import mock

from demo_study import place_runs
from light_reports import without_figures
from mixlaw.cli import main
from mixlaw.cli.output import LABEL

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWN = re.compile(r"mixlaw (?P<words>[^|<>&;\n]*)(?:\| *(?P<rest>.*))?")
NUMBER = re.compile(r"(?<![\w.])(?!\d+th\b)[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
INTERVAL = re.compile(r"\([-+\d.,]+ to [-+\d.,]+\)")
DURATION = re.compile(r"\b\d+ (?:s|min|h)\b(?: \d+ (?:s|min)\b)?")
FORETOLD = re.compile(r", about \d+ (?:s|min|h)\b(?: \d+ (?:s|min)\b)?")
"""Left out where a probe on a busy machine came to no end."""
HASH = re.compile(r"(?<=\d[kMB]-)[0-9a-f]{8}\b")
"""Of a mixture's weights to the last bit: another processor, another hash."""


@dataclass(frozen=True)
class Close:
    """How far two numbers may lie apart: a share of the larger one, or `by` in the unit shown, whichever is more."""

    share: float = 0.0
    by: float = 0.0

    def holds(self, shown: str, printed: str) -> bool:
        """Return whether the numbers count as the same; where they may differ, decimals by a rounding more."""
        exact = [Decimal(text.replace(",", "")) for text in (shown, printed)]
        a, b = map(float, exact)
        places = -min(int(x.as_tuple().exponent) for x in exact)
        rounding = 10.0**-places if places > 0 and (self.share or self.by) else 0.0
        return abs(a - b) <= max(self.share * max(abs(a), abs(b)), self.by) + rounding + 1e-12


RULES = tuple(
    (re.compile(place), close)
    for place, close in (
        (r"^Laws on .* \| seconds$", Close(share=math.inf)),
        (r"^Laws on .* \| bias, nats$", Close(share=0.02, by=0.001)),
        (r"^(Laws on |\w+, joint fit of ).* \| ", Close(share=0.02)),
        (r"^Best mixture .* \| weight$", Close(by=3)),
        (r"^Best mixture .* \| (tokens|epochs)$", Close(share=0.15)),
        (r"^Best mixture .* \| (nats per further \S+|% of the objective)$", Close(share=0.25)),
        (r"^Best mixture .* \| 90 % interval$", Close(share=0.5)),
        (r'^Predicted loss.* \| (low|high)$|"\w*(low|high)": ', Close(share=0.25)),
        (r'^Predicted loss.* \| |"mean": ', Close(share=0.08)),
        (r"^Validation loss at .* \| (total|minus solution) ", Close(share=0.05, by=0.3)),
        (r"^Validation loss at .* \| ", Close(share=0.05)),
        (r"^Trust \| expected regret", Close(share=0.6, by=0.002)),
        (r"^Trust \| probability", Close(by=15)),
        (r"^Trust \| (largest KKT residual|duality gap)", Close(by=1e-9)),
        (r"^Expected regret at the budget.* \| nats$", Close(share=0.6)),
        (r"^weights ", Close(by=3)),
        (r"^next +mixlaw mix .*--weights ", Close(by=0.03)),
        (r"^next +mixlaw predict .*--tokens ", Close(share=0.15)),
        (r"^sure ", Close(by=15)),
        (r"^(losses |\w+ [\d.]+ \().* \| interval$", Close(share=0.25)),
        (r"^losses |^\w+ [\d.]+ \(", Close(share=0.04)),
        (r"^(law|error|best|then|poor) ", Close(share=0.02, by=0.02)),
        (r"^shares ", Close(by=3)),
        (r"^tokens ", Close(share=0.15)),
        (r"^[\d,]+ tokens \| .* \| (requested|achieved)$", Close(by=3)),
        (r"^[\d,]+ tokens \| .* \| (tokens|epochs|rows)$", Close(share=0.15, by=0.01)),
        (r"^[\d,]+ tokens$", Close(share=0.02)),
    )
)
"""Which numbers may differ, and how far: the first rule whose pattern is found at a number's place. All else is exact.

The place of a number in a table is `title | first cell of its row | heading of its column`, elsewhere its line, with
`| interval` for the ends of `(LOW to HIGH)`. What does not rest on draws (names, counts, the tokens and losses of the
runs) has no rule. A point fit is a minimum, found within 2 %; a bias is what is left of errors of either sign.
Posterior draws are a chain in which a difference in the last bit grows until the draws are others, and processors
round differently: what is read from them (weights, regrets, intervals, probabilities) scatters as it does between
seeds of the draws, and that scatter is what these rules allow. Time and certificates of zero say nothing.
"""


ANSWER = re.compile(
    r"(weights|gains|loses|sure|cost|next|wrote|law|error|best|then|poor|losses|runs|each|data|tokens|rows|shares|files"
    r"|read|measured) +(?=\S)"
)
"""The label of a line of an answer, which ends at a fixed column: a table's heading with such a name does not."""

BY_DRAWS = ("gains", "loses")
"""Lines of an answer of which targets may change places where the draws do."""


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
    if command == "mixlaw run my-mix/mix.yaml":  # trained once: minutes, and other losses elsewhere
        place_runs(folder / "my-mix" / "study")
        confirmed = Path("study", "confirmation", "runs")  # the same runs, where `make demo` has trained them
        if (folder / "mixlaw-demo" / confirmed).is_dir():
            shutil.copytree(folder / "mixlaw-demo" / confirmed, folder / "my-mix" / confirmed, dirs_exist_ok=True)
    if own:
        printed = _run_here(shlex.split(own["words"]), folder, variables)
        if not own["rest"]:
            return printed
    bash = ["bash", "-c", own["rest"] if own else command]
    done = subprocess.run(bash, input=printed, capture_output=True, text=True, timeout=500, cwd=folder, env=variables)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_as_shown(commands: list[Step], folder: Path, variables: dict[str, str]) -> None:
    """Run commands in order; raise AssertionError where one fails or prints something else than is shown."""
    for step in commands:
        with without_figures():
            printed = run(step.command, folder, variables)
        found = difference(step.shown, printed) if step.shown else ""
        assert not found, f"$ {step.command}\n{found}\n\n{printed}"


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

    Durations and hashes of weights are any, numbers may differ as `RULES` says, all else is exact.
    """
    lines = [line for line in printed.splitlines() if line.strip()]
    wanted = [(line, places) for line, places in zip(shown, _places(shown), strict=True) if line.strip()]
    at, after_any = 0, False
    for line, places in wanted:
        if line == "...":
            after_any = True
            continue
        while after_any and at < len(lines) and not _alike(line, lines[at], places):
            at += 1
        after_any = False
        if at >= len(lines):
            return f"shown, and not printed: {line}"
        if not _alike(line, lines[at], places):
            return f"shown:   {line}\nprinted: {lines[at]}"
        at += 1
    if at < len(lines) and not after_any:
        return f"printed, and not shown: {lines[at]}"
    return ""


def _places(lines: list[str]) -> list[list[str]]:
    """Return the place of each number of each line: a line of one cell is a title, the next one has the headings."""
    title, headings, found = "", None, []
    for line in lines:
        cells = _cells(line)
        if len(cells) < 2 or label(line):
            title, headings = line.strip(), None
            # What an answer lists is compared in another order (`_in_order`), its intervals like all else of the line.
            ends = [] if label(line) else [m.span() for m in INTERVAL.finditer(_plain(line))]
            inside = [any(a < m.start() < b for a, b in ends) for m in NUMBER.finditer(_plain(line))]
            found.append([f"{title} | interval" if end else title for end in inside])
            continue
        if headings is None:
            headings = cells
            found.append([""] * len(NUMBER.findall(_plain(line))))
            continue
        columns = headings + [""] * (len(cells) - len(headings))
        row = [(f"{title} | {cells[0]} | {column}", cell) for column, cell in zip(columns, cells, strict=False)]
        found.append([place for place, cell in row for _ in NUMBER.findall(_plain(cell))])
    return found


def label(line: str) -> str:
    """Return the label of a line of an answer; else nothing."""
    found = ANSWER.match(line)
    return found[1] if found and found.end() == LABEL else ""


def _in_order(line: str) -> str:
    """Return a line of an answer with what it lists in the order of the names: the order of the numbers may change."""
    if not label(line):
        return line
    line = line.replace("over 99 %", "99 %").replace("below 1 %", "1 %")
    listed = re.sub(r" of (\S+ tokens)", r", \1", line[LABEL:]).split(", ")
    return f"{line[:LABEL]}{', '.join(sorted(listed, key=lambda item: NUMBER.sub('#', item)))}"


def _cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def _plain(line: str) -> str:
    return " ".join(HASH.sub("<hash>", DURATION.sub("<duration>", FORETOLD.sub("", line))).split())


def _alike(shown: str, printed: str, places: list[str]) -> bool:
    if label(shown) in BY_DRAWS and label(shown) == label(printed):
        return True
    shown, printed = _plain(_in_order(shown)), _plain(_in_order(printed))
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    numbers = [NUMBER.findall(line) for line in (shown, printed)]
    return all(_closeness(place).holds(a, b) for place, a, b in zip(places, *numbers, strict=True))


def _closeness(place: str) -> Close:
    return next((close for pattern, close in RULES if pattern.search(place)), Close())


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
