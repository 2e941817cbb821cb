"""Byte-level BPE by a table of words: the ids of the tokenizer itself, several times as fast.

Such a tokenizer cuts a text at its special tokens, then by regular expressions into words, and looks up the merges of
each word. The words of a language are few: each is tokenised once, by the tokenizer's own model, and kept. What the
expressions say of letters, numbers and white space is said here by Python's tables of Unicode, for the characters on
which all versions agree. A text with any other character, and any other kind of tokenizer, is left to the tokenizer.

`WordTable.of` takes only tokenizers whose every step it knows; `ChatTokenizer` compares the first texts of each
process with what the tokenizer says, and drops the table where one differs.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from mixlaw.data.tokenised import Tokens

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What the pre-tokenizer ByteLevel splits by where it says `use_regex`."""

_MOST_WORDS = 200_000
_WHITE = "\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_UNSURE = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u017f\u180e\u212a"
"""White space to some and not to others; letters that are an ASCII letter where case is ignored."""


_UNSURE_ASCII = [sign for sign in _UNSURE if sign.isascii()]
_PLAIN = re.compile(r"[\t\n\r -~]+")


@cache
def _classes() -> dict[str, str]:
    """Return the letters and the numbers beyond which there are none but unsure ones, as insides of brackets."""
    found: dict[str, list[int]] = {"L": [], "N": []}
    for code in range(0x10000):
        kind = _kind(chr(code))
        if kind in found:
            found[kind].append(code)
    return {name: _ranges(codes) for name, codes in found.items()}


def _ranges(codes: list[int]) -> str:
    out, first = [], 0
    for i, code in enumerate(codes):
        if i + 1 == len(codes) or codes[i + 1] != code + 1:
            out.append(f"\\u{codes[first]:04x}-\\u{code:04x}")
            first = i + 1
    return "".join(out)


@cache
def _kind(character: str) -> str:
    """Return L for a letter, N for a number, "other", or "unsure" where libraries may differ."""
    kind = unicodedata.category(character)
    if character in _UNSURE or kind in ("Cn", "Cs", "Co"):
        return "unsure"
    if kind[0] not in "LN":
        return "other"
    # What is a letter since Unicode 3.2 is one to every library; a newer one may not be. Those beyond the first plane
    # would make the expressions slow, and are rare.
    same = unicodedata.ucd_3_2_0.category(character)[0] == kind[0]
    return kind[0] if same and character < "\U00010000" else "unsure"


