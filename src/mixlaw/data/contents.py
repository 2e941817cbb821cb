"""Values as rows hold them: text, lists of text parts, JSON as text, lists of objects as an object of lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.data.json_text import DECODER, JsonProblem

_TEXT_PARTS = ("text", "input_text", "output_text")


def parted(content: list[Any], place: str) -> tuple[str, list[str]]:
    """Return the text of a content in parts, and its thoughts.

    Raises:
        DataError: a part of another type.
    """
    texts, thoughts = [], []
    for part in content:
        kind = part.get("type", "text" if "text" in part else None) if isinstance(part, Mapping) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXT_PARTS and isinstance(part.get("text", ""), (str, type(None))):
            texts.append(part.get("text") or "")
        elif kind in ("thinking", "reasoning") and not any(texts):
            inner = part.get(kind, part.get("text"))
            thoughts.append(parted(inner, place)[0] if isinstance(inner, list) else text_of(inner, place))
        else:
            raise DataError(
                f"{place}: the content has a part of type {shown(kind or type(part).__name__)}.",
                "mixlaw passes on only parts of type text; delete that row, or write the part as text.",
            )
    return "".join(texts), thoughts


def text_of(content: Any, place: str) -> str:
    """Return a text; raise DataError for what is none, and for half a surrogate pair."""
    if not isinstance(content, str):
        raise DataError(
            f"{place}: the content is {type(content).__name__}, not text.",
            "A content is text, or a list of text parts; correct or delete that row.",
        )
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON can escape one half of a surrogate pair; no file can hold it
        raise DataError(
            f"{place}: character {error.start + 1} of the content is half a surrogate pair, which is not a character.",
            "Correct or delete that row.",
        ) from None
    return content


def is_text(content: str) -> bool:
    """Whether a text has no half of a surrogate pair."""
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True


def parts_text(thought: Any, place: str) -> str:
    """Return reasoning that is text, or a list of text parts."""
    return parted(thought, place)[0] if isinstance(thought, list) else text_of(thought, place)


def whole_text(value: Any, place: str) -> Any:
    """Return a value that holds text anywhere; raise DataError where a text of it is none (see `text_of`)."""
    try:
        text_of(json.dumps(value, ensure_ascii=False, allow_nan=False), place)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{place}: a call or its tools hold a value that JSON cannot express ({error}).",
            "Correct or delete that row.",
        ) from None
    return value


def loaded(value: Any, what: str, place: str, form: str = "a list") -> Any:
    """Return what a column means that may hold JSON as text.

    Raises:
        DataError: a text that is no JSON.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return DECODER.decode(value.strip())
    except JsonProblem as error:
        raise DataError(
            f"{place}: {what} is text that is not valid JSON ({getattr(error, 'msg', error)}).",
            f"Write it as {form}, or as the JSON of one.",
        ) from None


def unzipped(lists: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Return the objects of a dict of lists of equal length; raise DataError for another one."""
    there = {key: value for key, value in lists.items() if value is not None}
    if not there or any(not isinstance(value, list) for value in there.values()):
        raise DataError(
            f"{place}: the turns are an object, not a list.", "Write a list of turns; correct or delete that row."
        )
    if len({len(value) for value in there.values()}) != 1:
        sizes = ", ".join(f"{key} has {len(value)}" for key, value in there.items())
        raise DataError(f"{place}: lists of different lengths: {sizes}.", "Correct or delete that row.")
    return [dict(zip(there, row, strict=True)) for row in zip(*there.values(), strict=True)]


def shown(value: Any) -> str:
    """Return a value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
