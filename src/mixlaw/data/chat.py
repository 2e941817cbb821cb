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
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.chunk_table import ChunkTable
from mixlaw.data.conversations import Messages
from mixlaw.data.skeleton import Skeletons, only_writes_contents
from mixlaw.data.tokenised import Rendered, Tokenised, TokenisedBatch, Tokens, bytes_before, interleaved, marked
from mixlaw.data.word_table import WordTable

_COMPARED = 64
"""Texts of a process for which the table of words is held against the tokenizer."""


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
    def _table(self) -> ChunkTable | WordTable | None:
        words = WordTable.of(self.tokenizer.backend_tokenizer)
        chunks = ChunkTable.of(words)
        return words if chunks is None else chunks  # an empty table is false

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

    def render(self, messages: Messages, place: str) -> Rendered:
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

    def render_together(self, conversations: Sequence[tuple[Messages, str]]) -> list[Rendered]:
        """Return what `render` does of (messages, place) pairs, in less time; raise its error of the first bad one."""
        if self.marked:
            with contextlib.suppress(Exception):  # said below, with the place of the conversation
                rendered = self._render_marked([messages for messages, _ in conversations])
                if all(spans for _, spans in rendered):
                    return rendered
        return [self.render(messages, place) for messages, place in conversations]

    def encode(self, rendered: Sequence[Rendered], max_length: int) -> Iterator[Tokenised]:
        """Yield the tokens of rendered conversations, at most `max_length` of each."""
        if not rendered:
            return
        batch = self.encode_together(rendered, max_length)
        ends = batch.starts + batch.lengths
        for r, (a, b) in enumerate(zip(batch.starts, ends, strict=True)):
            size, cut = int(batch.supervised_bytes[r]), bool(batch.truncated[r])
            yield Tokenised(batch.ids[a:b], batch.supervised[a:b], size, cut)

    def encode_together(self, rendered: Sequence[Rendered], max_length: int) -> TokenisedBatch:
        """Return the tokens of rendered conversations, at most `max_length` of each, in one array."""
        texts = [text for text, _ in rendered]
        ids, starts, lengths = self._tokens(texts)
        return marked(ids, starts, lengths, rendered, max_length)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the ids (T,) of texts together, the bytes (T,) where they begin, and the tokens (R,) of each."""
        table = self._table
        plain = table.taken(texts) if table is not None else []
        if table is None or not plain:
            return self._tokens_of_backend(texts)
        fast = table.tokens(texts if len(plain) == len(texts) else [texts[r] for r in plain])
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
        return interleaved((plain, fast), (others, self._tokens_of_backend([texts[r] for r in others])))

    def _tokens_of_backend(self, texts: Sequence[str]) -> Tokens:
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
        starts = [np.fromiter((start for start, _ in row), np.int64, len(row)) for row in offsets]
        starts = [row if text.isascii() else bytes_before(text)[row] for row, text in zip(starts, texts, strict=True)]
        return (
            np.fromiter(itertools.chain.from_iterable(ids), np.uint32, count),
            np.concatenate([np.zeros(0, np.int64), *starts]),
            np.array([len(row) for row in ids], np.int64),
        )

    def _render_marked(self, conversations: list[Messages]) -> list[Rendered]:
        from transformers.utils.chat_template_utils import render_jinja_template

        if self._direct is not None:
            return list(map(self._quick or self._direct, conversations))
        template, special = self._template
        texts, spans = render_jinja_template(
            conversations=conversations,  # type: ignore[arg-type]
            chat_template=template,
            return_assistant_tokens_mask=True,
            **special,
        )
        return [(text, [(int(a), int(b)) for a, b in some]) for text, some in zip(texts, spans, strict=True)]

    @cached_property
    def _direct(self) -> Callable[[Messages], Rendered] | None:
        """The template called without transformers' copies of its arguments, which are plain text here already.

        The two functions are not public: None where they are gone, or say something else of a small conversation.
        """
        try:
            from transformers.utils import chat_template_utils

            template, special = self._template
            compiled = chat_template_utils._compile_jinja_template(template)
            render = chat_template_utils._render_with_assistant_indices

            def direct(messages: Messages) -> Rendered:
                return render(compiled, messages, None, None, False, **special)

            sample = [{"role": "user", "content": " a\n"}, {"role": "assistant", "content": "b "}]
            texts, spans = chat_template_utils.render_jinja_template(
                conversations=[sample],  # type: ignore[arg-type]
                chat_template=template,
                return_assistant_tokens_mask=True,
                **special,
            )
            return direct if direct(sample) == (texts[0], spans[0]) else None
        except Exception:  # whatever a later version raises: the public function is there
            return None

    @cached_property
    def _quick(self) -> Callable[[Messages], Rendered] | None:
        """The template by skeletons, where it does no more with contents than to write them."""
        from transformers.utils import chat_template_utils

        with contextlib.suppress(Exception):  # of functions that are not public, as above
            template, _ = self._template
            tree = chat_template_utils._compile_jinja_template(template).environment.parse(template)
            if self._direct is not None and only_writes_contents(tree):
                return Skeletons(self._direct).fill
        return None

    @cached_property
    def _template(self) -> tuple[str, dict[str, Any]]:
        return self.tokenizer.get_chat_template(), dict(self.tokenizer.special_tokens_map)

    def _render_unmarked(self, messages: Messages) -> Rendered:
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
