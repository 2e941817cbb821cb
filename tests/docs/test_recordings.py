"""What each verb shows on a terminal is what the recordings say, fits into it, and cuts no word.

The recordings are made by `make recordings`.
"""

import re

import pytest
from rich.cells import cell_len

from docs.recordings import COMMANDS, KEPT, WIDTHS, in_a_copy
from docs.transcripts import DURATION, HASH, NUMBER, label
from mixlaw.cli import app
from mixlaw.cli.answers import LINES

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
