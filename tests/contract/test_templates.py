"""Real chat templates: no supervised token is wrong, and what a template cannot carry is refused by name."""

from pathlib import Path

import pytest

from contract.template_table import ASK, CALL, CASES, LAST, RESULT, SAY, TOOLS, cell, names, table, tokenizer_with
from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation


@pytest.mark.parametrize("path", names(), ids=lambda path: Path(path).stem)
def test_supervised_tokens_are_those_of_the_oracle(path):
    cells = {case: cell(path, case) for case in CASES}
    assert not {case: found for case, found in cells.items() if found.startswith("wrong")}
    assert cells["one turn"] == "ok"


def test_the_documents_table_is_what_is_found():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- templates")[2].partition("-->\n")[2].partition("\n<!-- end")[0]
    assert shown == table()


@pytest.mark.parametrize(
    ("stem", "opens"),
    [("mistral", "[TOOL_CALLS]"), ("gemma4", "<|tool_call>"), ("qwen2_5", "<tool_call>"), ("glm4moe", "\n<think>")],
)
def test_every_call_of_a_loop_is_learnt_from_what_opens_it(stem, opens):
    path = next(path for path in names() if Path(path).stem == stem)
    call = {"role": "assistant", "content": None, "tool_calls": CALL}
    turns = [ASK, call, RESULT, call, RESULT, LAST]
    text, spans = ChatTokenizer(tokenizer_with(path), stem).render(Conversation.of(turns, TOOLS), "row")
    first, second, last = [text[a:b] for a, b in spans]
    assert first == second and first.startswith(opens) and last.lstrip().startswith(("lastanswer", "<think>"))


def test_tools_and_turns_that_a_template_does_not_write_are_refused_whatever_the_words_are():
    by_stem = {Path(path).stem: path for path in names()}
    chat = ChatTokenizer(tokenizer_with(by_stem["smollm"]), "smollm")
    about = {"role": "user", "content": "the weather in firstquestion"}  # the tool's name, said by the user
    with pytest.raises(DataError, match="does not write the tools of the row"):
        chat.render(Conversation.of([about, SAY], TOOLS), "row")
    chat = ChatTokenizer(tokenizer_with(by_stem["qwen2_5"]), "qwen2_5")
    twice = [{"role": "developer", "content": "Paris"}, {"role": "user", "content": "About Paris?"}, SAY]
    with pytest.raises(DataError, match="does not write turn 1, of role 'developer'"):
        chat.render(Conversation.of(twice), "row")


def test_characters_that_could_be_marks_change_no_mask():
    by_stem = {Path(path).stem: path for path in names()}
    chat = ChatTokenizer(tokenizer_with(by_stem["qwen3"]), "qwen3")
    for more in ("\U000f0001", "\U000f0001\U00100001"):
        talk = Conversation.of([{"role": "user", "content": f"q {more}"}, {"role": "assistant", "content": "i"}])
        text, spans = chat.render(talk, "row")
        assert [text[a:b].rpartition("\n")[2] for a, b in spans] == ["i<|im_end|>"]
