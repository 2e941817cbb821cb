"""Where the assistant's turns lie in the text of a whole conversation, whatever the template makes of each turn.

A turn begins behind the text with which the template opens an answer (what `add_generation_prompt` writes, as far as
the turn has it) and ends behind the token that ends it. In between lies all that the template writes of it: content,
reasoning and calls, and what it puts around them. To find that, the conversation is rendered a second time with marks
around the assistant's own texts: private characters, which are taken out again; the two texts must then be the same.
Where marks change what the template does, they are set elsewhere, and in the end the texts are looked up in order.

With `{% generation %}` markers a turn is what they hold of that, and the token that ends it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from mixlaw.core.errors import DataError
from mixlaw.data.conversations import Conversation, Messages, learnt
from mixlaw.data.marks import MARK, WAYS, Turn, located, looked_up, with_marks
from mixlaw.data.template import Dialect, Template, written
from mixlaw.data.tokenised import Rendered, Span

_USER, _ANSWER, _NEXT = "probe user", "probe answer", "probe next"
_KEYS = {"content": "content", "reasoning": "reasoning_content", "tool calls": "tool_calls"}
"""What is missing -> the key of a turn."""


class Masks:
    """The spans of the assistant in the texts of one template.

    Args:
        template: of the model.
        special: the tokenizer's special tokens, as text.
        name: of the model, for messages.
    """

    def __init__(self, template: Template, special: Sequence[str], name: str) -> None:
        self.template, self.name = template, name
        words = sorted({*special} - {""}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, words)) or r"(?!)")

    def render(self, conversation: Conversation, place: str) -> Rendered:
        """Return the text of a conversation, and the spans of its answers that carry loss.

        Raises:
            DataError: the template refuses the conversation, or does not write a part of it.
        """
        dialect = self.template.dialect_of(conversation)
        try:
            text, blocks = self.template.render(conversation, dialect)
        except Exception as error:  # templates raise whatever their author chose
            raise DataError(
                f"{place}: the chat template of '{self.name}' refuses the conversation: {error}.",
                "Drop that row, or bring its roles into the order that the template wants.",
            ) from None
        turns = self._turns(conversation, dialect, text)
        self._require(conversation, turns, text, place)
        return text, self._spans(conversation, turns, text, blocks, place)

    def _turns(self, conversation: Conversation, dialect: Dialect, text: str) -> dict[int, Turn]:
        """Return what is found of each answer, by its index."""
        if MARK.search(text) is None:
            for way, inset in WAYS:
                messages, marks = with_marks(conversation.messages, way)
                if not marks:
                    break
                with contextlib.suppress(Exception):  # a template that does not take the marks
                    marked, _ = self.template.render(conversation._replace(messages=messages), dialect)
                    if MARK.sub("", marked) == text:
                        return located(conversation.messages, marked, marks, inset)
        return looked_up(conversation.messages, text)

    def _require(self, conversation: Conversation, turns: dict[int, Turn], text: str, place: str) -> None:
        """Refuse a conversation of which the template leaves out a part."""
        for i, message in enumerate(conversation.messages):
            where = f"{place}: the chat template of '{self.name}' does not write"
            if i in turns:
                for what in turns[i].missing:
                    if what == "reasoning" and self.template.shows_reasoning:
                        continue  # of earlier turns many leave it out, as they do when the model answers
                    raise DataError(
                        f"{where} the {what} of turn {i + 1}.",
                        f"Use a template that does, write it into the content, or leave it out with ignore: "
                        f"[{_KEYS[what]}].",
                    )
            elif (message["content"] or "").strip() and not written(text, message["content"]):
                self._require_written(conversation, i, where)
        for tool in conversation.tools or ():
            name = tool.get("function", tool).get("name") if isinstance(tool, dict) else None
            if isinstance(name, str) and name not in text:
                raise DataError(
                    f"{place}: the chat template of '{self.name}' does not write the tools of the row ('{name}').",
                    "Use a template with tools, or leave them out with ignore: [tools].",
                )

    def _require_written(self, conversation: Conversation, i: int, where: str) -> None:
        """Refuse a turn that is not in the text; one that the template writes in another form is no such turn."""
        messages = [dict(message) for message in conversation.messages]
        messages[i]["content"] = "probecontent"
        with contextlib.suppress(Exception):
            if "probecontent" in self.template.render(conversation._replace(messages=messages))[0]:
                return
        role = messages[i]["role"]
        raise DataError(
            f"{where} turn {i + 1}, of role '{role}'.",
            f"Use a template that does, or map the role with roles: {{{role}: <another role>}}.",
        )

    def _spans(
        self, conversation: Conversation, turns: dict[int, Turn], text: str, blocks: Sequence[Span], place: str
    ) -> list[Span]:
        """Return the spans of the answers that carry loss; `blocks` are what the template's markers hold."""
        found: list[Span] = []
        wanted = []
        at = 0
        for i, turn in turns.items():
            first, last = self._bounds(text, turn, blocks, at, _next_place(turns, i, len(text)))
            at = last
            if first < last:
                found.append((first, last))
                wanted.append(learnt(conversation.messages[i]))
        if blocks or self.template.marked:
            inside = [list(self._cut(span, blocks, text)) for span in found]
            if found and not any(inside):
                raise DataError(
                    f"{place}: the chat template of '{self.name}' marks no part of the conversation as generated.",
                    "Put {% generation %} around what the assistant writes.",
                )
            return sorted(span for spans, learns in zip(inside, wanted, strict=True) if learns for span in spans)
        return sorted(span for span, learns in zip(found, wanted, strict=True) if learns)

    def _bounds(self, text: str, turn: Turn, blocks: Sequence[Span], at: int, until: int) -> Span:
        """Return where a turn begins and ends: between the end of the answer before it and the next one's text."""
        opening, core = self.opening
        if turn.some is None:  # an empty answer: there is only how it begins and ends
            if blocks:
                return next(((a, b) for a, b in blocks if a >= at and b <= until), (at, at))
            place = text.find(core, at, until) if core else -1
            if place < 0:
                return at, at
            first = last = place + _common(text[place:], opening)
        else:
            place = text.rfind(core, at, turn.some) if core else -1
            if place >= 0:
                first = place + _common(text[place : turn.some if turn.first is None else turn.first], opening)
            else:
                first = turn.some if turn.first is None else turn.first
            last = turn.last if turn.last is not None else first
        return first, self._end(text, last, until)

    def _end(self, text: str, last: int, until: int) -> int:
        """Return the place behind the token that ends a turn whose own text ends at `last`."""
        places = [(text.find(end, last, until), end) for end in self.ends]
        places = [(place, end) for place, end in places if place >= 0]
        if places:
            place, end = min(places)
            return place + len(end)
        special = self._special.search(text, last, until)
        if special is not None and not text[last : special.start()].strip():
            return special.end()
        return last

    def _cut(self, span: Span, blocks: Sequence[Span], text: str) -> Iterator[Span]:
        """Yield what a template's markers hold of a turn, and with the last of it the token that ends the turn."""
        parts = [(max(span[0], a), min(span[1], b)) for a, b in blocks]
        parts = [(a, b) for a, b in parts if a < b]
        for n, (a, b) in enumerate(parts, 1):
            rest = text[b : span[1]].strip()
            ends = n == len(parts) and (rest in self.ends or self._special.fullmatch(rest) is not None)
            yield (a, span[1]) if ends else (a, b)

    @cached_property
    def opening(self) -> tuple[str, str]:
        """What the template writes before the model answers, and the part of it that every answer in a text has."""
        user: Messages = [{"role": "user", "content": _USER}]
        answer = {"role": "assistant", "content": _ANSWER}
        before, after = self._said(user), self._said(user, prompt=True)
        opening = after[len(before) :] if before is not None and after is not None and after.startswith(before) else ""
        if not opening and after is not None:
            opening = after.rpartition(_USER)[2].lstrip()
        core = opening
        for turns in ([*user, answer], [*user, answer, {"role": "user", "content": _NEXT}, answer]):
            said = self._said(turns)
            if said is None or _ANSWER not in said:
                continue
            head = said[: said.index(_ANSWER)].rpartition(_USER)[2]
            core = next((core[:n] for n in range(len(core), 0, -1) if core[:n] in head), "")
        return opening, core

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The texts that end an answer: a special token, or what the template writes instead of one."""
        user: Messages = [{"role": "user", "content": _USER}]
        answer = {"role": "assistant", "content": _ANSWER}
        call = {"id": "call00000", "type": "function", "function": {"name": "probe_name", "arguments": {"k": "probe"}}}
        calls = {"role": "assistant", "content": "", "tool_calls": [call]}
        result = {"role": "tool", "content": _NEXT, "name": "probe_name", "tool_call_id": "call00000"}
        found: list[str] = []
        for turns, mark in (
            ([*user, answer], _ANSWER),
            ([*user, answer, {"role": "user", "content": _NEXT}, answer], _ANSWER),
            ([*user, calls, result, answer], "probe"),
            ([*user, calls], "probe"),
        ):
            said = self._said(turns)
            tail = (said or "").partition(_USER)[2].partition(_NEXT)[0].rpartition(mark)
            if not tail[1] or any(end in tail[2] for end in found):
                continue
            special = self._special.search(tail[2])
            if special is not None:
                found.append(special.group())
            elif turns[-1] == answer and len(turns) == 2 and tail[2].strip():
                found.append(tail[2].strip())
        return tuple(found)

    @cached_property
    def learns_to_stop(self) -> bool:
        """Whether a single answer ends with a token or text that says so."""
        said = self._said([{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}])
        return said is None or any(end in said.rpartition(_ANSWER)[2] for end in self.ends)

    def _said(self, messages: Messages, prompt: bool = False) -> str | None:
        """Return what the template writes of messages of ours, None where it refuses them."""
        plain = all(len(message) == 2 for message in messages)
        dialect = self.template.plain_dialect if plain else self.template.dialect
        try:
            return self.template.write(self.template.spoken(messages, dialect), prompt=prompt)[0]
        except Exception:  # whatever its author chose
            return None


def _next_place(turns: dict[int, Turn], i: int, last: int) -> int:
    """Return where the first own text of a later answer lies, or the end of the text."""
    return next((turn.some for j, turn in turns.items() if j > i and turn.some is not None), last)


def _common(text: str, opening: str) -> int:
    """Return how many characters of `opening` a text begins with."""
    n = 0
    while n < min(len(text), len(opening)) and text[n] == opening[n]:
        n += 1
    return n