@cache
def _bytes_as_letters() -> list[str]:
    """Return how byte-level BPE writes each byte: printable ones as they are, the others as letters from U+0100 on."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return [chr(b) if b in kept else chr(256 + others.index(b)) for b in range(256)]


_Stage = tuple[re.Pattern[str], re.Pattern[str]]


class WordTable(dict[str, int]):
    """Word -> its index in the arrays of the table; a missing word is tokenised when it is asked for.

    Args:
        model: of the tokenizer: its `tokenize` gives the tokens of one word.
        special: special token -> id.
        patterns: the tokenizer's expressions by which a text is cut, one after the other.
        trims: whether the tokenizer leaves leading spaces out of a token's characters.
    """

    def __init__(self, model: Any, special: dict[str, int], patterns: list[str], trims: bool) -> None:
        super().__init__()
        self.model, self.special, self.patterns, self.trims = model, special, patterns, trims
        self.stages = [stage for stage in map(_stage, patterns) if stage is not None]
        ordered = sorted(special, key=len, reverse=True)  # the longest at a place wins
        self.cut = re.compile(f"({'|'.join(map(re.escape, ordered))})").split if ordered else None
        self._letters = _bytes_as_letters()
        self._empty()

    @staticmethod
    def of(backend: Any) -> WordTable | None:
        """Return the table of a `tokenizers.Tokenizer`, or None where it has a step that is not known here."""
        parts = json.loads(backend.to_str())
        model, added = parts["model"], parts["added_tokens"]
        patterns, trims = _patterns(parts["pre_tokenizer"]), _trims(parts["post_processor"])
        # Some tokens are looked for in the text as it is, others then in its normal form: one round is known here.
        odd = len({t["normalized"] for t in added}) > 1 or any(
            t["single_word"] or t["lstrip"] or t["rstrip"] or (t["normalized"] and parts["normalizer"]) for t in added
        )
        if (
            (parts["normalizer"] or {"type": "NFC"}) != {"type": "NFC"}
            or model.get("type") != "BPE"
            or any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
            or model.get("byte_fallback")
            or patterns is None
            or trims is None
            or odd
            or any(token["content"].strip() != token["content"] or not token["content"] for token in added)
        ):
            return None
        return WordTable(backend.model, {t["content"]: t["id"] for t in added}, patterns, trims)

    def takes(self, text: str) -> bool:
        """Whether every library sees the same words in a text."""
        if self.trims and text.startswith(" "):
            return False
        others = _PLAIN.sub("", text)
        if not others:
            return True
        return not any(_kind(c) == "unsure" for c in others) and unicodedata.is_normalized("NFC", text)

    def taken(self, texts: Sequence[str]) -> list[int]:
        """Return which of some texts it takes, by their places."""
        whole = "".join(texts)
        odd = any(sign in whole for sign in _UNSURE_ASCII) or (self.trims and any(t.startswith(" ") for t in texts))
        return [r for r, text in enumerate(texts) if (not odd and text.isascii()) or self.takes(text)]

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of some texts that it takes, together."""
        if len(self) > _MOST_WORDS:
            self._empty()
        words: list[str] = []
        ends = []
        for text in texts:
            for i, part in enumerate(self.cut(text) if self.cut else (text,)):
                if i % 2:
                    words.append(part)
                elif part:
                    words.extend(self._words(part))
            ends.append(len(words))
        index_W = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
        self._grow()
        counts_W, lengths_W = self._counts[index_W], self._lengths[index_W]
        # Token t of all is token t - before[w] of its word w.
        before_W = np.cumsum(counts_W) - counts_W
        at_T = np.arange(int(counts_W.sum())) + np.repeat(self._first[index_W] - before_W, counts_W)
        begins_W = np.concatenate([[0], np.cumsum(lengths_W)])
        bounds = np.array([0, *ends])
        begins_W[:-1] -= np.repeat(begins_W[bounds[:-1]], np.diff(bounds))
        starts_T = np.repeat(begins_W[:-1], counts_W) + self._starts[at_T]
        total_W = np.concatenate([before_W, [len(at_T)]])
        return self._ids[at_T], starts_T, np.diff(total_W[bounds])

    def _words(self, text: str) -> Iterable[str]:
        parts: list[str] = [text]
        plain = text.isascii()
        for stages in self.stages:
            stage = stages[plain]
            if len(parts) == 1:
                parts = stage.findall(text)
            else:
                parts = [word for part in parts for word in (stage.findall(part) if len(part) > 1 else (part,))]
        return parts

    def __missing__(self, word: str) -> int:
        if word in self.special:
            tokens = [(self.special[word], 0)]
        else:
            tokens, at = [], 0
            plain, size = word.isascii(), len(word.encode())
            # The byte at which the character of each byte begins.
            begins = range(size) if plain else [b for b, n in _characters(word) for _ in range(n)]
            for token in self.model.tokenize("".join([self._letters[b] for b in word.encode()])):
                lead = len(token.value) - len(token.value.lstrip("Ġ")) if self.trims else 0
                tokens.append((token.id, begins[min(at, size - 1)] + lead))
                at += len(token.value)
        self._new.append((tokens, len(word.encode())))
        self[word] = index = len(self)
        return index

    def _empty(self) -> None:
        self.clear()
        self._new: list[tuple[list[tuple[int, int]], int]] = []
        self._ids, self._starts = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        self._first, self._counts, self._lengths = (np.zeros(0, np.int64) for _ in range(3))

    def _grow(self) -> None:
        """Append the new words to the arrays."""
        if not self._new:
            return
        flat = [token for tokens, _ in self._new for token in tokens]
        counts = np.array([len(tokens) for tokens, _ in self._new], np.int64)
        self._first = np.append(self._first, len(self._ids) + np.cumsum(counts) - counts)
        self._counts = np.append(self._counts, counts)
        self._lengths = np.append(self._lengths, [length for _, length in self._new])
        self._ids = np.append(self._ids, np.array([i for i, _ in flat], np.uint32))
        self._starts = np.append(self._starts, [start for _, start in flat]).astype(np.int64)
        self._new = []


