"""What counts as the same output."""

import pytest

from docs.transcripts import Step, difference, steps


def test_commands_their_lines_and_their_here_documents_are_found():
    text = "```console\n$ one --a  # why\nout 1\n$ python - <<'X'\n> print(2)\n> X\n2\n```\n\n```text\n$ no\n```\n"
    assert steps(text) == [Step("one --a", ["out 1"]), Step("python - <<'X'\nprint(2)\nX", ["2"])]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["done in 3 min 2 s"], "done in 45 s\n"),
        (["gap 7.3e-16"], "gap 1.1e-16"),
        (["loss 4.134"], "loss 4.135"),
        (["a  b", "1  2"], "a   b\n1   2"),
        (["first", "..."], "first\nsecond\nthird"),
        (["...", "last"], "first\nlast"),
        (["law   seconds  note", "mean    12.34  x"], "law   seconds  note\nmean     0.12  x"),
    ],
)
def test_these_are_alike(shown, printed):
    assert difference(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["loss 4.13"], "loss 4.53"),
        (["weight 30 %"], "weight -30 %"),
        (["wrote fit.json"], "wrote fit2.json"),
        (["one", "two"], "one"),
        (["one"], "one\ntwo"),
        (["...", "last"], "first\nlast\nmore"),
    ],
)
def test_these_are_not(shown, printed):
    assert difference(shown, printed)
