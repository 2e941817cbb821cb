"""Chat template and tokenizer: messages in, token ids and a mask of the assistant's tokens out.

The mask comes from character spans of the rendered text (`mixlaw.data.masks`), so text that merely looks like a
special token changes nothing. A token that has any supervised text is supervised.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.core.files import expanded
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.chunk_table import ChunkTable
from mixlaw.data.conversations import Conversation
from mixlaw.data.masks import Masks
from mixlaw.data.skeleton import Skeletons, only_writes_contents
from mixlaw.data.template import Template
from mixlaw.data.template_probe import require_harmless, require_length, template_time
from mixlaw.data.tokenised import Rendered, Tokenised, TokenisedBatch, Tokens, bytes_before, interleaved, marked
from mixlaw.data.word_table import WordTable

_ANY = 1 << 40
"""More tokens than a conversation has."""

_PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Two names of one class of transformers, which reads a tokenizer.json."""

_TOKENIZER_FILES = ("token", "vocab", "merges", "spiece", "spm")
"""What names of a tokenizer's files have in them."""

_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

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
            raise DataError(
                f"The tokenizer of '{name}' gives no character offsets.", "Use the fast version of the tokenizer."
            )
        self.tokenizer = tokenizer
        self.name = name
        try:
            self.template = Template(tokenizer)
        except ValueError:  # several named templates, none of them the default
            raise DataError(
                f"The tokenizer of '{name}' has several chat templates and none named 'default'.",
                "Set tokenizer.chat_template to the one to use, and save it with the model.",
            ) from None
        self._compared = False
        special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self.masks = Masks(self.template, [*special, *tokenizer.all_special_tokens], name)

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

    def render(self, conversation: Conversation, place: str) -> Rendered:
        """Return the text of a conversation and the character spans of what the assistant writes.

        Raises:
            DataError: the template refuses the conversation, or does not write a part of it.
        """
        if self._skeletons is not None and conversation.plain:
            return self._skeletons.fill(conversation, place)
        return self.masks.render(conversation, place)

    def render_together(self, conversations: Sequence[tuple[Conversation, str]]) -> list[Rendered]:
        """Return what `render` does of (conversation, place) pairs; raise its error of the first bad one."""
        with template_time(self.name) as begin:
            return [self._within(begin, conversation, place) for conversation, place in conversations]

    def _within(self, begin: Callable[[str], None], conversation: Conversation, place: str) -> Rendered:
        begin(place)
        rendered = self.render(conversation, place)
        require_length(rendered[0], self.name, place)
        return rendered

    def encode(self, rendered: Sequence[Rendered], max_length: int = _ANY) -> Iterator[Tokenised]:
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
        return marked(ids, starts, lengths, rendered, max_length, self._trims)

    def parts(self, rendered: Rendered) -> list[tuple[str, bool]]:
        """Return a rendered conversation in runs of tokens: (text, whether they are supervised)."""
        (tokens,) = self.encode([rendered])
        encoded = self.tokenizer(rendered[0], add_special_tokens=False, return_offsets_mapping=True)
        starts = [start for start, _ in encoded["offset_mapping"]]
        found: list[tuple[str, bool]] = []
        at = 0
        for k in range(1, len(starts) + 1):
            if k == len(starts) or tokens.supervised[k] != tokens.supervised[k - 1]:
                end = len(rendered[0]) if k == len(starts) else starts[k]
                found.append((rendered[0][at:end], bool(tokens.supervised[k - 1])))
                at = end
        return found

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the template for training, as sentences."""
        found = []
        if not self.masks.frame.learns_to_stop:
            found.append(
                f"The chat template of '{self.name}' ends answers without a token, so the model learns no stop "
                "token and would not stop after its answer. Use a template that ends the assistant's turn."
            )
        if header := self.masks.frame.header.strip():
            found.append(
                f"The chat template of '{self.name}' opens no answer when it is asked for one (add_generation_prompt): "
                f"the model must write {header!r} itself, and learns it. Use a template that opens the answer."
            )
        if self.template.moment is not None:
            found.append(
                f"The chat template of '{self.name}' writes today's date ({self.template.moment}): on another day "
                "the same rows would give other tokens. Use a template without it."
            )
        return found

    @cached_property
    def _trims(self) -> bool:
        """Whether the tokenizer leaves spaces out of its tokens' characters."""
        offsets = self.tokenizer("a b c", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return any(last < first for (_, last), (first, _) in itertools.pairwise(offsets))

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

    @cached_property
    def _skeletons(self) -> Skeletons | None:
        """Texts to fill in, where the template does no more with contents than to write them."""
        with contextlib.suppress(Exception):  # of a syntax tree that a later version has otherwise
            if self.template.tree is not None and only_writes_contents(self.template.tree):
                return Skeletons(self.masks.render)
        return None


def load_tokenizer(name_or_path: str, revision: str | None = None) -> ChatTokenizer:
    """Return the tokenizer of a model folder or a Hugging Face model id.

    Raises:
        DataError: there is no such model, or it has no usable tokenizer.
        MissingExtra: transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "train", "Tokenising") from None
    local = expanded(name_or_path).is_dir()
    if not local and (name_or_path.startswith(("/", "./", "../", "~")) or name_or_path.count("/") > 1):
        raise DataError(f"The model's folder does not exist: {name_or_path}.", "Check the path.")
    plain = local and _is_plain(Path(name_or_path).expanduser())
    try:
        tokenizer = (transformers.PreTrainedTokenizerFast if plain else transformers.AutoTokenizer).from_pretrained(
            str(Path(name_or_path).expanduser()) if local else name_or_path,
            revision=revision or "main",
            local_files_only=local,
            trust_remote_code=False,  # unset, a model with code of its own asks a question on the terminal
        )
    except Exception as error:  # OSError, ValueError, network errors of several libraries
        if local and not _has_tokenizer(expanded(name_or_path)):
            raise DataError(
                f"The folder {name_or_path} holds no tokenizer, such as tokenizer.json.",
                "Name the folder of a model that was saved with its tokenizer.",
            ) from None
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = "Check the model's name_or_path, its revision and the network."
        raise DataError(
            f"The tokenizer of '{name_or_path}' cannot be loaded: {reason.rstrip(' .:')}.",
            "Copy the model's files into its folder again." if local else remedy,
        ) from None
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, str):  # of several named ones one is taken, or none
        require_harmless(template, name_or_path)
    return ChatTokenizer(tokenizer, name_or_path)


def _has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a tokenizer's file that says its tokens, and not only its settings."""
    return any(
        part in file.name and file.name not in _TOKENIZER_SETTINGS
        for file in folder.iterdir()
        for part in _TOKENIZER_FILES
    )


def _is_plain(folder: Path) -> bool:
    """Whether a model folder surely has the class of tokenizers that need no code of their model's.

    `AutoTokenizer` comes to the same class, but imports torch on its way: most of the time of a short command.
    """
    try:
        settings, model = (
            json.loads((folder / name).read_bytes()) for name in ("tokenizer_config.json", "config.json")
        )
        named, kind, own_code = settings.get("tokenizer_class"), model.get("model_type"), settings.get("auto_map")
    except (OSError, ValueError, AttributeError):  # told by the one that loads it
        return False
    return named in _PLAIN and kind == "llama" and not own_code and (folder / "tokenizer.json").is_file()
