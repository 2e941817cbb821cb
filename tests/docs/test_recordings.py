"""What commands print beside a finished demo, which takes long to make and is therefore made once for all of them.

What each verb shows on a terminal is what the recordings say, fits into it, and cuts no word; the recordings are made
by `make recordings`. Every console block of the documentation runs, in order, and prints what the page shows.
"""

import re
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len

from docs.recordings import COMMANDS, KEPT, WIDTHS, in_a_copy
from docs.transcripts import DURATION, HASH, NUMBER, environment, label, run_as_shown, steps
from mixlaw.cli import app
from mixlaw.cli.answers import LINES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path: steps(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.md"))}
START = DOCS / "index.md"
"""Compares what `make demo` compares: its commands run where that has been trained, in test_readme.py."""
PAGES_OF_A_DEMO = [page for page, found in PAGES.items() if found and page != START]

VERBS = {command.name for command in app.registered_commands}
BY_DRAWS = {"unsure", "none", "nats", "more", "and", "gains", "loses", "likely", "over", "below", "vs", "perplexity"}
"""Words that are there or not by how the random draws of a machine fall."""


@pytest.fixture(scope="module")
def shown(demo):
    return in_a_copy(demo)


def commands(text):
    """Return what was shown, command by command."""
    return re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]


def words(text):
    """Return the words of a text, whatever its lines, its numbers and the order of its domains."""
    text = HASH.sub("", DURATION.sub("", text))
    return {word.strip("(),:;") for word in NUMBER.sub("", text).split() if any(c.isalpha() for c in word)} - BY_DRAWS


def test_every_verb_is_recorded():
    assert set(COMMANDS) == VERBS
    assert {path.name for path in KEPT.iterdir()} == {f"{verb}-{width}.txt" for verb in VERBS for width in WIDTHS}


def test_the_recordings_are_what_is_shown(shown):
    for name, text in shown.items():
        kept = commands((KEPT / name).read_text(encoding="utf-8"))
        assert [words(part) for part in commands(text)] == [words(part) for part in kept], f"{name}: make recordings"


def test_no_line_is_wider_than_the_terminal(shown):
    for name, text in shown.items():
        width = int(name.removesuffix(".txt").rpartition("-")[2])
        for line in text.splitlines():
            # A command is as long as it was typed; a path that is longer than a line stays whole.
            whole = line.startswith("$ ") or len(line.removesuffix(" \\").split()) == 1
            assert whole or cell_len(line) <= width, f"{name}: {line}"


def test_a_narrow_terminal_shows_the_words_of_a_wide_one(shown):
    for verb in VERBS:
        wide, narrow = (shown[f"{verb}-{width}.txt"] for width in WIDTHS)
        split = ("--weights", "--tokens", "=")  # a list of a command is split between its parts
        cut = {word for word in words(narrow) - words(wide) if not word.startswith(split) and not word.endswith(split)}
        assert not cut, f"{verb}: {cut}"


def test_an_answer_has_five_lines(shown):
    for verb in VERBS:
        for part in commands(shown[f"{verb}-80.txt"]):
            if "--verbose" in part.splitlines()[0]:
                continue
            labels = [name for line in part.splitlines() if (name := label(line))]
            assert len(labels) <= LINES, part
            assert {"next", "cost", "wrote"} & {labels[-1]}, part


def test_a_command_over_several_lines_is_one_command(shown):
    text = shown["solve-60.txt"].partition("next ")[2].partition("\nwarning")[0]
    assert text.count("\\\n") >= 1 and "\n" not in text.replace("\\\n", "").strip()


@pytest.mark.timeout(1500)  # minutes on a busy machine
@pytest.mark.parametrize("page", PAGES_OF_A_DEMO, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_commands_print_what_is_shown(page, demo, tmp_path):
    shutil.copytree(demo / "mixlaw-demo", tmp_path / "mixlaw-demo")
    run_as_shown(PAGES[page], tmp_path, environment(tmp_path / ".bin"))


def test_the_tutorials_have_commands():
    with_commands = {page.name for page, found in PAGES.items() if found}
    assert {"index.md", "which-law.md", "how-many-runs.md", "fit-looks-wrong.md", "own-trainer.md"} <= with_commands


def test_every_yaml_that_is_a_whole_configuration_is_valid(tmp_path):
    from mixlaw.config import load_config

    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            if "study:" in block:
                path = tmp_path / "mix.yaml"
                path.write_text(block, encoding="utf-8")
                assert load_config(path).domains, page
