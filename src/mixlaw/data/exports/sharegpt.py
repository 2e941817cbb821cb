"""LLaMA-Factory's rows: turns with the tags human, gpt, function_call and observation, tools as JSON text.

Its rules, of `SharegptDatasetConverter`, `SupervisedDatasetProcessor` and `FunctionFormatter` (0.9.5): a system turn
may stand in front; after it human or observation and gpt or function_call take turns, beginning with the former and
ending with the latter. It skips any other row with a warning. The content of a function_call is the JSON of a call, or
of a list of calls; before it may stand thoughts in <think>, and text if the JSON is inside <tool_call>. Results of
calls that were made together are one observation, joined as its converter of OpenAI's messages joins them.
"""

from __future__ import annotations

import json
from typing import Any

from mixlaw.data.conversations import Conversation

THINK = ("<think>\n", "\n</think>\n\n")
CALL = ("<tool_call>", "</tool_call>")
JOINED = "\n</tool_response>\n<tool_response>\n"
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_ASKS, _ANSWERS = ("human", "observation"), ("gpt", "function_call")


def sharegpt_row(conversation: Conversation, tools: bool) -> dict[str, Any]:
    """Return a row of LLaMA-Factory's; raise ValueError, with the reason, for one that it would skip or change.

    Args:
        conversation: the row.
        tools: whether the file has a column for them; all rows of a file have the same columns.
    """
    turns = _turns(conversation)
    body = turns[1:] if turns and turns[0]["from"] == "system" else turns
    for i, turn in enumerate(body):
        if turn["from"] not in (_ASKS, _ANSWERS)[i % 2]:
            before = body[i - 1]["from"] if i else "the start"
            raise ValueError(f"roles that do not alternate ({turn['from']} after {before})")
    if len(body) % 2:
        raise ValueError("roles that do not alternate (the last turn is not an answer)")
    row: dict[str, Any] = {"conversations": turns}
    if tools:
        row["tools"] = json.dumps(conversation.tools, ensure_ascii=False) if conversation.tools else ""
    return row


def takes(conversation: Conversation) -> bool:
    """Whether LLaMA-Factory reads a row as it is."""
    try:
        sharegpt_row(conversation, tools=True)
    except ValueError:
        return False
    return True


def _turns(conversation: Conversation) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    for i, message in enumerate(conversation.messages):
        role, content = message["role"], message["content"] or ""
        if role in ("system", "developer"):
            if i:
                raise ValueError(f"a {role} turn that is not the first")
            turns.append({"from": "system", "value": content})
        elif role == "user":
            turns.append({"from": "human", "value": content})
        elif role == "tool":
            if turns and turns[-1]["from"] == "observation":
                turns[-1]["value"] += JOINED + content
            else:
                turns.append({"from": "observation", "value": content})
        else:
            turns.append(_answer(message, content))
    return turns


def _answer(message: dict[str, Any], content: str) -> dict[str, str]:
    thought = message.get("reasoning_content")
    before = f"{THINK[0]}{thought}{THINK[1]}" if thought else ""
    if "tool_calls" not in message:
        return {"from": "gpt", "value": before + content}
    calls = [
        {"name": call["function"]["name"], "arguments": call["function"]["arguments"]} for call in message["tool_calls"]
    ]
    if any(not isinstance(call["arguments"], dict) for call in calls):
        raise ValueError("arguments of a call that are not a JSON object")
    text = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)
    if any(mark in before + content + text for mark in CALL):
        raise ValueError("a call in a turn whose text contains <tool_call>")
    if content:
        return {"from": "function_call", "value": f"{before}{content}{CALL[0]}{text}{CALL[1]}"}
    return {"from": "function_call", "value": before + text}
