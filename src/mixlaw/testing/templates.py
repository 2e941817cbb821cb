"""What must hold of a tokenizer with its chat template, one function per property; each raises AssertionError.

The checks render conversations of a few words that occur nowhere else, and look for these words among the supervised
tokens. They share no code with the masks. A conversation that the template cannot render must be refused with an error,
which is not a failure: `template_cases` lists these.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation
from mixlaw.testing._comparison import claim_that

_CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "zweather", "arguments": {"city": "zoslo"}}}
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "a town"}}}
_TOOLS = [{"type": "function", "function": {"name": "zweather", "description": "The sky.", "parameters": _PARAMETERS}}]
_ASK, _SAY = {"role": "user", "content": "zquestion"}, {"role": "assistant", "content": "zanswer"}
_MORE, _LAST = {"role": "user", "content": "zmore"}, {"role": "assistant", "content": "zlast"}
_CALLS = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
_RESULT = {"role": "tool", "content": "zresult", "name": "zweather", "tool_call_id": "abcdefghi"}

CASES: dict[str, tuple[Conversation, tuple[str, ...], tuple[str, ...]]] = {
    "one turn": (Conversation.of([_ASK, _SAY]), ("zanswer",), ("zquestion",)),
    "several turns": (Conversation.of([_ASK, _SAY, _MORE, _LAST]), ("zanswer", "zlast"), ("zquestion", "zmore")),
    "system prompt": (
        Conversation.of([{"role": "system", "content": "zsystem"}, _ASK, _SAY]),
        ("zanswer",),
        ("zsystem", "zquestion"),
    ),
    "developer prompt": (
        Conversation.of([{"role": "developer", "content": "zsystem"}, _ASK, _SAY]),
        ("zanswer",),
        ("zsystem", "zquestion"),
    ),
    "tool calls": (
        Conversation.of([_ASK, _CALLS, _RESULT, _LAST], _TOOLS),
        ("zoslo", "zlast"),
        ("zquestion", "zresult"),
    ),
    "text and tool calls": (
        Conversation.of([_ASK, _CALLS | {"content": "zanswer"}, _RESULT, _LAST], _TOOLS),
        ("zanswer", "zoslo", "zlast"),
        ("zquestion", "zresult"),
    ),
    "reasoning": (
        Conversation.of([_ASK, _SAY | {"reasoning_content": "zthought"}]),
        ("zthought", "zanswer"),
        ("zquestion",),
    ),
    "assistant first": (Conversation.of([_SAY, _ASK, _LAST]), ("zanswer", "zlast"), ("zquestion",)),
    "an answer without loss": (
        Conversation.of([_ASK, _SAY | {"weight": 0}, _MORE, _LAST]),
        ("zlast",),
        ("zquestion", "zanswer", "zmore"),
    ),
}
"""Kind -> a conversation, the words that carry loss, and those that do not."""

_NEEDED = ("one turn", "several turns")


class TemplateCheck(Protocol):
    """One property of a tokenizer with its chat template."""

    __name__: str

    def __call__(self, tokenizer: Any) -> None: ...


def check_template(tokenizer: Any) -> None:
    """Run every check on a tokenizer of transformers with a chat template.

    Raises:
        AssertionError: a property does not hold; the message names the kind of conversation.
        DataError: the tokenizer has no chat template, or no fast version.
    """
    for check in TEMPLATE_CHECKS:
        check(tokenizer)


def template_cases(tokenizer: Any, name: str = "the model") -> dict[str, str]:
    """Return kind of conversation -> `ok`, or why rows of that kind are refused.

    Args:
        tokenizer: of transformers, with a chat template.
        name: of the model, for the reasons.

    Raises:
        DataError: the tokenizer has no chat template, or no fast version.
    """
    chat, found = ChatTokenizer(tokenizer, name), {}
    for kind, (conversation, _, _) in CASES.items():
        try:
            chat.render(conversation, "a row")
            found[kind] = "ok"
        except DataError as error:
            reason = error.message.removeprefix(f"a row: the chat template of '{name}' ").rstrip(".")
            # Which turn of the conversations here tells a user nothing about theirs.
            reason = re.sub(r"turn \d+, of (?=role)", "the ", re.sub(r" of turn \d+$", "", reason))
            found[kind] = f"refused: {reason}"
    return found


def plain_conversations_are_taken(tokenizer: Any) -> None:
    """Conversations of questions and answers are not refused."""
    cases = template_cases(tokenizer)
    for kind in _NEEDED:
        claim_that(cases[kind] == "ok", "chat template", f"{kind}: {cases[kind]}")


def answers_are_supervised(tokenizer: Any) -> None:
    """Every token of an answer's content, reasoning and calls is supervised, or the conversation is refused."""
    for kind, text, on, words in _each(tokenizer):
        for word in words[0]:
            at = text.rfind(word)
            claim_that(at >= 0, "chat template", f"{kind}: '{word}' is not in the text")
            claim_that(
                bool(on[at : at + len(word)].all()), "chat template", f"{kind}: '{word}' is not supervised throughout"
            )


def nothing_else_is_supervised(tokenizer: Any) -> None:
    """No token of the user, the system prompt, a tool's result or an answer without loss is supervised."""
    for kind, text, on, words in _each(tokenizer):
        for word in words[1]:
            at = text.find(word)
            claim_that(at < 0 or not on[at : at + len(word)].any(), "chat template", f"{kind}: '{word}' is supervised")


def an_answer_ends_with_one_token(tokenizer: Any) -> None:
    """After the last word of an answer at most one run of supervised text follows, which white space does not end."""
    for kind, text, on, words in _each(tokenizer):
        at = text.rfind(words[0][-1]) + len(words[0][-1])
        last = at + (np.flatnonzero(~on[at:])[0] if not on[at:].all() else len(text) - at)
        claim_that(
            text[at:last] == text[at:last].rstrip(),
            "chat template",
            f"{kind}: white space after the answer is supervised",
        )
        claim_that(not on[last:].any(), "chat template", f"{kind}: text after the end of the last answer is supervised")


def texts_are_those_of_transformers(tokenizer: Any) -> None:
    """The text of a plain conversation is what `apply_chat_template` writes."""
    for kind in _NEEDED:
        conversation = CASES[kind][0]
        text, _ = ChatTokenizer(tokenizer, "the model").render(conversation, "a row")
        theirs = tokenizer.apply_chat_template(conversation.messages, tokenize=False)
        claim_that(text == theirs, "chat template", f"{kind}: the text is not that of apply_chat_template")


TEMPLATE_CHECKS: tuple[TemplateCheck, ...] = (
    plain_conversations_are_taken,
    answers_are_supervised,
    nothing_else_is_supervised,
    an_answer_ends_with_one_token,
    texts_are_those_of_transformers,
)


def _each(tokenizer: Any) -> list[tuple[str, str, np.ndarray, tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Return (kind, text, which characters are supervised, words) of every conversation that is not refused."""
    chat, found = ChatTokenizer(tokenizer, "the model"), []
    for kind, (conversation, learnt, others) in CASES.items():
        try:
            rendered = chat.render(conversation, "a row")
        except DataError:
            continue
        text = rendered[0]
        (tokens,) = chat.encode([rendered])
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        on = np.zeros(len(text), bool)
        for (first, last), supervised in zip(offsets, tokens.supervised, strict=True):
            on[first:last] |= bool(supervised)
        found.append((kind, text, on, (learnt, others)))
    return found
