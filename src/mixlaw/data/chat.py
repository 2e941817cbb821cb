"""Chat template and tokenizer: messages in, token ids and a mask of the assistant's tokens out.

The mask comes from character spans of the rendered text, so text that merely looks like a special token changes
nothing. Where the template has `{% generation %}` markers they say what the assistant writes; where it has none, the
span of a turn is what rendering one message more adds to the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.conversations import Messages

Span = tuple[int, int]


@dataclass(frozen=True)
class Tokenised:
    """One conversation as tokens.

    Attributes:
        ids: (T,) uint32.
        supervised: (T,) uint8, 1 on the assistant's tokens and the token that ends its turn.
        supervised_bytes: UTF-8 bytes of the text that the supervised tokens cover.
        truncated: whether tokens beyond `max_length` were cut off.
    """

    ids: np.ndarray
    supervised: np.ndarray
    supervised_bytes: int
    truncated: bool


@dataclass(frozen=True)
class TokenisedBatch:
    """Conversations as tokens, in one array.

    Attributes:
        ids: (T,) uint32.
        supervised: (T,) uint8, see `Tokenised`.
        lengths: (R,) tokens of each conversation.
        supervised_bytes: (R,) see `Tokenised`.
        truncated: (R,) whether tokens beyond `max_length` were cut off.
    """

    ids: np.ndarray
    supervised: np.ndarray
    lengths: np.ndarray
    supervised_bytes: np.ndarray
    truncated: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """(R,) where each conversation begins."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]])

    @property
    def row_supervised(self) -> np.ndarray:
        """(R,) supervised tokens of each conversation."""
        ends = np.concatenate([[0], np.cumsum(self.supervised, dtype=np.int64)])
        return ends[self.starts + self.lengths] - ends[self.starts]

    @staticmethod
    def of(rows: Sequence[Tokenised]) -> TokenisedBatch:
        """Return conversations together."""
        return TokenisedBatch(
            np.concatenate([row.ids for row in rows]),
            np.concatenate([row.supervised for row in rows]),
            np.array([len(row.ids) for row in rows], np.int64),
            np.array([row.supervised_bytes for row in rows], np.int64),
            np.array([row.truncated for row in rows], bool),
        )


def _row(ids: np.ndarray, starts: np.ndarray, text: str, spans: Sequence[Span], max_length: int) -> Tokenised:
    """Cut a conversation at `max_length` and mark what is supervised.

    Args:
        ids: (T,) its tokens.
        starts: (T,) the characters at which they begin.
        text: as rendered.
        spans: of the assistant.
        max_length: longest row, tokens.
    """
    truncated = len(ids) > max_length
    end = int(starts[max_length]) if truncated else len(text)
    ids, starts = ids[:max_length], starts[:max_length]
    supervised, size = np.zeros(len(ids), np.uint8), 0
    for first, last in spans:
        supervised[(starts >= first) & (starts < last)] = 1
        size += len(text[first : min(last, end)].encode()) if end > first else 0
    return Tokenised(ids, supervised, size, truncated)


