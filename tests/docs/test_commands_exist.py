"""Every `mixlaw ...` command and every option that a page or a message names exists, with the values that it names."""

import ast
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import typer

from mixlaw.api.export_prompts import PROMPT_TOOLS
from mixlaw.api.export_workers import CLOUDS
from mixlaw.cli import app, completion
from mixlaw.config import FitNode, SolveNode
from mixlaw.config.executor import ExecutorNode
from mixlaw.data.exports import TOOLS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "src" / "mixlaw")
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    # decisions, lab log and changelog may name what is no more; the others are written from the code.
    if path.name not in ("decisions.md", "lab.md", "CHANGELOG.md", "api.md", "cli.md")
)
SOURCES = sorted((ROOT / "src" / "mixlaw").rglob("*.py"))
VERBS = typer.main.get_command(app).commands
OPTIONS = {name for verb in VERBS.values() for parameter in verb.params for name in parameter.opts} | {
    name for parameter in typer.main.get_command(app).params for name in parameter.opts
}
VALUES = {
    "--law": {*completion.law("")},
    "--laws": set(completion.laws("")),
    "--procedure": set(get_args(FitNode.model_fields["procedure"].annotation)),
    "--to": {*TOOLS, *CLOUDS, *PROMPT_TOOLS},
    "--executor": set(get_args(ExecutorNode.model_fields["kind"].annotation)),
    "--objective": set(get_args(SolveNode.model_fields["objective"].annotation)),
}
FOREIGN = {"--working-dir", "--resources", "--dataset_mixer_list", "--driven", "--upgrade", "--part"} | {
    *("--gres", "--requeue", "--test-only", "--num_processes"),
}
"""Options of other programs, and a property of CSS."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?:^|[\s$`])mixlaw ([a-z]+)\b([^|;>&#`\n]*)")
COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*)(?:[ =]([a-z_]+)\b(?![<:]))?")


def wrong_command(verb: str, rest: str) -> str:
    """Return what is wrong with `mixlaw VERB REST`; a command that is named in passing need not be complete."""
    if verb not in VERBS:
        return f"there is no verb '{verb}'"
    rest = rest.split(", ")[0]  # what follows is the sentence around the command
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.replace("'", " ").replace('"', " ").split()
    words = [word.rstrip(").,:") if not word.endswith("...") else word for word in words]
    if {"--help", "-h"} & set(words):
        return ""
    try:
        VERBS[verb].make_context(verb, [word for word in words if word])
    except Exception as error:  # Typer's own classes move between its versions
        if type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
            return getattr(error, "message", str(error)) or type(error).__name__
    return wrong_options(rest)


def wrong_options(text: str) -> str:
    """Return what is wrong with the options in a text, whichever verb takes them."""
    for option, value in OPTION.findall(text):
        if option not in OPTIONS | FOREIGN:
            return f"no verb has the option {option}"
        if option in VALUES and value and value not in VALUES[option]:
            return f"{option} does not take '{value}'"
    return ""


def wrong_in(text: str) -> list[str]:
    """Return the commands in a text that do not exist, and why."""
    return [f"mixlaw {v}{r}: {why}" for v, r in COMMAND.findall(text) if (why := wrong_command(v, r))]


def wrong_in_page(text: str) -> list[str]:
    """Return what is wrong in the code blocks and the code between backticks of a page."""
    blocks = [COMMENT.sub("", block) for language, block in FENCE.findall(text) if language != "python"]
    found = [problem for block in blocks for problem in wrong_in(block)]
    for span in SPAN.findall(FENCE.sub("", text)):
        code = " ".join(span.split())
        found += wrong_in(code)
        if code.startswith("--") and (why := wrong_options(code)):
            found.append(f"{code}: {why}")
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("`mixlaw fit runs.csv --method joint`", "method"),
        ("`--method joint`", "no verb has the option --method"),
        ("`mixlaw solve fit.json --budget 20M --laws pairwise`", "--laws"),
        ("`mixlaw\nmarry mix.yaml`", "there is no verb 'marry'"),
        ("```text\nX=1 mixlaw mix mix.yaml --shards none\n```\n", "none"),
        ("`mixlaw fit runs.csv --law rigde`", "--law does not take 'rigde'"),
        ("```console\n$ mixlaw fit runs.csv --json | head\nnext  mixlaw solve fit.json --bugdet 3\n```\n", "--bugdet"),
    ],
)
def test_what_does_not_exist_is_found(text, why):
    (problem,) = wrong_in_page(text)
    assert why in problem


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_and_options_of_the_page_exist(page):
    assert wrong_in_page(page.read_text(encoding="utf-8")) == []


def test_the_pages_have_commands():
    commands = [verb for page in PAGES for verb, _ in COMMAND.findall(page.read_text(encoding="utf-8"))]
    assert len(commands) > 100 and set(VERBS) <= set(commands)


def test_the_commands_and_options_in_the_sentences_of_the_code_exist():
    problems = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                examples = "".join(re.findall(r"^ +(mixlaw .*\n)", node.value, re.MULTILINE))
                found = wrong_in_page(node.value) + wrong_in(examples)
                if path.parent.name in ("report", "solve", "core") and (why := wrong_options(node.value)):
                    found.append(why)
                problems += [f"{path.relative_to(ROOT)}:{node.lineno}: {problem}" for problem in found]
    assert problems == []
