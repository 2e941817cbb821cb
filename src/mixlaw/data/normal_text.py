r"""The normal form of a conversation: what tells whether two of them are the same one.

Two conversations are the same where their normal forms are equal. It is made from the canonical JSON of a conversation
(`mixlaw.data.conversations.as_json`):

1. System and developer turns, the row's tools, and the weights of turns are left out. They are the setting in which a
   conversation takes place: an answer that was learnt in one setting is known in every other.
2. Text is composed (Unicode NFC) and folded to one case (`str.casefold`).
3. White space of every kind (`str.isspace`) is taken out.

Roles, contents, reasoning and calls stay, and so do punctuation, accents and digits. The ids of calls do not: they
are made up anew each time.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

SETTING_ROLES = ("system", "developer")
IGNORED_KEYS = ("weight", "train", "loss")
"""Keys of a turn that say how much is learnt from it, not what it says."""

_SETTING = re.compile(rb'\{"role": "(?:system|developer)", "content": "[^"\\]*(?:\\.[^"\\]*)*"\}(?:, )?')
_ROLE_MARKS = tuple(f'"role": "{role}"'.encode() for role in SETTING_ROLES)
# A quote inside a content is escaped, so these stand in no content.
_KEY_MARKS = tuple(f'"{key}": '.encode() for key in IGNORED_KEYS)
_UNICODE_WHITE = re.compile("[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_WHITE_ESCAPES = np.isin(np.arange(256), [*b"ntrf"])
_LONG_WHITE_ESCAPES = tuple(rb"\u000b \u001c \u001d \u001e \u001f".split())
_BACKSLASH = b"\x01"
"""Stands for an escaped backslash meanwhile: JSON holds no control characters."""


def normal_texts(texts: Sequence[bytes]) -> bytes:
    """Return the normal forms of conversations, one a line; white space is still there, as spaces.

    Args:
        texts: the conversations' canonical JSON in UTF-8, each on one line.
    """
    whole = b"\n".join(texts)
    marked = any(mark in whole for mark in (*_ROLE_MARKS, *_KEY_MARKS))
    if marked or whole.startswith(b"{") or b"\n{" in whole:
        whole = b"\n".join(map(_without_setting, texts))
    # All texts at once: a step over a megabyte is quicker than one in each of a thousand texts.
    whole = _without_white_escapes(whole).lower()
    # Nothing composes or folds across the end of a line, so all lines together give what each does.
    return whole if whole.isascii() else _folded(whole)


def _without_white_escapes(whole: bytes) -> bytes:
    """Return JSON with spaces in place of escaped white space, and one sign for an escaped backslash."""
    if b"\\" not in whole:
        return whole
    signs = np.frombuffer(bytearray(whole.replace(rb"\\", _BACKSLASH)), np.uint8)
    escapes = np.flatnonzero(signs == 92)
    kinds = signs[escapes + 1]
    white = escapes[_WHITE_ESCAPES[kinds]]
    signs[white] = signs[white + 1] = 32
    whole = signs.tobytes()
    if (kinds == ord("u")).any():
        for escape in _LONG_WHITE_ESCAPES:
            whole = whole.replace(escape, b" ")
    return whole


def content_hashes(texts: Sequence[bytes]) -> np.ndarray:
    """Return (R,) uint64, the first 8 bytes of the SHA-256 of each conversation's normal form.

    Among 10^9 rows and 10^5 held-out ones, some row is taken for a held-out one with a probability of 5 in a million.

    Args:
        texts: (R,) see `normal_texts`.
    """
    if not texts:
        return np.zeros(0, np.uint64)
    lines = normal_texts(texts).translate(None, b" ").split(b"\n")
    digests = b"".join([hashlib.sha256(line).digest()[:8] for line in lines])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def _folded(whole: bytes) -> bytes:
    return _UNICODE_WHITE.sub(" ", unicodedata.normalize("NFC", whole.decode()).casefold()).encode()


def _without_setting(text: bytes) -> bytes:
    if any(mark in text for mark in _ROLE_MARKS):
        text = _SETTING.sub(b"", text).replace(b"}, ]", b"}]")
    if not any(mark in text for mark in (*_ROLE_MARKS, *_KEY_MARKS)) and not text.startswith(b"{"):
        return text
    value: Any = json.loads(text)
    turns = value.get("messages", []) if isinstance(value, dict) else value
    kept = [
        {
            key: _without_ids(turn[key]) if key == "tool_calls" else turn[key]
            for key in sorted(turn, key=_place_of_key)
            if key not in (*IGNORED_KEYS, "tool_call_id")
        }
        for turn in turns
        if turn.get("role") not in SETTING_ROLES
    ]
    return json.dumps(kept, ensure_ascii=False).encode()


def _without_ids(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: part for key, part in call.items() if key != "id"} for call in calls]


def _place_of_key(key: str) -> tuple[int, str]:
    """Return where a key of a turn stands: the role and the content first, as in conversations of these alone."""
    return ({"role": 0, "content": 1}.get(key, 2), key)
