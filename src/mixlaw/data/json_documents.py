"""JSON files that are not one object a line: an array of rows, an object that holds it, objects one after another.

An array is read element by element, in the memory of its longest element. An object that holds the rows under one of
its keys (`{"version": 1, "data": [...]}`) is read whole.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mixlaw.core.errors import DataError
from mixlaw.core.limits import limit
from mixlaw.data.json_text import DECODER, JsonProblem, json_error, not_utf8, require_text, surrogate_escape
from mixlaw.data.streams import file_errors, open_bytes, too_long

_READ = 1 << 20
_LINE = 1 << 20
_NEAR = 16
"""An error so close to what has been read may be one of reading too little."""

_TURN_KEYS = frozenset(("role", "from"))


def is_document(file: Path, names: Collection[str]) -> bool:
    """Whether a JSON file holds anything else than one object a line.

    Args:
        file: its path.
        names: columns of known formats, and what the user calls them: an object that has one of them is a row.

    Raises:
        DataError: it cannot be read.
    """
    with file_errors(file, lambda: "its start"), open_bytes(file) as stream:
        line = _first_line(stream)
        if line[:1] != b"{":
            return line[:1] == b"["
        if line[-1:] in (b"{", b"[", b",", b":"):
            return True
        while more := stream.readline(_LINE):
            if more.strip():
                return False
        # Only one line: a row, or all of them.
        try:
            values = DECODER.decode(line.decode())
        except JsonProblem:
            return False
        return rows_key(values, names) is not None


def _first_line(stream: BinaryIO) -> bytes:
    """Return the first line with anything in it, but only the start of an array."""
    line = stream.readline(_LINE).removeprefix(codecs.BOM_UTF8)
    while line.endswith(b"\n") and not line.strip():
        line = stream.readline(_LINE)
    if len(line) >= _LINE - len(codecs.BOM_UTF8) and not line.lstrip().startswith(b"["):
        line += stream.readline(limit("row_bytes"))
    return line.strip()


def rows_key(values: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Return under which key an object holds rows, or None where it is a row itself or several keys do."""
    is_row = any(name in values for name in names)
    pairs = ("messages",), ("conversations",), ("prompt", "completion"), ("instruction", "output")
    if any(all(values.get(name) is not None and not _holds_rows(values[name]) for name in pair) for pair in pairs):
        return None
    found = []
    for key, value in values.items():
        if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
            continue
        if not _TURN_KEYS.isdisjoint(value[0]):
            continue
        if not is_row or any(name in value[0] for name in names):
            found.append(key)
    return found[0] if len(found) == 1 else None


def _holds_rows(value: Any) -> bool:
    """Whether a value is a list of objects that are no turns."""
    objects = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    return objects and _TURN_KEYS.isdisjoint(value[0])


def document_rows(file: Path, names: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (element, row) of such a file; elements count from 1.

    Raises:
        DataError: the file is no JSON, or an element is no object.
    """
    element = 1
    with file_errors(file, lambda: f"element {element - 1}"), open_bytes(file) as stream:
        text = _Text(file, stream)
        rows = text.array() if text.next_character() == "[" else _values(text, names)
        for element, values in enumerate(rows, 1):
            if not isinstance(values, dict):
                raise DataError(
                    f"{file}, element {element}: a row must be an object, not a JSON {type(values).__name__}.",
                    'Write each row as an object, such as {"messages": [...]}.',
                )
            yield element, values


def _values(text: _Text, names: Collection[str]) -> Iterator[Any]:
    """Yield objects that stand one after another, or the rows that a single one holds."""
    first = text.value(1)
    if text.next_character():
        yield first
        element = 2
        while text.next_character():
            yield text.value(element)
            element += 1
        return
    key = rows_key(first, names) if isinstance(first, dict) else None
    yield from [first] if key is None else first[key]


class _Text:
    """The text of a file, of which a part is held.

    Args:
        file: its path, for messages.
        stream: its bytes.
    """

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self._file, self._stream = file, stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._held, self._at, self._lines_before = "", 0, 0
        self._ended = False
        self._undecoded: UnicodeDecodeError | None = None

    def _more(self, element: int) -> bool:
        """Hold more of the text; return whether there was more."""
        if self._undecoded is not None:
            raise not_utf8(self._undecoded, self._place(element, len(self._held)), self._undecoded.object)
        if self._ended:
            return False
        left = len(self._held) - self._at
        if left > limit("row_bytes"):  # a quotation mark too many would have the rest of the file read as one text
            raise too_long(self._place(element, self._at))
        # As much again as there is, so that a long value is not parsed from its start too often.
        raw = self._stream.read(max(_READ, left))
        self._ended = not raw
        try:
            new = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            # The rows before it are sound; the element that it is in comes up when they are read.
            self._undecoded, new = error, error.object[: error.start].decode("utf-8-sig", "replace")
        if self._ended and not new:
            return False
        self._lines_before += self._held.count("\n", 0, self._at)
        self._held, self._at = self._held[self._at :] + new, 0
        return True

    def _place(self, element: int, at: int) -> str:
        return f"{self._file}, element {element} (line {self._lines_before + self._held.count(chr(10), 0, at) + 1})"

    def next_character(self, element: int = 1) -> str:
        """Return the next character that is not white space, and go to it; an empty text at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in " \t\n\r":
                self._at += 1
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more(element):
                return ""

    def value(self, element: int) -> Any:
        """Return the value that begins here, and go behind it."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._held, self._at)
            except JsonProblem as error:
                early = isinstance(error, json.JSONDecodeError) and (
                    error.msg.startswith("Unterminated string") or error.pos >= len(self._held) - _NEAR
                )
                if early and self._more(element):
                    continue
                at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
                place = self._place(element, at)
                hint = "Correct that element; a file holds one JSON array, or one object per line."
                raise json_error(error, place, self._held[self._at : at + 1], hint) from None
            if end - self._at > limit("row_bytes"):
                raise too_long(self._place(element, self._at))
            if surrogate_escape(self._held, self._at, end):
                require_text(value, self._place(element, self._at))
            self._at = end
            return value

    def array(self) -> Iterator[Any]:
        """Yield the elements of the array that begins here, which must be all there is."""
        self._at += 1
        element, character = 1, self.next_character()
        while character != "]" or element > 1:
            yield self.value(element)
            character = self.next_character(element)
            if character != ",":
                break
            self._at += 1
            element += 1
            self.next_character(element)
        if character != "]":
            fact = f"{character!r} where a comma or the end should be" if character else "the array does not end"
            raise DataError(
                f"{self._place(element, self._at)}: not valid JSON ({fact}).",
                "Correct the file, or download it again; a JSON array is [row, row, ...].",
            )
        self._at += 1
        if self.next_character(element):
            raise DataError(
                f"{self._place(element, self._at)}: more text after the end of the array.",
                'Write one array of all rows; where each line is a conversation, write it as {"messages": [...]}.',
            )
