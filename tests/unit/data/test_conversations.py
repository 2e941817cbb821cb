import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.conversations import Conversation, as_json
from mixlaw.data.detection import unknown_format
from mixlaw.data.formats import FORMATS, converter, detect_format
from mixlaw.data.reading import RawRow

ASKED = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]


def normalise(values, columns=None):
    columns = columns or {}
    form = detect_format(values, columns)
    if form is None:
        raise unknown_format([RawRow(values, "f, line 1", 0)], columns)
    return form, converter(form, Domain("d", "f", columns=columns))(values, "f, line 1").messages


def fails(values, columns=None):
    with pytest.raises(DataError) as caught:
        normalise(values, columns)
    assert caught.value.message.startswith("f, line 1")
    return str(caught.value)


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("messages", {"messages": ASKED}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}),
        ("prompt_completion", {"prompt": "2+2?", "completion": "4"}),
        ("prompt_completion", {"prompt": ASKED[:1], "completion": ASKED[1:]}),
        ("alpaca", {"instruction": "2+2?", "output": "4"}),
        ("alpaca", {"instruction": "2+2?", "input": "", "output": "4", "system": None}),
    ],
)
def test_every_format_gives_the_same_messages(form, values):
    assert form in FORMATS
    assert normalise(values) == (form, ASKED)


def test_messages_are_preferred_where_a_row_has_the_columns_of_several_formats():
    assert normalise({"prompt": "x", "completion": "y", "messages": ASKED}) == ("messages", ASKED)


def test_alpacas_input_follows_its_instruction_and_its_system_comes_first():
    _, messages = normalise({"instruction": "Add", "input": "2 2", "output": "4", "system": "Be brief"})
    assert [m["content"] for m in messages] == ["Be brief", "Add\n\n2 2", "4"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]


def test_sharegpts_system_column_comes_first_unless_the_conversation_has_one():
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    _, messages = normalise({"conversations": turns, "system": "S"})
    assert messages[0] == {"role": "system", "content": "S"}
    own = [{"from": "system", "value": "S"}, *turns]
    assert normalise({"conversations": own, "system": "S"})[1] == messages
    assert "differ" in fails({"conversations": own, "system": "another"})


def test_columns_rename_any_format():
    assert normalise({"chat": ASKED}, {"messages": "chat"}) == ("messages", ASKED)
    renamed = {"prompt": "question", "completion": "answer"}
    assert normalise({"question": "2+2?", "answer": "4"}, renamed) == ("prompt_completion", ASKED)


@pytest.mark.parametrize("columns", [{}, {"conversations": "dialogue"}, {"messages": "dialogue"}])
def test_messages_in_sharegpts_column_are_messages(columns):
    assert normalise({(columns and "dialogue") or "conversations": ASKED}, columns) == ("messages", ASKED)


@pytest.mark.parametrize(
    ("role", "normal"),
    [
        ("human", "user"),
        ("gpt", "assistant"),
        ("model", "assistant"),
        ("developer", "developer"),
        ("observation", "tool"),
    ],
)
def test_roles_are_normalised(role, normal):
    turns = [*({"from": r, "value": "x"} for r in ("human", role)), {"from": "gpt", "value": "y"}]
    assert normalise({"conversations": turns})[1][1]["role"] == normal


def test_lists_of_text_parts_are_joined():
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "!"}]
    _, messages = normalise({"messages": [ASKED[0], {"role": "assistant", "content": parts}]})
    assert messages[1]["content"] == "4!"


def test_turns_after_the_last_answer_are_left_out():
    assert normalise({"messages": [*ASKED, {"role": "user", "content": "thanks"}]})[1] == ASKED


def test_an_unknown_format_names_the_columns_seen_and_the_accepted_ones():
    text = fails({"left": "a", "right": "b"})
    assert "'left' (text), 'right' (text)" in text and "instruction + output" in text and "columns:" in text
    assert "none" in fails({})


def test_a_column_inside_another_and_a_key_of_turns_are_not_said_to_be_missing():
    text = fails({"data": {"x": 1}}, {"messages": "data.chat", "role": "who"})
    assert "not there" not in text
    assert "`columns` names messages: chat, which is not there" in fails({"data": 1}, {"messages": "chat"})


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        ({"messages": ASKED[:1]}, "no assistant turn"),
        ({"prompt": ASKED[:1], "completion": ASKED[:1]}, "no assistant turn"),
        ({"messages": [ASKED[0], {"role": "assistant", "content": "  "}]}, "empty"),
        ({"prompt": "x", "completion": ""}, "empty"),
        ({"instruction": "x", "output": ""}, "empty"),
        ({"messages": []}, "empty"),
        ({"messages": "hello"}, "not valid JSON"),
        ({"messages": None}, "no known format"),
        ({"messages": ["hello"]}, "turn 1: not an object"),
        ({"conversations": [5]}, "turn 1: not an object"),
        ({"conversations": "hello"}, "not valid JSON"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "turn 1: the role is 'wizard'"),
        ({"messages": [{"content": "x"}]}, "turn 1: the role is None"),
        ({"messages": [{"role": 5, "content": "x"}]}, "turn 1: the role is 5"),
        ({"messages": [{"role": "user", "content": 5}]}, "turn 1: the content is int"),
        ({"messages": [{"role": "user", "content": None}]}, "turn 1: the content of a turn of role 'user' is null"),
        ({"messages": [{"role": "user"}]}, "turn 1: no content"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}, "a part of type 'image'"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "a part of type 'text'"),
        ({"messages": [ASKED[0], {"role": "assistant", "content": "ab\ud83d"}]}, "character 3"),
        ({"prompt": None, "completion": "x"}, "no known format"),
        ({"prompt": "x", "completion": 7}, "the content is int"),
    ],
)
def test_a_bad_row_is_one_error_that_says_where_and_what(values, fact):
    assert fact in fails(values)


TEXTS = st.text(st.sampled_from('a%s"\\\n\t\x08\x0b\x1fu0é漢😀'))
TURN = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant"]), TEXTS)


@given(
    st.lists(st.lists(TURN, max_size=3), max_size=4),
    st.sampled_from(["", "plain", "\x00", "\x1f", "\x7f", "\u2028"]),
)
def test_conversations_together_are_the_json_of_each(conversations, more):
    for messages in conversations[:1]:
        messages.append({"role": "assistant", "content": more})
    expected = [json.dumps(messages, ensure_ascii=False).encode() for messages in conversations]
    assert as_json([Conversation(messages) for messages in conversations]) == expected
