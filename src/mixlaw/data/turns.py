"""One turn of a row, in any of the keys that data sets use, made a message of `mixlaw.data.conversations`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.data.contents import is_text, loaded, parted, parts_text, shown, text_of, unzipped, whole_text
from mixlaw.data.json_text import DECODER, JsonProblem

ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function_call": "call",
    "tool_call": "call",
}
"""Role in a file, in lower case -> role here; `call` is an assistant's turn whose content is the call, as JSON."""

_PLAIN = {role: to for role, to in ROLES.items() if to != "call"}
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_WEIGHTS = ("weight", "train", "loss")
KEYS = {*ROLE_KEYS, *CONTENT_KEYS, *_REASONING, *_WEIGHTS, "tool_calls", "function_call", "tool_call_id", "name"}
"""Of turns, by their standard names."""
_REFUSED = ("train_detail", "image", "images", "video", "videos", "audio", "audios")
_OF_TEMPLATES = ("channel", "recipient", "content_type", "prefix", "tool_plan", "citations", "documents", "tools")
"""Keys of turns that some chat templates read: refused where this one does."""


@dataclass
class Reader:
    """How the turns of a domain are read.

    Attributes:
        columns: renames, standard name -> name in the file; those of keys of a turn count here.
        roles: role in the file -> role here, of the user's own, before `ROLES`.
        ignored: keys of rows and turns that the user wants left out.
        template_keys: names that the chat template reads, where it is known.
        unused: counts the keys of turns (as `messages[].key`) and rows that are not carried.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    template_keys: frozenset[str] = frozenset()
    unused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._roles = {role.lower(): to for role, to in self.roles.items()}
        self._renamed = {actual: name for name, actual in self.columns.items() if name in KEYS and actual != name}
        self._simple = not (self._roles or self._renamed or self.ignored)

    def message(self, turn: Any, place: str, number: int) -> dict[str, Any]:
        """Return a turn as a message.

        Args:
            turn: as it stands in the row.
            place: of the row, for messages.
            number: of the turn, from 1.

        Raises:
            DataError: a role that is not known, or a part that cannot be carried.
        """
        if self._simple and type(turn) is dict and len(turn) == 2:
            role, content = turn.get("role"), turn.get("content")
            known = _PLAIN.get(role) if type(role) is str else None
            if known is not None and type(content) is str and (content.isascii() or is_text(content)):
                return {"role": known, "content": content}
        return self._message(turn, f"{place}, turn {number}")

    def _message(self, turn: Any, place: str) -> dict[str, Any]:
        if not isinstance(turn, Mapping):
            raise DataError(f"{place}: not an object.", "A turn is an object with a role and a content.")
        whole = turn
        turn = {
            self._renamed.get(key, key): value
            for key, value in whole.items()
            if value is not None and key not in self.ignored
        }
        role = self._role(turn, place)
        content = next((turn[key] for key in CONTENT_KEYS if key in turn), None)
        thoughts = [parts_text(turn[key], place) for key in _REASONING if turn.get(key)]
        if isinstance(content, list):
            content, more = parted(content, place)
            thoughts += ["\n".join(more)] if more else []
        self._require_one(turn, place)
        calls = _calls(turn, place)
        if role == "call":
            role, calls, content = "assistant", [*calls, *_calls_in(content, place)], None
        message: dict[str, Any] = {"role": role}
        if content is None and not (role == "assistant" and (calls or thoughts)):
            if not any(key in turn for key in CONTENT_KEYS):
                if null := [key for key in whole if self._renamed.get(key, key) in CONTENT_KEYS]:
                    raise DataError(
                        f"{place}: the {null[0]} of a turn of role '{role}' is null.",
                        "Only an answer that reasons or calls tools may have none: write a text, or delete that row.",
                    )
                raise DataError(
                    f"{place}: no content; its keys are {', '.join(map(repr, turn))}.",
                    f"A turn has {', '.join(CONTENT_KEYS)} that is not null, or name its key with columns: "
                    "{content: <name>}.",
                )
            content = ""
        message["content"] = content if content is None else text_of(content, place)
        if thoughts:
            message["reasoning_content"] = _thought(thoughts, role, place)
        if calls:
            if role != "assistant":
                raise DataError(
                    f"{place}: a turn of role '{role}' calls tools.", "Only the assistant can; correct the role."
                )
            message["tool_calls"] = calls
        for key in ("tool_call_id", "name"):
            if key in turn:
                message[key] = text_of(turn[key] if isinstance(turn[key], str) else json.dumps(turn[key]), place)
        if self._weight(turn, role, place) == 0 and role == "assistant":
            message["weight"] = 0
        self._count(turn, place)
        return message

    def _require_one(self, turn: Mapping[str, Any], place: str) -> None:
        """Refuse a turn that says its role or its content twice, in different words."""
        for keys in (ROLE_KEYS, CONTENT_KEYS):
            there = [key for key in keys if turn.get(key)]
            if any(turn[key] != turn[there[0]] for key in there[1:]):
                raise DataError(
                    f"{place}: {' and '.join(there)} differ.",
                    f"Keep one of them, or ignore one with ignore: [{there[-1]}].",
                )

    def _role(self, turn: Mapping[str, Any], place: str) -> str:
        role = next((turn[key] for key in ROLE_KEYS if turn.get(key)), None)
        if isinstance(role, str):
            found = self._roles.get(role.strip().lower()) or ROLES.get(role.strip().lower())
            if found is not None:
                return found
        raise DataError(
            f"{place}: the role is {shown(role)}.",
            f"Known roles: {', '.join(sorted(ROLES))}. Map another one with roles: {{<role in the file>: tool}}.",
        )

    def _weight(self, turn: Mapping[str, Any], role: str, place: str) -> int | None:
        """Return 0 or 1 where a flag says whether the turn carries loss, None without."""
        found = {key: turn[key] for key in _WEIGHTS if key in turn}
        for key, value in found.items():
            if not isinstance(value, (bool, int, float)) or value not in (0, 1):
                raise DataError(
                    f"{place}: {key} is {shown(value)}.",
                    "A turn counts fully in the loss, or not at all: write 0 or 1, or true or false.",
                )
        flags = {int(value) for value in found.values()}
        if len(flags) > 1:
            raise DataError(f"{place}: {' and '.join(found)} disagree.", "Keep one of them.")
        if flags == {1} and role != "assistant" and ("train" in found or "loss" in found):
            raise DataError(
                f"{place}: a turn of role '{role}' is marked to be learnt.",
                "Only the assistant's turns can be learnt; delete the mark, or ignore it with ignore: "
                f"[{next(iter(found))}].",
            )
        return flags.pop() if flags else None

    def _count(self, turn: Mapping[str, Any], place: str) -> None:
        for key in turn:
            if key in KEYS:
                continue
            if turn[key] and (key in _REFUSED or (key in _OF_TEMPLATES and key in self.template_keys)):
                raise DataError(
                    f"{place}: it has '{key}', which mixlaw cannot pass on.",
                    f"Delete that row, or ignore the key with ignore: [{key}].",
                )
            self.unused[f"messages[].{key}"] += 1


def _thought(thoughts: list[Any], role: str, place: str) -> str:
    if role != "assistant":
        raise DataError(
            f"{place}: a turn of role '{role}' has reasoning.", "Only the assistant reasons; correct the role."
        )
    thoughts = list({thought.strip(): thought for thought in thoughts}.values())
    if len(thoughts) > 1:
        raise DataError(f"{place}: two reasoning texts that differ.", "Keep one of them.")
    return thoughts[0]


def _calls(turn: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    calls = loaded(turn.get("tool_calls"), "tool_calls", place) or []
    if isinstance(calls, Mapping):  # a struct of lists, or one call
        one = "function" in calls and not isinstance(calls["function"], list)
        calls = [calls] if one or isinstance(calls.get("name"), str) else unzipped(calls, place)
    if not isinstance(calls, list):
        raise DataError(f"{place}: tool_calls is {type(calls).__name__}, not a list.", "Correct or delete that row.")
    found = [_call(call, place) for call in calls]
    if turn.get("function_call"):
        call = _call(loaded(turn["function_call"], "function_call", place, "an object"), place)
        found += [] if any(other["function"] == call["function"] for other in found) else [call]
    return found


def _calls_in(content: Any, place: str) -> list[dict[str, Any]]:
    """Return the calls of a turn whose content is their JSON."""
    calls = loaded(content, "the call", place, "an object")
    if not calls:
        raise DataError(f"{place}: a turn that calls a function, without a call.", "Correct or delete that row.")
    return [_call(call, place) for call in (calls if isinstance(calls, list) else [calls])]


def _call(call: Any, place: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    function = loaded(function, "the function of a call", place, "an object") if isinstance(function, str) else function
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(f"{place}: a tool call without the name of a function.", "Correct or delete that row.")
    keys = ("arguments", "parameters", "input")
    arguments = next((function[key] for key in keys if function.get(key) is not None), None)
    if isinstance(arguments, str):
        try:
            parsed = DECODER.decode(arguments.strip()) if arguments.strip() else {}
        except JsonProblem:
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else arguments
    if isinstance(arguments, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in arguments):
        arguments = dict(arguments)  # a map of Arrow
    if arguments is not None and not isinstance(arguments, (str, dict)):
        raise DataError(
            f"{place}: the arguments of a call are {type(arguments).__name__}.", "Write an object, or the JSON of one."
        )
    found: dict[str, Any] = {"id": str(call["id"])} if call.get("id") is not None else {}
    found |= {"type": call.get("type") or "function"}
    found["function"] = {"name": function["name"], "arguments": {} if arguments is None else arguments}
    return whole_text(found, place)
