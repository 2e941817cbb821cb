"""One form for a conversation: what it keeps, its canonical bytes, and the line of a file that holds it.

A message is a dict with `role` and `content`, and where the row has them `reasoning_content`, `tool_calls`,
`tool_call_id`, `name` and, on an answer that carries no loss, `weight: 0`. Roles are `system`, `developer`, `user`,
`assistant` and `tool`. A call is `{"id"?, "type": "function", "function": {"name", "arguments"}}`; `arguments` are an
object, or the text of one that is no JSON. The form is what OpenAI, TRL and most chat templates read.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Messages = list[dict[str, Any]]

_ESCAPED = {code: json.dumps(chr(code))[1:-1].encode() for code in (*b'\\"', *range(1, 32))}
"""What JSON writes for a byte; the backslash is first, since the others bring new ones."""


class Conversation(NamedTuple):
    """One row: its turns, and what goes to the chat template beside them.

    Attributes:
        messages: its turns, see above.
        tools: the functions that may be called, as JSON schemas; None without.
        template_kwargs: further variables for the chat template (`chat_template_kwargs` of TRL); None without.
        plain: whether it is turns of role and content alone.
    """

    messages: Messages
    tools: list[Any] | None = None
    template_kwargs: dict[str, Any] | None = None
    plain: bool = True

    @staticmethod
    def of(
        messages: Messages, tools: list[Any] | None = None, template_kwargs: dict[str, Any] | None = None
    ) -> Conversation:
        """Return the conversation of some turns; an empty list of tools, or no variables, are none."""
        plain = not tools and not template_kwargs and all([len(message) == 2 for message in messages])
        return Conversation(messages, tools or None, template_kwargs or None, plain)

    @property
    def characters(self) -> int:
        """Characters of its contents, reasoning and calls, about."""
        if self.plain:
            return sum([len(message["content"]) for message in self.messages])
        return len(json.dumps(self.body(), ensure_ascii=False))

    @property
    def answers(self) -> list[int]:
        """The indices of the turns that carry loss."""
        return [i for i, message in enumerate(self.messages) if learnt(message)]

    def body(self) -> dict[str, Any]:
        """Return what a file holds of it: `messages`, and where there are any `tools` and `chat_template_kwargs`."""
        found: dict[str, Any] = {"messages": self.messages}
        if self.tools:
            found["tools"] = self.tools
        if self.template_kwargs:
            found["chat_template_kwargs"] = self.template_kwargs
        return found

    def carries(self) -> set[str]:
        """Return what it has beside roles and contents: keys of turns, `tools` and `chat_template_kwargs`."""
        if self.plain:
            return set()
        keys = {key for message in self.messages for key in message} - {"role", "content"}
        return keys | (self.body().keys() - {"messages"})

    def line(self, domain: str) -> bytes:
        """Return its line of a JSONL file, with the newline."""
        return json.dumps(self.body() | {"domain": domain}, ensure_ascii=False).encode() + b"\n"


def learnt(message: dict[str, Any]) -> bool:
    """Whether a turn carries loss: the assistant's, unless its weight is 0."""
    return message["role"] == "assistant" and message.get("weight") != 0


def with_text_arguments(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call whose arguments are JSON text: Arrow, and some templates, want one type for all."""
    arguments = call["function"]["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": text}}


def as_json(conversations: Sequence[Conversation]) -> list[bytes]:
    """Return the canonical bytes of each conversation; those of plain ones are the JSON of their turns."""
    if all([conversation.plain for conversation in conversations]):
        return _plain_json([conversation.messages for conversation in conversations])
    found = [b""] * len(conversations)
    plain = [i for i, conversation in enumerate(conversations) if conversation.plain]
    for i, text in zip(plain, _plain_json([conversations[i].messages for i in plain]), strict=True):
        found[i] = text
    for i, conversation in enumerate(conversations):
        if not conversation.plain:
            found[i] = json.dumps(conversation.body(), ensure_ascii=False, sort_keys=True).encode()
    return found


def _plain_json(conversations: Sequence[Messages]) -> list[bytes]:
    """Return what `json.dumps` says of each list of turns, in UTF-8; all contents are escaped together."""
    whole = b"\0".join([message["content"].encode() for messages in conversations for message in messages])
    if whole.count(b"\0") != max(sum(map(len, conversations)) - 1, 0):  # a content has one
        return [json.dumps(messages, ensure_ascii=False).encode() for messages in conversations]
    signs = np.frombuffer(whole, np.uint8)
    there = {*b'\\"', *np.unique(signs[signs < 32]).tolist()}
    for code, escaped in _ESCAPED.items():
        if code in there:
            whole = whole.replace(bytes([code]), escaped)
    contents, at, found = whole.split(b"\0"), 0, []
    for messages in conversations:
        form = _json_form(tuple([message["role"] for message in messages]))
        found.append(form % tuple(contents[at : at + len(messages)]))
        at += len(messages)
    return found


@functools.lru_cache(4096)
def _json_form(roles: tuple[str, ...]) -> bytes:
    """Return the JSON of a conversation, with %s in place of the contents."""
    turns = ", ".join(f'{{"role": {json.dumps(role)}, "content": "%s"}}' for role in roles)
    return f"[{turns}]".encode()
