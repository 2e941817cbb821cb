"""What changes what is learnt is carried to the conversation, or refused by name."""

import json

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.formats import converter, detect_format, reader_of

ASK, SAY = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def read(values, **domain):
    domain = Domain("d", "f", **domain)
    reader = reader_of(domain)
    form = detect_format(values, domain.columns)
    return converter(form, domain, reader)(values, "f, line 1"), reader.unused


def turns(values, **domain):
    return read(values, **domain)[0].messages


def answer(**more):
    return turns({"messages": [ASK, {"role": "assistant", **more}]})[1]


def fails(values, **domain):
    with pytest.raises(DataError) as caught:
        read(values, **domain)
    assert caught.value.message.startswith("f, line 1") and caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        {"tool_calls": [CALL]},
        {"tool_calls": json.dumps([CALL])},
        {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
        {"tool_calls": [{"name": "f", "arguments": {"x": 1}}]},
        {"tool_calls": {"type": ["function"], "function": [{"name": "f", "arguments": {"x": 1}}]}},
        {"function_call": {"name": "f", "arguments": '{"x": 1}'}},
    ],
)
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": "see"}])
def test_calls_are_carried_however_they_are_written(more, content):
    expected = {"role": "assistant", "content": content.get("content"), "tool_calls": [CALL]}
    assert answer(**content, **more) == expected


