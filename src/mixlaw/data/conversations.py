"""Four ways to write a conversation, made one: a list of {role, content}.

messages            {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}
sharegpt            {"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}
prompt_completion   {"prompt": ..., "completion": ...}, strings or lists of messages
alpaca              {"instruction": ..., "input": ..., "output": ...}, `input` and `system` optional
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError

Messages = list[dict[str, str]]

_COLUMNS = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt_completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
}
FORMATS = tuple(_COLUMNS)
_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}

_ESCAPED = {code: json.dumps(chr(code))[1:-1].encode() for code in (*b'\\"', *range(1, 32))}
"""What JSON writes for a byte; the backslash is first, since the others bring new ones."""


def detect_format(values: Mapping[str, Any], columns: Mapping[str, str], place: str) -> str:
    """Return the format of a row: the first of `FORMATS` whose columns it has.

    Args:
        values: the row.
        columns: renames, standard name -> name in the file.
        place: of the row, for the message.

    Raises:
        DataError: no format fits.
    """
    for name, needed in _COLUMNS.items():
        if all(columns.get(column, column) in values for column in needed):
            turns = values[columns.get(needed[0], needed[0])]
            first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], Mapping) else {}
            if name == "sharegpt" and "role" in first and "from" not in first:
                return "messages"  # the column of ShareGPT with the keys of messages
            return name
    raise DataError(
        f"{place}: no known format; the columns are {', '.join(map(repr, list(values)[:10])) or 'none'}.",
        "Accepted: messages, conversations, prompt + completion, or instruction + output; rename with columns: "
        "{messages: <name in the file>}.",
    )


def converter(form: str, columns: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Messages]:
    """Return the function (row, place) -> messages for a format."""
    return {
        "messages": _messages,
        "sharegpt": _sharegpt,
        "prompt_completion": _prompt_completion,
        "alpaca": _alpaca,
    }[form](columns)


def as_json(conversations: Sequence[Messages]) -> list[bytes]:
    """Return what `json.dumps` says of each conversation, in UTF-8; all contents are escaped together."""
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


def _column(values: Mapping[str, Any], columns: Mapping[str, str], name: str, place: str) -> Any:
    actual = columns.get(name, name)
    if actual not in values or values[actual] is None:
        raise DataError(f"{place}: no '{actual}'.", "Every row needs the columns of its format.")
    return values[actual]


def _messages(columns: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Messages]:
    def convert(values: Mapping[str, Any], place: str) -> Messages:
        name = columns.get("messages", "messages")
        if name not in values:
            name = columns.get("conversations", "conversations" if "conversations" in values else name)
        return _turns(_column(values, {"messages": name}, "messages", place), ("role",), ("content",), place)

    return convert


def _sharegpt(columns: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Messages]:
    def convert(values: Mapping[str, Any], place: str) -> Messages:
        turns = _turns(_column(values, columns, "conversations", place), ("from", "role"), ("value", "content"), place)
        system = values.get(columns.get("system", "system"))
        return _with_system(system, turns, place)

    return convert


def _prompt_completion(columns: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Messages]:
    def convert(values: Mapping[str, Any], place: str) -> Messages:
        prompt, completion = (_column(values, columns, name, place) for name in ("prompt", "completion"))
        parts = []
        for role, part in (("user", prompt), ("assistant", completion)):
            turns = part if isinstance(part, list) else [{"role": role, "content": part}]
            parts += _turns(turns, ("role",), ("content",), place, complete=False)
        return _checked(parts, place)

    return convert


def _alpaca(columns: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Messages]:
    def convert(values: Mapping[str, Any], place: str) -> Messages:
        instruction, output = (_column(values, columns, name, place) for name in ("instruction", "output"))
        more = values.get(columns.get("input", "input")) or ""
        instruction, more = _text(instruction, place), _text(more, place)
        prompt = f"{instruction}\n\n{more}" if more else instruction
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": _text(output, place)}]
        return _checked(_with_system(values.get(columns.get("system", "system")), turns, place), place)

    return convert


def _with_system(system: Any, turns: Messages, place: str) -> Messages:
    if not system or (turns and turns[0]["role"] == "system"):
        return turns
    return [{"role": "system", "content": _text(system, place)}, *turns]


def _turns(
    turns: Any, role_keys: tuple[str, ...], content_keys: tuple[str, ...], place: str, complete: bool = True
) -> Messages:
    if not isinstance(turns, list) or not turns:
        raise DataError(
            f"{place}: the conversation is not a list of turns, or is empty.", "Correct or delete that row."
        )
    messages = []
    for t, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping):
            raise DataError(f"{place}, turn {t}: not an object.", "A turn has a role and a content.")
        role = turn.get(role_keys[0]) or next((turn[key] for key in role_keys if turn.get(key)), None)
        content = turn.get(content_keys[0])
        if content is None:
            content = next((turn[key] for key in content_keys if turn.get(key) is not None), None)
        if not isinstance(role, str) or role.lower() not in _ROLES:
            raise DataError(f"{place}, turn {t}: the role is {role!r}.", f"Known roles: {', '.join(sorted(_ROLES))}.")
        if not (isinstance(content, str) and content.isascii()):
            content = _text(content, f"{place}, turn {t}")
        messages.append({"role": _ROLES[role.lower()], "content": content})
    return _checked(messages, place) if complete else messages


def _text(content: Any, place: str) -> str:
    if isinstance(content, list) and all(_is_text_part(part) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise DataError(
            f"{place}: the content is {type(content).__name__}, not text.",
            "mixlaw mixes text conversations; drop tool calls and images, or write them as text.",
        )
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON can escape one half of a surrogate pair; no file can hold it
        raise DataError(
            f"{place}: character {error.start + 1} of the content is half a surrogate pair, which is no text.",
            "Correct or delete that row.",
        ) from None
    return content


def _is_text_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _checked(messages: Messages, place: str) -> Messages:
    last, empty = -1, True
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            last, empty = i, empty and not message["content"].strip()
    if last < 0:
        raise DataError(f"{place}: no assistant turn, so nothing to learn from.", "Drop that row, or add the answer.")
    if empty:
        raise DataError(f"{place}: the assistant's turn is empty.", "Drop that row, or add the answer.")
    # Turns after the last answer carry no loss and follow nothing that does.
    return messages[: last + 1]