def _characters(word: str) -> Iterator[tuple[int, int]]:
    """Yield the byte at which each character begins, and its bytes."""
    at = 0
    for character in word:
        size = len(character.encode())
        yield at, size
        at += size


def _patterns(pre_tokenizer: Any) -> list[str] | None:
    """Return the expressions of a pre-tokenizer, or None where it does something else."""
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    found: list[str] = []
    for step in steps:
        kind = (step or {}).get("type")
        if kind == "Split" and step["behavior"] == "Isolated" and not step["invert"] and "Regex" in step["pattern"]:
            found.append(step["pattern"]["Regex"])
        elif kind == "Digits":
            found.append(r"\p{N}" if step["individual_digits"] else r"\p{N}+")
        elif kind == "ByteLevel" and not step["add_prefix_space"] and step is steps[-1]:
            found += [_GPT2] if step.get("use_regex", True) else []
        else:
            return None
    last = steps[-1] or {}
    return None if last.get("type") != "ByteLevel" or None in map(_stage, found) else found


@cache
def _stage(pattern: str) -> _Stage | None:
    of_any = {r"\p{L}": _classes()["L"], r"\p{N}": _classes()["N"], r"\s": _WHITE}
    of_ascii = {r"\p{L}": "A-Za-z", r"\p{N}": "0-9", r"\s": r" \t\n\r"}
    first, second = _expression(pattern, of_any), _expression(pattern, of_ascii)
    return None if first is None or second is None else (first, second)


def _expression(pattern: str, names: dict[str, str]) -> re.Pattern[str] | None:
    """Return an expression of the tokenizer in Python's words; None where it says more than is known here.

    What it leaves out between its matches is a word too.
    """
    inside, out, i = False, [], 0
    while i < len(pattern):
        name = next((n for n in names if pattern.startswith(n, i)), None)
        if name:
            out.append(names[name] if inside else f"[{names[name]}]")
            i += len(name)
            continue
        two = pattern[i : i + 2]
        if two == r"\S" and not inside:
            out.append("[^" + names[r"\s"] + "]")
        elif two in (r"\r", r"\n", r"\t") or (two[0] == "\\" and two[1:] in tuple("/.|-'")):
            out.append(two)
        elif two[0] == "\\" or (two in ("(?", "&&") and pattern[i : i + 3] not in ("(?!", "(?i", "(?:")):
            return None
        else:
            inside = two[0] == "[" or (inside and two[0] != "]")
            out.append(two[0])
            i += 1
            continue
        i += 2
    whole = "".join(out)
    if re.search(r"\((?!\?)|\+\+|\*\+|\?\+|\}\+", whole):
        return None  # groups that capture, and possessive repeats
    try:
        if re.fullmatch(r"\[[^\]^]+\]", whole):
            return re.compile(f"{whole}|[^{whole[1:-1]}]+")
        # A character that begins no match goes with those that follow it, up to the next match.
        return re.compile(f"(?:{whole})|(?:(?!{whole}).)+", re.DOTALL)
    except re.error:
        return None


def _trims(post_processor: Any) -> bool | None:
    """Return whether leading spaces are left out of a token's characters, or None where more is done."""
    trims = False
    for step in (post_processor or {}).get("processors", [post_processor]):
        if step is None or step["type"] == "TemplateProcessing":
            continue
        if step["type"] != "ByteLevel":
            return None
        trims = trims or step["trim_offsets"]
    return trims