@pytest.mark.parametrize("role", ["function_call", "tool_call"])
def test_sharegpts_calls_and_observations_are_calls_and_results(role):
    row = {
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": role, "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "a"},
        ],
        "tools": '[{"name": "f"}]',
        "system": "S",
    }
    conversation, unused = read(row)
    assert [m["role"] for m in conversation.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert conversation.messages[2]["tool_calls"] == [CALL] and conversation.tools == [{"name": "f"}]
    assert not unused


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_carried_under_any_of_its_names(key):
    assert answer(content="a", **{key: "since"}) == SAY | {"reasoning_content": "since"}
    assert answer(content=[{"type": "thinking", "thinking": "since"}, {"type": "text", "text": "a"}]) == SAY | {
        "reasoning_content": "since"
    }
    assert "differ" in fails({"messages": [ASK, SAY | {"reasoning": "x", "thinking": "y"}]})


@pytest.mark.parametrize("key", ["weight", "train", "loss"])
def test_flags_say_whether_a_turn_carries_loss(key):
    assert answer(content="a", **{key: 0}) == answer(content="a", **{key: False}) == SAY | {"weight": 0}
    assert answer(content="a", **{key: 1}) == answer(content="a", **{key: True}) == SAY
    assert f"{key} is 0.5" in fails({"messages": [ASK, SAY | {key: 0.5}]})
    assert turns({"messages": [ASK | {key: 0}, SAY]}) == [ASK, SAY]


def test_a_users_turn_that_is_to_be_learnt_is_refused():
    assert "role 'user' is marked to be learnt" in fails({"messages": [ASK | {"train": True}, SAY]})


def test_only_the_completion_is_learnt():
    prompt = [ASK, SAY, ASK]
    expected = [ASK, SAY | {"weight": 0}, ASK, SAY]
    for row in (
        {"prompt": prompt, "completion": [SAY]},
        {"prompt": prompt, "completion": "a"},
        {"prompt": json.dumps(prompt), "completion": json.dumps([SAY])},
    ):
        assert turns(row) == expected


def test_alpacas_history_comes_before_its_last_round():
    row = {"instruction": "q2", "output": "a2", "history": [["q", "a"]], "system": "S"}
    assert [m["content"] for m in turns(row)] == ["S", "q", "a", "q2", "a2"]
    assert turns(row | {"history": json.dumps([["q", "a"]])}) == turns(row)
    assert "not a list of pairs" in fails(row | {"history": ["q"]})


@pytest.mark.parametrize(
    "column",
    [
        json.dumps([ASK, SAY]),
        {"role": ["user", "assistant"], "content": ["q", "a"]},
        [{"role": "user", "value": "q"}, {"from": "assistant", "content": "a"}],
        [ASK | {"tool_calls": None, "name": None}, SAY | {"tool_calls": None, "weight": None}],
    ],
    ids=["json", "dict of lists", "mixed keys", "nulls"],
)
def test_turns_are_read_in_every_shape(column):
    assert turns({"messages": column}) == [ASK, SAY]
    assert turns({"chat": column}, columns={"messages": "chat"}) == [ASK, SAY]
    assert turns({"data": {"chat": column}}, columns={"messages": "data.chat"}) == [ASK, SAY]


def test_keys_of_turns_can_be_renamed():
    row = {"messages": [{"who": "user", "says": "q"}, {"who": "assistant", "says": "a"}]}
    assert turns(row, columns={"role": "who", "content": "says"}) == [ASK, SAY]
    assert "its keys are 'role', 'says'" in fails(row, columns={"role": "who"})


def test_roles_are_kept_or_mapped_by_the_user():
    row = {"messages": [{"role": "developer", "content": "d"}, ASK, SAY]}
    assert turns(row)[0]["role"] == "developer"
    row = {"messages": [ASK, {"role": "Narrator", "content": "n"}, SAY]}
    assert "roles:" in fails(row)
    assert turns(row, roles={"narrator": "tool"})[1] == {"role": "tool", "content": "n"}


def test_what_is_not_carried_is_counted_by_its_name():
    row = {"messages": [ASK | {"id": 1}, SAY, {"role": "user", "content": "bye"}], "source": "web", "empty": None}
    _, unused = read(row)
    assert unused == {"messages[].id": 1, "source": 1, "turns after the last answer": 1}


@pytest.mark.parametrize("key", ["documents", "images", "videos", "audios"])
def test_columns_that_change_the_prompt_are_refused_unless_the_user_leaves_them_out(key):
    row = {"messages": [ASK, SAY], key: ["x"]}
    assert f"ignore: [{key}]" in fails(row)
    assert turns(row, ignore=(key,)) == [ASK, SAY] == turns(row | {key: []})


@pytest.mark.parametrize("label", [False, "False", "false"])
def test_a_completion_that_is_marked_as_bad_is_refused_unless_the_user_wants_it(label):
    row = {"prompt": "q", "completion": "a", "label": label}
    assert "not to be learnt" in fails(row)
    for taken, ignored in ((row, ("label",)), (row | {"label": True}, ()), (row | {"label": "sport"}, ())):
        assert turns(taken, ignore=ignored) == [ASK, SAY]
    named = {"prompt": "q", "label": "False", "class": "x"}
    assert turns(named, columns={"completion": "label"})[1]["content"] == "False"
    assert turns({"messages": [ASK, SAY], "label": label}) == [ASK, SAY]


def test_what_a_template_reads_of_a_turn_is_refused_where_it_is_not_carried():
    domain = Domain("d", "f")
    row = {"messages": [ASK, SAY | {"channel": "final"}]}
    assert turns(row) == [ASK, SAY]
    with pytest.raises(DataError, match="channel"):
        converter("messages", domain, reader_of(domain, frozenset({"channel"})))(row, "f, line 1")


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        ({"messages": [ASK, {"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "without the name of a function"),
        ({"messages": [ASK, {"role": "assistant", "tool_calls": "["}]}, "tool_calls is text that is not valid JSON"),
        ({"messages": [ASK | {"tool_calls": [CALL]}, SAY]}, "role 'user' calls tools"),
        ({"messages": [ASK | {"reasoning": "x"}, SAY]}, "role 'user' has reasoning"),
        ({"messages": {"role": ["user"], "content": ["q", "a"]}}, "lists of different lengths"),
        ({"messages": [ASK, SAY | {"name": "a\ud83d"}]}, "half a surrogate pair"),
        ({"messages": [ASK, SAY], "tools": '[{"name": "\\ud83d"}]'}, "half a surrogate pair"),
        ({"messages": [ASK, SAY], "tools": "nonsense"}, "tools is text that is not valid JSON"),
        ({"messages": [ASK, SAY], "tools": 5}, "tools is not a list of objects"),
        ({"conversations": [{"from": "function_call", "value": "sum(1)"}]}, "the call is text that is not valid JSON"),
    ],
)
def test_what_cannot_be_carried_is_one_error(values, fact):
    assert fact in fails(values)


def test_what_is_said_twice_is_taken_once_or_refused():
    call = {"tool_calls": [CALL], "function_call": CALL["function"]}
    assert answer(**call)["tool_calls"] == [CALL]
    assert answer(content="a", reasoning="x", reasoning_content="x\n")["reasoning_content"].strip() == "x"
    assert "content and text differ" in fails({"messages": [ASK, SAY | {"text": "b"}]})
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "tools and functions differ" in fails({"messages": [ASK, SAY], "tools": tools, "functions": [{"name": "g"}]})
    _, unused = read({"messages": [ASK, SAY], "conversations": [ASK, SAY]})
    assert unused == {"conversations": 1}


@pytest.mark.parametrize("reasoning", [{"a": 1}, True, [{"type": "image"}]])
def test_reasoning_that_is_no_text_is_refused(reasoning):
    assert fails({"messages": [ASK, SAY | {"reasoning": reasoning}]})


@pytest.mark.parametrize("arguments", [["v"], 7, True])
def test_arguments_are_an_object_or_text(arguments):
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    assert "arguments of a call are" in fails({"messages": [ASK, {"role": "assistant", "tool_calls": [call]}]})


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1, "a": 2}', "[1, 2]"])
def test_arguments_in_text_that_are_no_plain_object_stay_as_they_are(text):
    call = {"type": "function", "function": {"name": "f", "arguments": text}}
    assert answer(tool_calls=[call])["tool_calls"][0]["function"]["arguments"] == text


def test_a_completion_that_is_json_is_an_answer_unless_the_prompt_is_turns_too():
    text = json.dumps([{"role": "user", "content": "hi"}])
    assert turns({"prompt": "q", "completion": text})[1]["content"] == text
    assert turns({"prompt": "q", "completion": '[{"from": "Oslo", "to": "Paris"}]'})[1]["role"] == "assistant"


def test_a_call_without_one_and_arguments_of_the_tokenizer_are_refused():
    assert "without a call" in fails(
        {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "[]"}]}
    )
    assert "not the name of a template variable" in fails(
        {"messages": [ASK, SAY], "chat_template_kwargs": {"continue_final_message": True}}
    )
    assert "not a list of objects" in fails({"messages": [ASK, SAY], "functions": 5})


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_a_content_that_is_null_is_said_to_be_so(role):
    turn = {"role": role, "content": None}
    with pytest.raises(DataError, match=f"turn 2: the content of a turn of role '{role}' is null") as refused:
        turns({"messages": [ASK, turn, SAY]})
    assert "columns" not in refused.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"messages": [ASK, SAY], "chat_template_kwargs": "thinking"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "sum(1)"}]},
    ],
)
def test_what_must_be_an_object_is_not_asked_for_as_a_list(values):
    with pytest.raises(DataError) as refused:
        turns(values)
    assert refused.value.hint == "Write it as an object, or as the JSON of one."


def test_several_answers_in_one_row_are_not_joined():
    for values in ({"prompt": "q", "completion": ["a", "b"]}, {"prompt": ["q", "r"], "completion": ["a", "b"]}):
        assert "is a list of 2 texts" in fails(values)
    assert turns({"prompt": ["q"], "completion": [{"type": "text", "text": "a"}]}) == [ASK, SAY]
