"""A chat template: the text of a conversation, in the dialect that the template reads.

Templates differ in what they want of the same turn: arguments of a call as an object or as JSON text, a missing
content as null or as empty text, contents as text or as parts, reasoning under one of several names. What a template
reads is looked up in its syntax tree and tried on small conversations of ours, once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mixlaw.data.conversations import Conversation, Messages, with_text_arguments
from mixlaw.data.tokenised import Rendered

_REASONING = ("reasoning_content", "reasoning", "thinking")
_CALL = {"id": "call00000", "type": "function", "function": {"name": "probe_name", "arguments": {"probe_key": "probe"}}}
_TOOL = {
    "type": "function",
    "function": {"name": "probe_name", "description": "probe", "parameters": {"type": "object", "properties": {}}},
}
_MOMENT = ("strftime_now", "datetime", "date_string", "now")


@dataclass(frozen=True)
class Dialect:
    """How messages are handed to a template.

    Attributes:
        text_arguments: arguments of calls as JSON text.
        empty: what a turn without content has; None for null.
        parts: contents as lists of text parts.
    """

    text_arguments: bool = False
    empty: str | None = ""
    parts: bool = False


class Template:
    """The chat template of a tokenizer: of several named ones the default, also for rows with tools.

    Args:
        tokenizer: of transformers, with a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.text: str = tokenizer.get_chat_template()
        named = tokenizer.chat_template if isinstance(tokenizer.chat_template, Mapping) else {}
        self.other_for_tools = named.get("tool_use", self.text) != self.text
        self.marked = re.search(r"\{%-?\s*generation\s*-?%\}", self.text) is not None

    def render(self, conversation: Conversation, dialect: Dialect | None = None) -> Rendered:
        """Return the text of a conversation, and where the template has markers the spans of what they hold."""
        messages = self.spoken(conversation.messages, dialect or self.dialect_of(conversation))
        return self.write(messages, conversation.tools, conversation.template_kwargs)

    def dialect_of(self, conversation: Conversation) -> Dialect:
        """Return how the turns of a conversation are handed over."""
        return self.plain_dialect if conversation.plain else self.dialect

    def write(
        self, messages: Messages, tools: Any = None, kwargs: Mapping[str, Any] | None = None, prompt: bool = False
    ) -> Rendered:
        """Return what the template writes of messages in its dialect; with `prompt` also how an answer begins."""
        if self._direct is not None and not kwargs and not prompt:
            return self._direct(messages, tools)
        if self.marked and not prompt:
            return self._slow(messages, tools, kwargs or {})
        text = self.tokenizer.apply_chat_template(
            messages,
            tools=tools,
            chat_template=self.text,
            tokenize=False,
            add_generation_prompt=prompt,
            **(kwargs or {}),
        )
        return text, []

    def spoken(self, messages: Messages, dialect: Dialect) -> Messages:
        """Return messages in a dialect, without what is not for the template."""
        if dialect == Dialect() and all([len(message) == 2 for message in messages]):
            return messages
        return [self._spoken(message, dialect) for message in messages]

    def _spoken(self, message: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
        found = {key: value for key, value in message.items() if key != "weight"}
        if not found["content"] and ("tool_calls" in found or "reasoning_content" in found):
            found["content"] = dialect.empty
        elif dialect.parts:
            found["content"] = [{"type": "text", "text": found["content"]}]
        if "tool_calls" in found and dialect.text_arguments:
            found["tool_calls"] = list(map(with_text_arguments, found["tool_calls"]))
        if "reasoning_content" in found:
            thought = found.pop("reasoning_content")
            found |= dict.fromkeys(self.reasoning_keys or _REASONING[:1], thought)
        return found

    @cached_property
    def reasoning_keys(self) -> tuple[str, ...]:
        """The keys of a turn that hold reasoning and that the template reads."""
        return tuple(key for key in _REASONING if key in self.keys)

    @cached_property
    def tree(self) -> Any:
        """The template as Jinja's syntax tree, None where a later transformers has it otherwise."""
        try:
            from transformers.utils import chat_template_utils

            return chat_template_utils._compile_jinja_template(self.text).environment.parse(self.text)
        except Exception:  # not a public function
            return None

    @cached_property
    def keys(self) -> frozenset[str]:
        """What the template reads by name, of turns or of anything else: attributes, keys and constants."""
        from jinja2 import nodes

        if self.tree is None:
            return frozenset(re.findall(r"[A-Za-z_]\w*", self.text))
        names = {node.attr for node in self.tree.find_all(nodes.Getattr)}
        names |= {node.value for node in self.tree.find_all(nodes.Const) if isinstance(node.value, str)}
        return frozenset(names | {node.name for node in self.tree.find_all(nodes.Name)})

    @property
    def moment(self) -> str | None:
        """The function by which the template writes the date of today, None where it writes none."""
        return next((name for name in _MOMENT if re.search(rf"\b{name}\s*\(", self.text)), None)

    @cached_property
    def plain_dialect(self) -> Dialect:
        """How turns of text are handed over: as text, or in parts where the template writes only these."""
        turns = [{"role": "user", "content": "probe user"}, {"role": "assistant", "content": "probe answer"}]
        for dialect in (Dialect(), Dialect(parts=True)):
            with contextlib.suppress(Exception):
                text, _ = self.write(self.spoken(turns, dialect))
                if "probe user" in text and "probe answer" in text:
                    return dialect
        return Dialect()

    @cached_property
    def dialect(self) -> Dialect:
        """How turns with calls are handed over: the first way in which the template writes name and arguments."""
        parts = self.plain_dialect.parts
        turns = [{"role": "user", "content": "probe user"}, {"role": "assistant", "content": "", "tool_calls": [_CALL]}]
        for text_arguments, empty in itertools.product((False, True), ("", None)):
            dialect = Dialect(text_arguments, empty, parts)
            with contextlib.suppress(Exception):
                # By the public function, which leaves out nulls: a dialect that it cannot speak helps no trainer.
                text = self.tokenizer.apply_chat_template(
                    self.spoken(turns, dialect), tools=[_TOOL], chat_template=self.text, tokenize=False
                )
                said = text.rpartition("probe user")[2] or text
                # Text that was made JSON once more has its quotes escaped; a dict that was made text, single ones.
                if "probe_name" in said and "probe_key" in said and '\\"probe_key' not in said:
                    return dialect
        return Dialect(parts=parts)

    @cached_property
    def shows_reasoning(self) -> bool:
        """Whether the template writes the reasoning of a single answer."""
        turns: Messages = [
            {"role": "user", "content": "probe user"},
            {"role": "assistant", "content": "probe answer", "reasoning_content": "probe thought"},
        ]
        with contextlib.suppress(Exception):
            return "probe thought" in self.write(self.spoken(turns, self.plain_dialect))[0]
        return False

    @cached_property
    def _direct(self) -> Callable[..., Rendered] | None:
        """The template called without transformers' copies of its arguments, which are plain values here already.

        The two functions are not public: None where they are gone, or say something else of a small conversation.
        """
        try:
            from transformers.utils import chat_template_utils

            compiled = chat_template_utils._compile_jinja_template(self.text)
            render = chat_template_utils._render_with_assistant_indices
            special = dict(self.tokenizer.special_tokens_map)

            def direct(messages: Messages, tools: Any = None) -> Rendered:
                return render(compiled, messages, tools, None, False, **special)

            sample = [{"role": "user", "content": " a\n"}, {"role": "assistant", "content": "b "}]
            if self.marked:
                return direct if direct(sample) == self._slow(sample, None, {}) else None
            whole = self.tokenizer.apply_chat_template(sample, tokenize=False)
            return direct if direct(sample)[0] == whole else None
        except Exception:  # whatever a later version raises: the public function is there
            return None

    def _slow(self, messages: Messages, tools: Any, kwargs: Mapping[str, Any]) -> Rendered:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[messages],  # type: ignore[arg-type]
            tools=tools,
            chat_template=self.text,
            return_assistant_tokens_mask=True,
            **{**self.tokenizer.special_tokens_map, **kwargs},
        )
        return texts[0], [(int(a), int(b)) for a, b in spans[0]]


def written(text: str, value: str) -> bool:
    """Whether a rendered text holds a value, as it is or escaped as JSON."""
    value = value.strip()
    if value in text:
        return True
    return any(json.dumps(value, ensure_ascii=ascii)[1:-1] in text for ascii in (False, True))
