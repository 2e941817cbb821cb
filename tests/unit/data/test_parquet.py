"""Conversations come back from Parquet and JSONL as they were, with one schema for all rows."""

import json

import pytest

from mixlaw.core.domain import Domain
from mixlaw.data.conversations import Conversation
from mixlaw.data.parquet import write_parquet
from mixlaw.data.prepare import conversations

CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": [1, None], "y": "ä"}}}]
ODD = [{"type": "function", "function": {"name": "g", "arguments": "no json"}}]
TALKS = [
    Conversation.of([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]),
    Conversation.of(
        [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "reasoning_content": "since", "tool_calls": CALLS},
            {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "f"},
            {"role": "assistant", "content": "bad", "weight": 0},
            {"role": "assistant", "content": "a", "tool_calls": ODD},
        ],
        [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}],
        {"enable_thinking": False},
    ),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("talks", [TALKS, TALKS[:1]], ids=["all", "plain"])
def test_rows_come_back_as_they_were(kind, talks, tmp_path):
    lines, path = [talk.line("d") for talk in talks], tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_bytes(b"".join(lines))
    else:
        write_parquet(path, lines, frozenset().union(*(talk.carries() for talk in talks)))
    assert [talk for _, talk, _ in conversations(Domain("d", str(path)))] == talks


def test_a_mixture_of_plain_rows_has_no_columns_for_calls(tmp_path):
    import pyarrow.parquet as parquet

    write_parquet(tmp_path / "a.parquet", [TALKS[0].line("d")], frozenset())
    assert parquet.read_schema(tmp_path / "a.parquet").names == ["messages", "domain"]
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert rows == [json.loads(TALKS[0].line("d"))]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_keys_that_arrow_gives_an_object_are_not_taken_for_the_rows_own(kind, tmp_path):
    """Arrow gives every call the arguments of all others, with nulls that a template would write."""
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    def row(arguments):
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
        return {"messages": turns, "tools": [{"name": "f", "parameters": arguments}]}

    rows = [row({"city": "Oslo"}), row({"town": "Rome"})]
    table, path = pa.Table.from_pylist(rows), tmp_path / f"a.{kind}"
    assert table.to_pylist()[0]["tools"][0]["parameters"] == {"city": "Oslo", "town": None}
    parquet.write_table(table, path) if kind == "parquet" else feather.write_feather(table, path)
    found = [talk for _, talk, _ in conversations(Domain("d", str(path)))]
    assert [talk.tools[0]["parameters"] for talk in found] == [{"city": "Oslo"}, {"town": "Rome"}]
    assert [talk.messages[1]["tool_calls"][0]["function"]["arguments"] for talk in found] == [
        {"city": "Oslo"},
        {"town": "Rome"},
    ]
