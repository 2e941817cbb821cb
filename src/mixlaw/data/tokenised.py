"""Conversations as arrays of tokens: cut at a length, with a mask of what the assistant writes.

Shape letters: T tokens, R conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]
"""Characters of a text, from the first to before the last."""


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


Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids (T,), the characters (T,) of its text at which each begins, and the tokens (R,) of each text."""


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
