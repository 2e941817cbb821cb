"""Options of the form `name=value,...`: read, and written so that they are read as they were."""

from __future__ import annotations

import shlex

import pytest

from mixlaw.core.commands import parts, written


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chat=0.5, math=0.5", [("chat", "0.5"), ("math", "0.5")]),
        ("'a, b'=0.5,\"it's\"=0.2", [("a, b", "0.5"), ("it's", "0.2")]),
        ("x=y=1M,c+d <= 0.5=2M", [("x=y", "1M"), ("c+d <= 0.5", "2M")]),
        ("'a,b=0.5", [("", "'a"), ("b", "0.5")]),
        ("chat", [("", "chat")]),
        ("=3", [("", "3")]),
        ("", [("", "")]),
        ("a=1,", [("a", "1"), ("", "")]),
    ],
)
def test_parts_are_between_the_commas_that_no_quotes_hold(text: str, found: list[tuple[str, str]]) -> None:
    assert [(name, value) for name, value, _ in parts(text)] == found


def test_what_is_written_is_read_again_from_a_shell() -> None:
    given = {
        "chat": "1",
        "a,b": "2",
        "it's": "3",
        'say "x"': "4",
        "ünï 🎉": "5",
        "x=y": "6",
        " edge": "7",
        "$(ls)": "8",
    }
    (word,) = shlex.split(written(given))
    assert {name: value for name, value, _ in parts(word)} == given
    assert written({"chat": 0.25, "math": 0.75}) == "chat=0.25,math=0.75"
