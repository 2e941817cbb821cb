"""Conversations as arrays of tokens: cut at a length, with a mask of what the assistant writes.

Shape letters: T tokens, R conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]
"""Characters of a text, from the first to before the last."""


Rendered = tuple[str, list[Span]]
"""The text of a conversation and the spans of what the assistant writes."""


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
        whole_lengths: (R,) the same before it was cut.
        supervised_bytes: (R,) see `Tokenised`.
        truncated: (R,) whether tokens beyond `max_length` were cut off.
    """

    ids: np.ndarray
    supervised: np.ndarray
    lengths: np.ndarray
    whole_lengths: np.ndarray
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


Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids (T,), the bytes (T,) of its text in UTF-8 at which each begins, and the tokens (R,) of each text."""


def byte_lengths(texts: Sequence[str]) -> np.ndarray:
    """Return (R,) the lengths of texts in UTF-8, bytes."""
    sizes = (len(text) if text.isascii() else len(text.encode()) for text in texts)
    return np.fromiter(sizes, np.int64, len(texts))


def bytes_before(text: str) -> np.ndarray:
    """Return (C + 1,) how many bytes of UTF-8 lie before each of a text's C characters, and in all."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    return np.concatenate([[0], np.cumsum(1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF))])


def interleaved(*parts: tuple[list[int], Tokens]) -> Tokens:
    """Put the tokens of some rows and those of the others into the order of the rows."""
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for numbers, (ids, starts, lengths) in parts:
        ends = np.cumsum(lengths)
        for r, a, b in zip(numbers, (ends - lengths).tolist(), ends.tolist(), strict=True):
            rows[r] = ids[a:b], starts[a:b]
    ordered = [rows[r] for r in sorted(rows)]
    ids, starts = (np.concatenate(arrays) for arrays in zip(*ordered, strict=True))
    return ids, starts, np.array([len(row) for row, _ in ordered], np.int64)


def marked(
    ids: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    rendered: Sequence[Rendered],
    max_length: int,
    trims: bool = False,
) -> TokenisedBatch:
    """Cut conversations at `max_length` and mark what is supervised: every token that has any supervised text.

    Args:
        ids: (T,) their tokens.
        starts: (T,) the bytes of their texts at which the tokens begin.
        lengths: (R,) their tokens.
        rendered: texts and spans of the assistant.
        max_length: longest row, tokens.
        trims: whether the tokenizer leaves spaces at a token's border out of its characters.
    """
    ends, texts = np.cumsum(lengths), [text for text, _ in rendered]
    truncated, sizes = lengths > max_length, byte_lengths(texts)
    span = int(max(sizes, default=0)) + 1
    sizes[truncated] = starts[(ends - lengths)[truncated] + max_length]  # the text that is kept
    # Places in all texts one after the other; `starts` rises within a text, so it does over all.
    places = starts + np.repeat(span * np.arange(len(rendered)), lengths)
    owners = np.repeat(np.arange(len(rendered)), [len(spans) for _, spans in rendered])
    firsts, lasts = np.array(_in_bytes(rendered), np.int64).reshape(-1, 2).T
    across = _across(places, span * owners + firsts, texts, span, trims) if len(places) else firsts
    supervised = _inside(places, across, span * owners + lasts)
    kept = np.maximum(np.minimum(lasts, sizes[owners]) - firsts, 0)
    sizes_bytes = np.bincount(owners, kept, len(rendered)).astype(np.int64)
    if truncated.any():
        inside = np.arange(len(ids)) - np.repeat(ends - lengths, lengths) < max_length
        ids, supervised = ids[inside], supervised[inside]
    return TokenisedBatch(ids, supervised, np.minimum(lengths, max_length), lengths, sizes_bytes, truncated)


def _in_bytes(rendered: Sequence[Rendered]) -> list[Span]:
    """Return the spans of all texts, in bytes."""
    found: list[Span] = []
    for text, spans in rendered:
        if text.isascii():
            found += spans
        else:
            before = bytes_before(text)
            found += [(int(before[a]), int(before[b])) for a, b in spans]
    return found


def _across(places: np.ndarray, firsts: np.ndarray, texts: Sequence[str], span: int, trims: bool) -> np.ndarray:
    """Return where spans begin, moved back to the start of a token that lies across that place.

    Args:
        places: (T,) where tokens begin, `span` for each text before theirs.
        firsts: (S,) where spans begin, in the same way.
        texts: (R,) the texts.
        span: see above.
        trims: see `marked`.
    """
    found = firsts.copy()
    tokens = np.searchsorted(places, firsts, side="right") - 1
    for k in np.flatnonzero(places[np.maximum(tokens, 0)] != firsts).tolist():
        place, (owner, first) = int(places[tokens[k]]), divmod(int(firsts[k]), span)
        if tokens[k] < 0 or place // span != owner:
            continue
        text = texts[owner].encode()
        following = int(np.searchsorted(places, place, side="right"))
        end = int(places[following]) - owner * span if following < len(places) else len(text)
        between = text[first : min(end, len(text))]
        # Spaces that a tokenizer leaves out of its tokens are the following one's.
        if between.strip(b" ") or (between and not trims):
            found[k] = place
    return found


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
