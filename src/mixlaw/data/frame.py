"""How a chat template opens and ends an answer, seen in what it writes of small conversations of ours."""

from __future__ import annotations

import itertools
import re
from functools import cached_property
from typing import Any

from mixlaw.data.conversations import Messages
from mixlaw.data.template import Template

_USER, _ANSWER, _NEXT = "probe user", "probe answer", "probe next"
_ASKED = {"role": "user", "content": _USER}
_SAID = {"role": "assistant", "content": _ANSWER}
_MORE = {"role": "user", "content": _NEXT}
_THINKS = re.compile(r"[<\[](?:think|thinking|thought|reason|reasoning)[>\]]", re.IGNORECASE)
"""What opens reasoning. It is the assistant's own text also where a template already opens it for the model, as in the
training templates of TRL: a model that is asked without that text must write it.
"""

_TAG = re.compile(r"<[^<>\s][^<>]*>|\[[^\[\]\s][^\[\]]*\]")


class Frame:
    """What a template writes around answers.

    Args:
        template: of the model.
        special: finds the tokenizer's special tokens in a text.
    """

    def __init__(self, template: Template, special: re.Pattern[str]) -> None:
        self.template, self._special = template, special

    @cached_property
    def opening(self) -> tuple[str, str]:
        """What the template writes before the model answers, and the part of it that every answer in a text has."""
        before, after = self._said([_ASKED]), self._said([_ASKED], prompt=True)
        opening = after[len(before) :] if before is not None and after is not None and after.startswith(before) else ""
        if not opening and after is not None:
            opening = after.rpartition(_USER)[2].lstrip()
        if thinks := _THINKS.search(opening):
            opening = opening[: thinks.start()]
        core = opening
        for turns in ([_ASKED, _SAID], [_ASKED, _SAID, _MORE, _SAID]):
            said = self._said(turns)
            if said is None or _ANSWER not in said:
                continue
            head = said[: said.index(_ANSWER)].rpartition(_USER)[2]
            shared = next((core[:n] for n in range(len(core), 0, -1) if core[:n] in head), "")
            core = shared if shared == core else re.sub(r"<[^<>]*$", "", shared)  # no half of a tag
        return opening, core

    @cached_property
    def ends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What ends an answer: special tokens, and texts that a template writes where it has no such token."""
        tokens: list[str] = []
        closings: list[str] = []
        for kind, (head, tail) in self._tails.items():
            if any(end in tail for end in (*tokens, *closings)):
                continue
            # What also stands before the text of a call opens or quotes it.
            marks = (mark for mark in self._special.finditer(tail) if "call" not in kind or mark.group() not in head)
            if first := next(marks, None):
                tokens.append(tail[first.start() : self._last(kind, tail, first, tokens).end()])
            elif "at the end" in kind and tail.strip():
                closings.append(tail.strip())
        return tuple(tokens), tuple(closings)

    def _last(self, kind: str, tail: str, first: re.Match[str], answers: list[str]) -> re.Match[str]:
        """Return the last of the tokens that end a turn; those that touch the first may belong to it.

        At the end of a text they do. Behind a call they do up to the token that ends answers.
        """
        marks = self._special.finditer(tail, first.start())
        touching = itertools.takewhile(lambda pair: pair[0].end() == pair[1].start(), itertools.pairwise(marks))
        run = [first, *(second for _, second in touching)]
        if kind == "answer at the end":
            return run[-1]
        final = next(reversed(list(self._special.finditer(answers[0]))), None) if answers else None
        last = (mark for mark in run if "call" in kind and final and mark.group() == final.group())
        return next(last, first)

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """The tokens with which a model that learnt from these masks ends its answers and calls."""
        found = {}
        for kind, (_, tail) in self._tails.items():
            places = [(tail.find(end), end) for end in self.ends[0] if end in tail]
            if places:
                found[kind] = list(self._special.finditer(min(places)[1]))[-1].group()
        if "answer at the end" in found:
            found.pop("answer", None)
        return tuple(dict.fromkeys(found.values()))

    @cached_property
    def leads(self) -> tuple[str, ...]:
        """What the template writes between the opening of an answer and its reasoning, its content or its call."""
        name = _ANSWER.replace(" ", "")
        found = []
        for word, turn in (
            (_ANSWER, _SAID),
            (_NEXT, {**_SAID, "reasoning_content": _NEXT}),
            (name, _calling(name, {})),
        ):
            head, own, _ = (self._said([_ASKED, turn]) or "").partition(_USER)[2].partition(word)
            _, core = self.opening
            if own and core in head:
                found.append(head.rpartition(core)[2] if core else head)
        return tuple(found)

    @property
    def header(self) -> str:
        """What opens an answer and is not written for the model when it is asked: it must write that itself."""
        behind = self._behind_question
        if behind is None or self._special.sub("", behind, count=1).strip() or not self.leads:
            return ""
        lead = self.leads[0]
        return lead[: thinks.start()] if (thinks := _THINKS.search(lead)) else lead

    def lead_in(self, text: str) -> int:
        """Return how many characters at the end of a text lead in an answer; no part of a token or tag does."""
        start = len(text) - max((_shared_end(text, lead) for lead in self.leads), default=0)
        for found in (self._special, _TAG):
            for match in found.finditer(text):
                if match.start() < start < match.end():
                    start = match.end()
        return len(text) - start

    @property
    def learns_to_stop(self) -> bool:
        """Whether a single answer ends with a token or text that says so."""
        _, tail = self._tails.get("answer at the end", ("", ""))
        return not self._tails or any(end in tail for ends in self.ends for end in ends)

    @cached_property
    def _tails(self) -> dict[str, tuple[str, str]]:
        """Kind of turn -> what the template writes before and behind its last own text, up to the next turn's text."""
        calls = _calling("look", {"k": _ANSWER})
        result = {"role": "tool", "content": _NEXT, "name": "look", "tool_call_id": "call00000"}
        found = {}
        for kind, turns in (
            ("answer at the end", [_SAID]),
            ("answer", [_SAID, _MORE, _SAID]),
            ("call", [calls, result, _SAID]),
            ("call at the end", [calls]),
        ):
            said = (self._said([_ASKED, *turns]) or "").partition(_USER)[2].partition(_NEXT)[0]
            head, own, tail = said.rpartition(_ANSWER)
            if own:
                found[kind] = (head, self._without_prompt(tail) if "at the end" in kind else tail)
        return found

    def _without_prompt(self, tail: str) -> str:
        """Return the end of a text without the opening of an answer that a template writes behind every text."""
        behind = self._behind_question or ""
        ended = self._special.match(behind)
        if ended is None or not tail.endswith(behind):
            return tail
        return tail[: len(tail) - len(behind) + ended.end()]

    @cached_property
    def _behind_question(self) -> str | None:
        """What a template writes behind a last question, None where that depends on `add_generation_prompt`."""
        asked = self._said([_ASKED])
        return (asked or "").rpartition(_USER)[2] if asked == self._said([_ASKED], prompt=True) else None

    def _said(self, messages: Messages, prompt: bool = False) -> str | None:
        """Return what the template writes of messages of ours, None where it refuses them."""
        plain = all(len(message) == 2 for message in messages)
        dialect = self.template.plain_dialect if plain else self.template.dialect
        try:
            return self.template.write(self.template.spoken(messages, dialect), prompt=prompt)[0]
        except Exception:  # whatever its author chose
            return None


def _calling(name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """Return a turn of ours that calls a function."""
    call = {"id": "call00000", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _shared_end(text: str, lead: str) -> int:
    """Return how many characters at the end of a text are those at the end of another."""
    n = 0
    while n < min(len(text), len(lead)) and text[-1 - n] == lead[-1 - n]:
        n += 1
    return n
