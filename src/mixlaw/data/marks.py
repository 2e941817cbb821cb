"""Marks in the texts of answers: private characters by which their places in a rendered text are found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlaw.data.conversations import Messages

_BASES = (0xF0000, 0x100000)
MARKS = {base: re.compile(f"[{chr(base)}-{chr(base + 0xFFFD)}]") for base in _BASES}
"""First mark -> any mark of its plane: characters that no standard gives a meaning; icon fonts use some of one."""


Marks = Callable[[str, str, str], str]
"""A text and the two marks -> the text with the marks."""


def _whole(text: str, first: str, last: str) -> str:
    """Mark a text with the white space around it."""
    return f"{first}{text}{last}"


def _around(text: str, first: str, last: str) -> str:
    """Mark a text where templates that strip it would cut."""
    inner = text.strip()
    at = text.find(inner)
    return f"{text[:at]}{first}{inner}{last}{text[at + len(inner) :]}"


def _behind(text: str, first: str, last: str) -> str:
    """Mark the end alone: some templates look at how a text begins."""
    inner = text.rstrip()
    return f"{inner}{last}{text[len(inner) :]}"


def _within(text: str, first: str, last: str) -> str:
    """Mark behind the first character and before the last: some look at both ends."""
    inner = text.strip()
    at = text.find(inner)
    if len(inner) < 3:
        return text
    return f"{text[: at + 1]}{first}{inner[1:-1]}{last}{text[at + len(inner) - 1 :]}"


_TRIED: tuple[tuple[Marks, Marks | None], ...] = (
    *((_whole, _whole), (_whole, _around), (_around, _around), (_around, _whole), (_whole, None), (_around, None)),
    *((_behind, _whole), (_behind, _around), (_behind, None), (_within, _whole), (_within, _around), (_within, None)),
)
"""How marks are set in the texts of answers and of other turns, in the order in which that is tried.

A template that strips contents takes the third, one that strips only those of other turns the second.
"""


@dataclass(frozen=True)
class Way:
    """A way to set marks.

    Attributes:
        answers: how in the texts of answers.
        inset: how many characters inside of these they stand.
        others: how in the texts of the other turns, None for not at all.
        empty: whether in those of them too that are empty: some templates write nothing of these.
    """

    answers: Marks
    inset: int
    others: Marks | None
    empty: bool


def ways(messages: Messages) -> list[Way]:
    """Return the ways to set marks in some messages, in the order in which to try them."""
    empty = any(message["role"] != "assistant" and not message["content"].strip() for message in messages)
    return [
        Way(answers, int(answers is _within), others, filled)
        for answers, others in _TRIED
        for filled in ((True, False) if empty and others else (False,))
    ]


@dataclass
class Turn:
    """What is found of one turn: places in the text.

    Attributes:
        parts: where its own texts begin and end, in the order of the text; None where that is not known.
        missing: names of own texts that the template does not write.
    """

    parts: list[tuple[int | None, int | None]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, begin: int | None, end: int | None) -> None:
        """Take in one own text."""
        self.parts.append((begin, end))
        self.parts.sort(key=lambda part: min(place for place in part if place is not None))

    @property
    def some(self) -> int | None:
        """A place within its first own text, or at its border."""
        return min((place for place in self.parts[0] if place is not None), default=None) if self.parts else None

    def groups(self, others: Sequence[int]) -> list[list[tuple[int | None, int | None]]]:
        """Return its texts in groups between which the template writes nothing of other turns, at `others`."""
        found: list[list[tuple[int | None, int | None]]] = []
        before = 0
        for part in self.parts:
            at = min(place for place in part if place is not None)
            if not found or any(before < other < at for other in others):
                found.append([])
            found[-1].append(part)
            before = at
        return found


def _own(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (what, text) of the texts of an answer that a template writes as they are."""
    if message.get("reasoning_content", "").strip():
        yield "reasoning", message["reasoning_content"]
    if (message["content"] or "").strip():
        yield "content", message["content"]
    for call in message.get("tool_calls", ()):
        yield "tool calls", call["function"]["name"]
        for value in leaves(call["function"]["arguments"]):
            yield "arguments", value


def leaves(value: Any) -> Iterator[str]:
    """Yield the texts in an object of any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)


def with_marks(messages: Messages, way: Way, base: int) -> tuple[Messages, list[tuple[int, str, str, str]]]:
    """Return the messages with marks in their texts, and each (turn, what, first, last)."""
    marked: list[tuple[int, str, str, str]] = []

    def put(i: int, what: str, text: str, how: Marks = way.answers, empty: bool = False) -> str:
        if not empty and not text.strip():
            return text
        first, last = (chr(base + 2 * len(marked) + n) for n in (0, 1))
        marked.append((i, what, first, last))
        return how(text, first, last)

    def putleaves(i: int, value: Any) -> Any:
        if isinstance(value, str):
            return put(i, "arguments", value)
        if isinstance(value, dict):
            return {key: putleaves(i, inner) for key, inner in value.items()}
        return [putleaves(i, inner) for inner in value] if isinstance(value, list) else value

    found = []
    for i, message in enumerate(messages):
        if way.others and message["role"] != "assistant":
            message = {**message, "content": put(i, "content", message["content"], way.others, way.empty)}
        if message["role"] == "assistant":
            message = dict(message)
            for key, what in (("reasoning_content", "reasoning"), ("content", "content")):
                if message.get(key):
                    message[key] = put(i, what, message[key])
            if "tool_calls" in message:
                message["tool_calls"] = [
                    {
                        **call,
                        "function": {
                            "name": put(i, "tool calls", call["function"]["name"]),
                            "arguments": putleaves(i, call["function"]["arguments"]),
                        },
                    }
                    for call in message["tool_calls"]
                ]
        found.append(message)
    return (found, marked) if 2 * len(marked) < 0xFFF0 else (messages, [])


def located(
    messages: Messages, text: str, marked: Sequence[tuple[int, str, str, str]], inset: int, base: int
) -> list[Turn]:
    """Return the turns' places in the text without marks, from the text with them."""
    turns = [Turn() for _ in messages]
    places: dict[str, int] = {}
    for n, match in enumerate(MARKS[base].finditer(text)):
        places.setdefault(match.group(), match.start() - n)
    for i, what, first, last in marked:
        begin, end = places.get(first), places.get(last)
        if begin is not None or end is not None:
            inside = inset if messages[i]["role"] == "assistant" else 0
            turns[i].add(None if begin is None else begin - inside, None if end is None else end + inside)
        elif what != "arguments":
            turns[i].missing.append(what)
    return turns


def looked_up(messages: Messages, text: str, opening: str) -> list[Turn]:
    """Return the turns' places by looking their texts up in order, behind what opens an answer: the last way."""
    turns = []
    at = 0
    for message in messages:
        if message["role"] == "assistant" and opening and (place := text.find(opening, at)) >= 0:
            at = place + len(opening)
        turn = Turn()
        turns.append(turn)
        for what, value in _own(message):
            place = text.find(value.strip(), at)
            if place >= 0:
                at = place + len(value.strip())
                turn.add(place, at)
            elif what != "arguments":
                turn.missing.append(what)
    return turns
