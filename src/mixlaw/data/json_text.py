"""JSON as rows of data may be written: what other programs read otherwise, or not at all, is refused by name.

Python's parser takes NaN, keeps the last of two equal keys, and makes text of half a surrogate pair, which no file can
hold. Each of them would change what is learnt without a word, or break a later step far from its cause.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

from mixlaw.core.errors import DataError

JsonProblem = (ValueError, RecursionError)
"""What `DECODER` raises of a text that is refused; `json_error` says it to the user."""


class _Refused(ValueError):
    def __init__(self, fact: str, hint: str) -> None:
        super().__init__(fact)
        self.hint = hint


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {twice!a} occurs twice in one object", "Keep one of them.")
    return values


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is not a JSON value", "Write null, or leave the key out.")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


surrogate_escape = re.compile(r"\\u[dD][89abcdefABCDEF]").search
"""Finds the escape of a surrogate, without which UTF-8 holds none. Two searches with `in` take three times as long."""


def require_text(values: Any, place: str) -> None:
    """Raise DataError where parsed JSON holds half a surrogate pair, in a value or in a key.

    Args:
        values: what was parsed.
        place: of the row, for the message.
    """
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        where = _surrogate_in(values)
        raise DataError(
            f"{place}: {where} has half a surrogate pair, which is not a character.",
            "Correct or delete that row.",
        ) from None


def _surrogate_in(values: Any, path: str = "") -> str:
    """Return where a surrogate is: the path to the value, or to the object whose key it is."""
    if isinstance(values, dict):
        for key, value in values.items():
            if not _encodes(key):
                return f"a key of {path or 'the row'} ({key!a})"
            if not _encodes(value):
                return _surrogate_in(value, f"{path}.{key}" if path else key)
    if isinstance(values, list):
        for i, value in enumerate(values):
            if not _encodes(value):
                return _surrogate_in(value, f"{path}[{i}]")
    return f"'{path}'"


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def json_error(error: Exception, place: str, raw: bytes | str, hint: str) -> DataError:
    """Return what the parser raised as a sentence with a remedy.

    Args:
        error: one of `JsonProblem`.
        place: of the row.
        raw: what was parsed: a line as bytes, or some text.
        hint: the remedy of text that is no JSON.
    """
    if isinstance(error, _Refused):
        return DataError(f"{place}: {error}.", error.hint)
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(error, place, raw if isinstance(raw, bytes) else b"")
    if isinstance(error, json.JSONDecodeError):
        if (b"\0" if isinstance(raw, bytes) else "\0") in raw:  # type: ignore[operator]
            return DataError(f"{place}: a NUL byte, which is not allowed in JSON.", _DAMAGED)
        column = f", column {error.colno}" if isinstance(raw, bytes) else ""
        return DataError(f"{place}: not valid JSON ({error.msg}{column}).", hint)
    if isinstance(error, RecursionError):
        return DataError(f"{place}: cannot be read as JSON: nested too deeply.", "Correct or delete that row.")
    if "int" in str(error) and "digits" in str(error):
        return DataError(
            f"{place}: cannot be read as JSON: a number has thousands of digits.",
            "Write the number as text, or delete it.",
        )
    return DataError(f"{place}: cannot be read as JSON ({error}).", "Correct or delete that row.")


_DAMAGED = "Save the file as UTF-8 (is it UTF-16, or damaged?)."


def not_utf8(error: UnicodeDecodeError, place: str, raw: bytes) -> DataError:
    """Return the error of bytes that are not UTF-8."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw:
        return DataError(f"{place}: not UTF-8; it looks like UTF-16.", "Save the file as UTF-8.")
    byte = f"byte 0x{error.object[error.start]:02x}: {error.reason}"
    return DataError(f"{place}: not UTF-8 ({byte}).", "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'.")