class ChatTokenizer:
    """The model's tokenizer with its chat template.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        name: its origin, for messages.

    Raises:
        DataError: no chat template, or a tokenizer without character offsets.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise DataError(
                f"The tokenizer of '{name}' has no chat template, so conversations cannot be rendered.",
                "Use the instruct model's tokenizer, or set tokenizer.chat_template and save it with the model.",
            )
        if not getattr(tokenizer, "is_fast", False):
            raise DataError(f"The tokenizer of '{name}' gives no character offsets.", "Use its fast version.")
        self.tokenizer = tokenizer
        self.name = name
        try:
            template = tokenizer.get_chat_template()
        except ValueError:  # several named templates, none of them the default
            raise DataError(
                f"The tokenizer of '{name}' has several chat templates and none named 'default'.",
                "Set tokenizer.chat_template to the one to use, and save it with the model.",
            ) from None
        self.marked = re.search(r"\{%-?\s*generation\s*-?%\}", template) is not None

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of vocabulary, rules, template and the special tokens that the template can name."""
        backend = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # Padding and truncation are settings of a call, not of the tokenizer.
        backend["padding"] = backend["truncation"] = None
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()}
        return fingerprint({"backend": backend, "template": self.tokenizer.get_chat_template(), "special": special})

    def render(self, messages: Messages, place: str) -> tuple[str, list[Span]]:
        """Return the text of a conversation and the character spans of what the assistant writes.

        Raises:
            DataError: the template refuses the conversation, or its turns cannot be told apart.
        """
        try:
            text, spans = self._render_marked(messages) if self.marked else self._render_unmarked(messages)
        except DataError:
            raise
        except Exception as error:  # templates raise whatever their author chose
            raise DataError(
                f"{place}: the chat template of '{self.name}' refuses the conversation: {error}.",
                "Drop that row, or bring its roles into the order that the template wants.",
            ) from None
        if not spans and self.marked:
            raise DataError(
                f"{place}: the chat template of '{self.name}' marks no part of the conversation as generated.",
                "Put {% generation %} around what the assistant writes.",
            )
        if not spans:
            raise DataError(
                f"{place}: the chat template of '{self.name}' is not incremental, so the assistant's part of the "
                "text cannot be found.",
                "Use a template with {% generation %} markers.",
            )
        return text, spans

    def encode(self, rendered: Sequence[tuple[str, list[Span]]], max_length: int) -> Iterator[Tokenised]:
        """Yield the tokens of rendered conversations, at most `max_length` of each."""
        if not rendered:
            return
        batch = self.encode_together(rendered, max_length)
        ends = batch.starts + batch.lengths
        for r, (a, b) in enumerate(zip(batch.starts, ends, strict=True)):
            size, cut = int(batch.supervised_bytes[r]), bool(batch.truncated[r])
            yield Tokenised(batch.ids[a:b], batch.supervised[a:b], size, cut)

    def encode_together(self, rendered: Sequence[tuple[str, list[Span]]], max_length: int) -> TokenisedBatch:
        """Return the tokens of rendered conversations, at most `max_length` of each, in one array."""
        texts = [text for text, _ in rendered]
        # One call: the fast tokenizer works on them together. Special tokens are in the rendered text already.
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        rows = []
        for ids, offsets, (text, spans) in zip(encoded["input_ids"], encoded["offset_mapping"], rendered, strict=True):
            starts = np.fromiter((start for start, _ in offsets), np.int64, len(offsets))
            rows.append(_row(np.array(ids, np.uint32), starts, text, spans, max_length))
        return TokenisedBatch.of(rows)

    def _render_marked(self, messages: Messages) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[messages],  # type: ignore[arg-type]
            chat_template=self.tokenizer.get_chat_template(),
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        return texts[0], [(int(first), int(last)) for first, last in spans[0]]

    def _render_unmarked(self, messages: Messages) -> tuple[str, list[Span]]:
        def text_of(count: int, prompt: bool) -> str:
            return self.tokenizer.apply_chat_template(messages[:count], tokenize=False, add_generation_prompt=prompt)

        whole, spans = text_of(len(messages), False), []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = text_of(i, True), text_of(i + 1, False)
            if not whole.startswith(after) and self.tokenizer.eos_token:
                # Some templates close whatever they are given: a token that is not there when the chat goes on.
                after = after.rstrip().removesuffix(self.tokenizer.eos_token)
            if not whole.startswith(after) or not after.startswith(before):
                return whole, []
            spans.append((len(before), self._end_of_turn(whole, len(before), len(after))))
        return whole, spans

    def _end_of_turn(self, text: str, first: int, last: int) -> int:
        """Return where the turn ends: after its end token, without the white space that templates add behind it."""
        end = self.tokenizer.eos_token
        if end:
            at = text.rfind(end, first, last)
            if at >= 0 and not text[at + len(end) : last].strip():
                return at + len(end)
        return last


def load_tokenizer(name_or_path: str, revision: str | None = None) -> ChatTokenizer:
    """Return the tokenizer of a model folder or a Hugging Face model id.

    Raises:
        DataError: there is no such model, or it has no usable tokenizer.
        MissingExtra: transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra("transformers", "train", "Tokenising") from None
    local = Path(name_or_path).expanduser().is_dir()
    if not local and (name_or_path.startswith(("/", "./", "../", "~")) or name_or_path.count("/") > 1):
        raise DataError(f"model.name_or_path: no such folder: {name_or_path}.", "Check the path.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(Path(name_or_path).expanduser()) if local else name_or_path,
            revision=revision,
            local_files_only=local,
            trust_remote_code=False,  # unset, a model with code of its own asks a question on the terminal
        )
    except Exception as error:  # OSError, ValueError, network errors of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"The tokenizer of '{name_or_path}' cannot be loaded: {reason}",
            "Check model.name_or_path, model.revision and the network.",
        ) from None
    return ChatTokenizer(tokenizer, name_or_path)
