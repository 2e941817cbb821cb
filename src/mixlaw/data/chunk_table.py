"""Byte-level BPE by a table of chunks: the ids of the table of words, without a Python object for every word.

A chunk is one or more words of a text. Where chunks end is read off two neighbouring bytes, for all texts at once: no
word of the known expressions goes on from a letter to a space, say, and none before it depends on what follows. A
chunk is looked up in a table; those that are not there are tokenised by the table of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mixlaw.core.errors import MissingExtra
from mixlaw.data.readers import arrow
from mixlaw.data.tokenised import Tokens, byte_lengths
from mixlaw.data.word_table import WordTable

_MOST_CHUNKS = 200_000
_MOST_TOKENS = 2_000_000
_FAR_WHITE = np.array([0xE19A80, *range(0xE28080, 0xE2808B), 0xE280A8, 0xE280A9, 0xE280AF, 0xE2819F, 0xE38080])
"""White space beyond ASCII, as its three bytes in UTF-8; only U+00A0 has two."""

_SHORT_FORMS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "(?i:'s|'t|'re|'ve|'m|'ll|'d)")
_LETTERS = (r" ?\p{L}+", r"[^\r\n\p{L}\p{N}]?\p{L}+")
_NUMBERS = (r" ?\p{N}+", r"\p{N}+", r"\p{N}", r"\p{N}{1,3}")
_OTHERS = (r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*")
_WHITE = (r"\s+", r"\s+(?!\S)", r"\s*[\r\n]+", r"\s*[\r\n]")


def _knows(pattern: str) -> bool:
    """Whether an expression says what `_ends` relies on.

    That is: a match is a short form, letters, numbers, other signs or white space; before the first three there may be
    one sign, behind other signs line ends; and every character is in a match. Only white space looks ahead.
    """
    if pattern in _NUMBERS:
        return True
    parts = set(re.split(r"\|(?![^(\[]*[)\]])", pattern))
    known = parts <= {*_SHORT_FORMS, *_LETTERS, *_NUMBERS, *_OTHERS, *_WHITE}
    return known and r"\s+" in parts and all(parts & {*some} for some in (_LETTERS, _NUMBERS, _OTHERS))


def _ends() -> np.ndarray:
    """Return (65536,) whether a chunk ends between two bytes, by their number as a little-endian pair."""
    letter, digit, space, line, other, far = np.zeros((6, 256), bool)
    letter[[*range(65, 91), *range(97, 123)]] = True
    digit[48:58] = True
    space[[9, 32]] = True
    line[[10, 13]] = True
    far[128:] = True
    other[33:127] = True
    other &= ~letter & ~digit
    ends = np.zeros((256, 256), bool)  # [second, first]
    for firsts, seconds in (
        (letter | digit | other | far, space),
        (letter | digit, line | other),
        (letter | other, digit),
        (digit, letter),
    ):
        ends |= seconds[:, None] & firsts[None, :]
    return ends.reshape(-1)


class ChunkTable(dict[str, int]):
    """Chunk -> its index in the arrays of the table; a missing chunk gets one when it is asked for.

    Args:
        words: the table that tokenises new chunks.
    """

    def __init__(self, words: WordTable) -> None:
        super().__init__()
        self.words = words
        ordered = sorted((s.encode() for s in words.special), key=len, reverse=True)
        self._special = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._ends = _ends()
        self._empty()

    @staticmethod
    def of(words: WordTable | None) -> ChunkTable | None:
        """Return the table above a table of words, or None where the ends of its chunks are not known."""
        if words is None or not all(map(_knows, words.patterns)) or any("\0" in special for special in words.special):
            return None
        try:
            arrow()
        except MissingExtra:
            return None
        return ChunkTable(words)

    def taken(self, texts: Sequence[str]) -> list[int]:
        """Return which texts the table of words takes."""
        return self.words.taken(texts)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of some texts that it takes, together."""
        if len(self) > _MOST_CHUNKS or len(self._ids) > _MOST_TOKENS:
            self._empty()
        data = "\0".join(texts).encode()
        sizes_R = byte_lengths(texts)
        starts_R = np.cumsum(sizes_R + 1) - sizes_R - 1
        begins_C, index_C = self._chunks(data, starts_R, starts_R + sizes_R)
        counts_C = self._counts[index_C]
        counts_C[np.searchsorted(begins_C, (starts_R + sizes_R)[:-1])] = 0  # what stands between the texts
        chunks_R = np.searchsorted(begins_C, np.append(starts_R, len(data)))
        chunks_R[-1] = len(begins_C)
        # Token t of all is token t - before[c] of its chunk c.
        before_C = np.concatenate([[0], np.cumsum(counts_C)])
        at_T = np.arange(before_C[-1], dtype=np.int32)
        at_T += np.repeat((self._first[index_C] - before_C[:-1]).astype(np.int32), counts_C)
        inside_C = (begins_C - np.repeat(starts_R, np.diff(chunks_R))).astype(np.int32)
        return self._ids[at_T], self._starts[at_T] + np.repeat(inside_C, counts_C), np.diff(before_C[chunks_R])

    def _chunks(self, data: bytes, starts_R: np.ndarray, ends_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the chunks of texts begin, and their indices; what stands between texts is a chunk as well."""
        import pyarrow as pa

        size = len(data)
        if not size:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        cut, signs = np.zeros(size + 1, bool), np.frombuffer(data, np.uint8)
        for first in (0, 1):  # pairs that begin at even places, then at odd ones
            pairs = signs[first : size - (size - first) % 2].view("<u2")
            cut[first + 1 : first + 1 + 2 * len(pairs) : 2] = self._ends[pairs]
        if not data.isascii():
            self._join_far_white(cut, signs)
        if self._special is not None:
            spans = np.array([match.span() for match in self._special.finditer(data)], np.int64).reshape(-1, 2)
            lengths = spans[:, 1] - spans[:, 0]
            cut[np.arange(lengths.sum()) + np.repeat(spans[:, 0] - np.cumsum(lengths) + lengths, lengths)] = False
            cut[spans.reshape(-1)] = True
        cut[starts_R] = cut[ends_R] = True
        begins = np.flatnonzero(cut[:-1])
        offsets = pa.py_buffer(np.append(begins, size))
        coded = pa.LargeStringArray.from_buffers(len(begins), offsets, pa.py_buffer(data)).dictionary_encode()
        return begins, self._indices(coded.dictionary.to_pylist())[coded.indices.to_numpy()]

    @staticmethod
    def _join_far_white(cut: np.ndarray, signs: np.ndarray) -> None:
        """Let no chunk end behind white space beyond ASCII, which `_ends` takes for a letter."""
        ends = np.flatnonzero(cut[1:-1] & (signs[:-1] > 127)) + 1
        codes = sum(signs[ends - k].astype(np.int64) << 8 * (k - 1) for k in (1, 2, 3))
        cut[ends[((codes & 0xFFFF) == 0xC2A0) | np.isin(codes, _FAR_WHITE)]] = False

    def _indices(self, chunks: list[str]) -> np.ndarray:
        """Return the indices of distinct chunks; new ones are tokenised and get one."""
        index = np.fromiter(map(self.__getitem__, chunks), np.int64, len(chunks))
        if self._new:
            ids, starts, counts = self.words.tokens(self._new)
            self._first = np.append(self._first, len(self._ids) + np.cumsum(counts) - counts)
            self._counts = np.append(self._counts, counts)
            self._ids = np.append(self._ids, ids)
            self._starts = np.append(self._starts, starts.astype(np.int32))
            self._new = []
        return index

    def __missing__(self, chunk: str) -> int:
        self._new.append(chunk)
        self[chunk] = index = len(self)
        return index

    def _empty(self) -> None:
        self.clear()
        self._new: list[str] = []
        self._ids, self._starts = np.zeros(0, np.uint32), np.zeros(0, np.int32)
        self._first, self._counts = (np.zeros(0, np.int64) for _ in range(2))
