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
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.data.conversations import Conversation, learnt
from mixlaw.data.frame import Frame
from mixlaw.data.marks import MARKS, Turn, leaves, located, looked_up, ways, with_marks
from mixlaw.data.template import Dialect, Template, written
from mixlaw.data.tokenised import Rendered, Span

_REMEDIES = {
    "content": "Delete that row, or use a template that writes it (many write no text beside a tool call).",
    "reasoning": "Use a template that does, write it into the content as <think>...</think>, or ignore it with "
    "ignore: [reasoning_content].",
    "tool calls": "Use a template that does, or write the calls into the content.",
}


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
        self.frame = Frame(template, self._special)

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
                "Delete that row, or put its roles in the order that the template needs.",
            ) from None
        turns = self._turns(conversation, dialect, text)
        self._require(conversation, turns, text, place)
        return text, self._spans(conversation, turns, text, blocks, place)

    def _turns(self, conversation: Conversation, dialect: Dialect, text: str) -> list[Turn]:
        """Return what is found of each turn."""
        base = next((base for base, mark in MARKS.items() if mark.search(text) is None), None)
        if base is not None:
            for way in ways(conversation.messages):
                messages, marks = with_marks(conversation.messages, way, base)
                if not marks:
                    break
                with contextlib.suppress(Exception):  # a template that does not take the marks
                    marked, _ = self.template.render(conversation._replace(messages=messages), dialect)
                    if MARKS[base].sub("", marked) == text:
                        return located(conversation.messages, marked, marks, way.inset, base)
        return looked_up(conversation.messages, text, self.frame.opening[1])

    def _require(self, conversation: Conversation, turns: Sequence[Turn], text: str, place: str) -> None:
        """Refuse a conversation of which the template leaves out a part."""
        last = len(conversation.messages) - 1
        for i, message in enumerate(conversation.messages):
            where = f"{place}: the chat template of '{self.name}' does not write"
            if message["role"] == "assistant":
                for what in turns[i].missing:
                    if what == "reasoning" and self.template.shows_reasoning and i < last:
                        continue  # of earlier turns many leave it out, as they do when the model answers
                    hint = self._named(_REMEDIES[what]) if what == "tool calls" else _REMEDIES[what]
                    raise DataError(f"{where} the {what} of turn {i + 1}.", hint)
                if i == last and hides_reasoning(message, text):
                    raise DataError(
                        f"{where} the reasoning in the content of turn {i + 1}.", "Use a template that does."
                    )
                for leaf in leaves([call["function"]["arguments"] for call in message.get("tool_calls", ())]):
                    if leaf.strip() and not written(text, leaf):
                        raise DataError(f"{where} an argument of turn {i + 1}.", self._named(_REMEDIES["tool calls"]))
            elif (message["content"] or "").strip() and (
                turns[i].missing or not (turns[i].parts or written(text, message["content"]))
            ):
                self._require_written(conversation, i, where)
        if conversation.tools:
            self._require_tools(conversation, text, place)

    def _require_tools(self, conversation: Conversation, text: str, place: str) -> None:
        """Refuse a row whose tools the template does not write."""
        try:
            without = self.template.render(conversation._replace(tools=None, plain=False))[0]
        except Exception:  # a template that wants tools where there are calls
            return
        if without == text:
            raise DataError(
                f"{place}: the chat template of '{self.name}' does not write the tools of the row.",
                self._named("Use a template with tools, or ignore them with ignore: [tools]."),
            )

    def _named(self, hint: str) -> str:
        """Return a remedy for rows with tools, and that the tokenizer has another template for these."""
        if not self.template.other_for_tools:
            return hint
        return (
            f"{hint} The tokenizer has one, 'tool_use': set tokenizer.chat_template to it, and save it with the model."
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
        self, conversation: Conversation, turns: Sequence[Turn], text: str, blocks: Sequence[Span], place: str
    ) -> list[Span]:
        """Return the spans of the answers that carry loss; `blocks` are what the template's markers hold."""
        found: list[Span] = []
        wanted = []
        at = 0
        others = [t for t, m in zip(turns, conversation.messages, strict=True) if m["role"] != "assistant"]
        begins = [turn.some for turn in others if turn.some is not None]
        ends = sorted(place for turn in others for part in turn.parts for place in part if place is not None)
        for i, (turn, message) in enumerate(zip(turns, conversation.messages, strict=True)):
            if message["role"] != "assistant":
                continue
            # At the same place as an empty turn before this one nothing of another turn begins.
            places = [(t.some, j > i) for j, t in enumerate(turns) if j != i and t.some is not None]
            for group in turn.groups(begins) or [[]]:
                if not group:  # an empty answer comes behind what was written of the turns before it
                    before = [place for t in turns[:i] for part in t.parts for place in part if place is not None]
                    at = max(at, *before) if before else at
                own = max((place for part in group for place in part if place is not None), default=at)
                begun = min((place for part in group for place in part if place is not None), default=at)
                # What looks like the opening of an answer in another turn's text opens none.
                at = max([at, *ends[: bisect_right(ends, begun)][-1:]])
                until = min((place for place, later in places if place + later > own), default=len(text))
                first, last = self._bounds(text, group, blocks, at, until)
                at = max(at, last)
                if first < last:
                    found.append((first, last))
                    wanted.append(learnt(message))
        if blocks or self.template.marked:
            inside = [list(self._cut(span, blocks, text)) for span in found]
            if found and not any(inside):
                raise DataError(
                    f"{place}: the chat template of '{self.name}' marks no part of the conversation as generated.",
                    "Put {% generation %} around what the assistant writes.",
                )
            return sorted(span for spans, learns in zip(inside, wanted, strict=True) if learns for span in spans)
        return sorted(span for span, learns in zip(found, wanted, strict=True) if learns)

    def _bounds(
        self, text: str, parts: Sequence[tuple[int | None, int | None]], blocks: Sequence[Span], at: int, until: int
    ) -> Span:
        """Return where an answer of some texts begins and ends, after `at` and before `until`."""
        opening, core = self.frame.opening
        if not parts:  # an empty answer: there is only how it begins and ends
            place = text.find(core, at, until) if core else -1
            if place < 0:
                return next(((a, b) for a, b in blocks if a >= at and b <= until), (at, at))
            first = last = place + len(opening if text.startswith(opening, place) else core)
        else:
            known = [place for part in parts for place in part if place is not None]
            first, last = min(known), max(known)
            place = text.rfind(core, at, first) if core else -1
            if place >= 0:
                whole = text.startswith(opening, place) and place + len(opening) <= first
                first = place + len(opening if whole else core)
            else:
                first -= self.frame.lead_in(text[at:first])
        return first, self._end(text, last, until)

    def _end(self, text: str, last: int, until: int) -> int:
        """Return the place behind the token, or else the text, that ends a turn whose own text ends at `last`."""
        tokens, closings = self.frame.ends
        for ends in (tokens, closings):
            places = [(text.find(end, last, until), end) for end in ends]
            if places := [(place, end) for place, end in places if place >= 0]:
                place, end = min(places)
                return place + len(end)
        special = self._special.search(text, last, until)
        adjacent = special is not None and not text[last : special.start()].strip()
        if special is not None and adjacent and not self.frame.opening[0].lstrip().startswith(special.group()):
            return special.end()
        return last + len(text[last:].rstrip()) if until == len(text) else last

    def _cut(self, span: Span, blocks: Sequence[Span], text: str) -> Iterator[Span]:
        """Yield what a template's markers hold of a turn, and with the last of it the token that ends the turn."""
        parts = [(max(span[0], a), min(span[1], b)) for a, b in blocks]
        parts = [(a, b) for a, b in parts if a < b]
        for n, (a, b) in enumerate(parts, 1):
            rest = text[b : span[1]].strip()
            ended = rest in self.frame.ends[0] + self.frame.ends[1] or self._special.fullmatch(rest) is not None
            yield (a, span[1]) if n == len(parts) and ended else (a, b)


def hides_reasoning(message: dict[str, Any], text: str) -> bool:
    """Whether an answer has reasoning, of its own or in its content, that a rendered text does not hold."""
    inside, closed, _ = (message["content"] or "").partition("</think>")
    thoughts = [message.get("reasoning_content", ""), inside.rpartition("<think>")[2] if closed else ""]
    return any(thought.strip() and not written(text, thought) for thought in thoughts)
