"""Chat template and tokenizer: messages in, token ids and a mask of the assistant's tokens out.

The mask comes from character spans of the rendered text, so text that merely looks like a special token changes
nothing. Where the template has `{% generation %}` markers they say what the assistant writes; where it has none, the
span of a turn is what rendering one message more adds to the text.
"""

from __future__ import annotations

import contextlib
import itertools
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
from mixlaw.data.word_table import WordTable

Span = tuple[int, int]

_COMPARED = 64
"""Texts of a process for which the table of words is held against the tokenizer."""


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


_Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]


def _interleaved(*parts: tuple[list[int], _Tokens]) -> _Tokens:
    """Put the tokens of some rows and those of the others into the order of the rows."""
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for numbers, (ids, starts, lengths) in parts:
        ends = np.cumsum(lengths)
        for r, a, b in zip(numbers, (ends - lengths).tolist(), ends.tolist(), strict=True):
            rows[r] = ids[a:b], starts[a:b]
    ordered = [rows[r] for r in sorted(rows)]
    ids, starts = (np.concatenate(arrays) for arrays in zip(*ordered, strict=True))
    return ids, starts, np.array([len(row) for row, _ in ordered], np.int64)


def _marked(
    ids: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    rendered: Sequence[tuple[str, list[Span]]],
    max_length: int,
) -> TokenisedBatch:
    """Cut conversations at `max_length` and mark what is supervised.

    Args:
        ids: (T,) their tokens.
        starts: (T,) the characters of their texts at which the tokens begin.
        lengths: (R,) their tokens.
        rendered: texts and spans of the assistant.
        max_length: longest row, tokens.
    """
    ends = np.cumsum(lengths)
    truncated, sizes = lengths > max_length, np.array([len(text) for text, _ in rendered], np.int64)
    sizes[truncated] = starts[(ends - lengths)[truncated] + max_length]  # the text that is kept
    # Places in all texts one after the other; `starts` rises within a text, so it does over all.
    span = int(max((len(text) for text, _ in rendered), default=0)) + 1
    places = starts + span * np.repeat(np.arange(len(rendered)), lengths)
    flat = [(r, a, b) for r, (_, spans) in enumerate(rendered) for a, b in spans]
    owners, firsts, lasts = np.array(flat, np.int64).reshape(-1, 3).T
    supervised = _inside(places, span * owners + firsts, span * owners + lasts)
    sizes_bytes = np.zeros(len(rendered), np.int64)
    kept = np.maximum(np.minimum(lasts, sizes[owners]) - firsts, 0)
    for r, first, count in zip(owners.tolist(), firsts.tolist(), kept.tolist(), strict=True):
        text = rendered[r][0]
        sizes_bytes[r] += count if text.isascii() else len(text[first : first + count].encode())
    if truncated.any():
        inside = np.arange(len(ids)) - np.repeat(ends - lengths, lengths) < max_length
        ids, supervised = ids[inside], supervised[inside]
    return TokenisedBatch(ids, supervised, np.minimum(lengths, max_length), sizes_bytes, truncated)


def _inside(places: np.ndarray, firsts: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """Return (T,) uint8, 1 where a place lies in one of the spans `firsts` to `lasts`."""
    if (places[1:] < places[:-1]).any():  # a tokenizer whose offsets go back and forth
        found = np.zeros(len(places), np.uint8)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            found[(places >= first) & (places < last)] = 1
        return found
    marks = np.zeros(len(places) + 1, np.int64)
    np.add.at(marks, np.searchsorted(places, firsts), 1)
    np.add.at(marks, np.searchsorted(places, lasts), -1)
    return (np.cumsum(marks[:-1]) > 0).astype(np.uint8)


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
        self._compared = False
        self.marked = re.search(r"\{%-?\s*generation\s*-?%\}", template) is not None

    @cached_property
    def _table(self) -> WordTable | None:
        return WordTable.of(self.tokenizer.backend_tokenizer)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of vocabulary, rules, template and the special tokens that the template can name."""
        backend = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # Padding and truncation are settings of a call, not of the tokenizer.
        backend["padding"] = backend["truncation"] = None
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()}
        return fingerprint({"backend": backend, "template": self.tokenizer.get_chat_template(), "special": special})

    def __getstate__(self) -> dict[str, Any]:
        # Another process makes a table of its own, and compares it again.
        return {"tokenizer": self.tokenizer, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["tokenizer"], state["name"])

    def render(self, messages: Messages, place: str) -> tuple[str, list[Span]]:
        """Return the text of a conversation and the character spans of what the assistant writes.

        Raises:
            DataError: the template refuses the conversation, or its turns cannot be told apart.
        """
        try:
            text, spans = self._render_marked([messages])[0] if self.marked else self._render_unmarked(messages)
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

    def render_together(self, conversations: Sequence[tuple[Messages, str]]) -> list[tuple[str, list[Span]]]:
        """Return what `render` does of (messages, place) pairs, in less time; raise its error of the first bad one."""
        if self.marked:
            with contextlib.suppress(Exception):  # said below, with the place of the conversation
                rendered = self._render_marked([messages for messages, _ in conversations])
                if all(spans for _, spans in rendered):
                    return rendered
        return [self.render(messages, place) for messages, place in conversations]

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
        ids, starts, lengths = self._tokens(texts)
        return _marked(ids, starts, lengths, rendered, max_length)

    def _tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the ids (T,) of texts together, the characters (T,) where they begin, and the tokens (R,) of each."""
        table = self._table
        plain = [r for r, text in enumerate(texts) if table is not None and table.takes(text)]
        if table is None or not plain:
            return self._tokens_of_backend(texts)
        fast = table.tokens([texts[r] for r in plain])
        if not self._compared:
            some = plain[:_COMPARED]
            slow = self._tokens_of_backend([texts[r] for r in some])
            count = len(slow[0])
            self._compared = True
            if any(not np.array_equal(a[: len(b)], b) for a, b in zip(fast, slow, strict=True)) or count == 0:
                self._table = None
                return self._tokens_of_backend(texts)
        if len(plain) == len(texts):
            return fast
        others = sorted(set(range(len(texts))) - set(plain))
        return _interleaved((plain, fast), (others, self._tokens_of_backend([texts[r] for r in others])))

    def _tokens_of_backend(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # One call: the fast tokenizer works on them together. Special tokens are in the rendered text already.
        encoded = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        count = sum(map(len, ids))
        return (
            np.fromiter(itertools.chain.from_iterable(ids), np.uint32, count),
            np.fromiter((start for row in offsets for start, _ in row), np.int64, count),
            np.array([len(row) for row in ids], np.int64),
        )

    def _render_marked(self, conversations: list[Messages]) -> list[tuple[str, list[Span]]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        template, special = self._template
        texts, spans = render_jinja_template(
            conversations=conversations,  # type: ignore[arg-type]
            chat_template=template,
            return_assistant_tokens_mask=True,
            **special,
        )
        return [(text, [(int(a), int(b)) for a, b in some]) for text, some in zip(texts, spans, strict=True)]

    @cached_property
    def _template(self) -> tuple[str, dict[str, Any]]:
        return self.tokenizer.get_chat_template(), dict(self.tokenizer.special_tokens_map)

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
