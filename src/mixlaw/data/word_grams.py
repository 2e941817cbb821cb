"""Words, runs of words and MinHash signatures of many texts at once, in numpy.

A word is a run of ASCII letters and digits, or of other characters beyond ASCII; each character of Chinese, Japanese
and Korean is a word of its own. Words and runs are known by hashes: polynomials modulo 2^64, so that those of all words
and all runs follow from sums over the whole array, then mixed.

Shape letters: B bytes of all texts, W words, G runs of words, R texts, P hash functions.

Source: A. Broder, "On the resemblance and containment of documents", 1997, section 4: of two sets of runs, the share of
hash functions whose least values agree estimates |A and B| / |A or B|.
Differs: hash functions are multiplications modulo 2^32 of one mixed hash, which numpy does in one pass.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

HASHES = 128
"""P, hash functions of a signature: the estimate's standard error is at most 0.05."""

_BASE, _STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_SHINGLES_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Words:
    """The words of some texts, in order.

    Attributes:
        hashes: (W,) uint64.
        rows: (W,) int64, the text that each is in.
        count: R.
    """

    hashes: np.ndarray
    rows: np.ndarray
    count: int

    def grams(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (G,) hashes of all runs of `size` words, and (G,) the texts that they are in, in order."""
        if len(self.hashes) < size:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        powers, inverses = _powers(len(self.hashes), int(_STEP))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(self.hashes * powers)])
        inside = self.rows[size - 1 :] == self.rows[: len(self.rows) - size + 1]
        found = (sums[size:] - sums[:-size]) * inverses[: len(inside)]
        return _mixed(found[inside]), self.rows[: len(inside)][inside]


def words_of(lines: bytes) -> Words:
    """Return the words of texts, one a line, as `mixlaw.data.normal_text.normal_texts` gives them."""
    text = np.frombuffer(lines, np.uint8)
    kind = _kinds()[text]
    word = kind > 0
    begins = word.copy()
    begins[1:] &= ~word[:-1] | (kind[1:] == 2)
    ends = word.copy()
    ends[:-1] &= ~word[1:] | (kind[1:] == 2)
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    powers, inverses = _powers(len(text), int(_BASE))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((text + np.uint64(1)) * powers)])
    hashes = _mixed((sums[last + 1] - sums[first]) * inverses[first])
    breaks = np.flatnonzero(text == 10)
    return Words(hashes, np.searchsorted(breaks, first), len(breaks) + 1)


def signatures(grams: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the texts with at least one run, and their (R, P) uint32 least hashes.

    Args:
        grams: (G,) uint64, hashes of runs.
        rows: (G,) the texts that they are in, rising.
    """
    texts, starts = np.unique(rows, return_index=True)
    found = np.empty((len(texts), HASHES), np.uint32)
    factors = np.random.default_rng(0).integers(0, 2**31, HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    short = (grams >> np.uint64(32)).astype(np.uint32)
    a = 0
    while a < len(texts):  # as many texts at once as the processor's cache holds
        b = max(a + 1, int(np.searchsorted(starts, starts[a] + _SHINGLES_AT_ONCE)))
        some = short[starts[a] : starts[b] if b < len(texts) else len(short)]
        bounds, scratch = starts[a:b] - starts[a], np.empty_like(some)
        for p, factor in enumerate(factors):
            np.multiply(some, factor, out=scratch)
            found[a:b, p] = np.minimum.reduceat(scratch, bounds)
        a = b
    return texts, found


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Return hashes whose every bit depends on every bit. Source: the finaliser of SplitMix64 (Steele et al., 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


@functools.lru_cache(1)
def _kinds() -> np.ndarray:
    """(256,) what a byte is: 0 between words, 1 in a word, 2 the first byte of a character that is a word."""
    kinds = np.zeros(256, np.uint8)
    kinds[[*b"abcdefghijklmnopqrstuvwxyz0123456789"]] = 1
    kinds[0x80:] = 1
    kinds[0xE3:0xEE] = 2  # U+3000 to U+DFFF
    return kinds


_kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def _powers(count: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (count,) powers of an odd number modulo 2^64, and their inverses."""
    if base not in _kept or len(_kept[base][0]) < count:
        size = max(1 << 16, 1 << count.bit_length())
        _kept[base] = _row_of_powers(base, size), _row_of_powers(pow(base, -1, 1 << 64), size)
    powers, inverses = _kept[base]
    return powers[:count], inverses[:count]


def _row_of_powers(number: int, count: int) -> np.ndarray:
    factors = np.full(count, number, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
