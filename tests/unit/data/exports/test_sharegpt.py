"""LLaMA-Factory's rows: its own converter, where it is installed, and its rules, written down here, make the same."""

import json
from types import SimpleNamespace

import pytest

from mixlaw.core.domain import Domain
from mixlaw.data.conversations import Conversation
from mixlaw.data.exports.sharegpt import CALL, JOINED, TAGS, THINK, sharegpt_row
from mixlaw.data.formats import converter
from unit.conftest import call, rich_rows, turn

ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant", "system": "system"}
read = converter("messages", Domain("d", "d"))


def said(row):
    """Return what its converter and its formatter of calls take from a row: (role, text, thought, calls)."""
    found = []
    for t in row["conversations"]:
        value, thought, calls = t["value"], None, None
        if t["from"] in ("gpt", "function_call") and value.startswith(THINK[0]):
            thought, value = value.removeprefix(THINK[0]).split(THINK[1], 1)
        if t["from"] == "function_call":
            before, mark, after = value.partition(CALL[0])
            value, text = (before, after.removesuffix(CALL[1])) if mark else ("", value)
            calls = json.loads(text)
            calls = [(c["name"], c["arguments"]) for c in (calls if isinstance(calls, list) else [calls])]
        found.append((ROLES[t["from"]], value, thought, calls))
    return found


def meant(conversation):
    """Return the same of the conversation itself, results of calls that were made together in one."""
    found = []
    for m in conversation.messages:
        calls = [(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls", ())] or None
        if m["role"] == "tool" and found[-1][0] == "tool":
            found[-1] = ("tool", found[-1][1] + JOINED + m["content"], None, None)
            continue
        found.append((m["role"], m["content"] or "", m.get("reasoning_content"), calls))
    return found


TALKATIVE = {
    "messages": [
        turn("user", "q"),
        turn("assistant", "I look.", reasoning_content="hm", tool_calls=[call("weather", city="Rome")]),
        turn("tool", "sun"),
        turn("assistant", "Sun."),
    ]
}
CONVERSATIONS = [read(row, "p") for row in [*rich_rows(20), TALKATIVE]]


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_turns_thoughts_and_calls_come_through(conversation):
    row = sharegpt_row(conversation, tools=True)
    assert said(row) == meant(conversation)
    assert (json.loads(row["tools"]) if row["tools"] else None) == conversation.tools


def test_its_own_converter_takes_every_row_that_is_written():
    own = pytest.importorskip("llamafactory.data.converter", exc_type=ImportError)
    attr = SimpleNamespace(**TAGS, messages="conversations", system=None, tools="tools", ranking=False, kto_tag=None)
    attr.images = attr.videos = attr.audios = None
    convert = own.SharegptDatasetConverter(attr, None)
    for conversation in CONVERSATIONS:
        row = sharegpt_row(conversation, tools=True)
        made = convert(row)
        turns = [t for t in row["conversations"] if t["from"] != "system"]
        assert [m["content"] for m in made["_prompt"] + made["_response"]] == [t["value"] for t in turns]
        assert made["_tools"] == row["tools"] and len(made["_response"]) == 1


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([turn("user", "a"), turn("user", "b"), turn("assistant", "c")], "human after human"),
        ([turn("assistant", "a"), turn("user", "b"), turn("assistant", "c")], "gpt after the start"),
        ([turn("user", "a"), turn("assistant", "b"), turn("assistant", "c")], "gpt after gpt"),
        ([turn("user", "a"), turn("system", "b"), turn("assistant", "c")], "a system turn that is not the first"),
        ([turn("system", "a"), turn("user", "b")], "the last turn is not an answer"),
        (
            [turn("user", "a"), turn("assistant", "", tool_calls=[call("f", x="<tool_call>")])],
            "a call in a turn whose text contains <tool_call>",
        ),
        (
            [
                turn("user", "a"),
                turn("assistant", "", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": "x="}}]),
            ],
            "not a JSON object",
        ),
    ],
)
def test_what_it_would_skip_or_change_has_a_reason(messages, reason):
    with pytest.raises(ValueError, match=reason):
        sharegpt_row(Conversation.of(messages), tools=False)
