"""What JSON is refused, each by name, with the file and the line or the element."""

import json
import re

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.collection import take_census
from mixlaw.data.reading import Source, read_rows

REFUSED = {
    b'{"a": NaN}': "NaN is not a JSON value",
    b'{"a": [-Infinity]}': "-Infinity is not a JSON value",
    b'{"a": 1, "b": {"x": 1, "x": 2}}': "the key 'x' occurs twice",
    b'{"a": "\\ud83d"}': "'a' has half a surrogate pair",
    b'{"a": [{"b": "x\\uDE00y"}]}': r"'a\[0\].b' has half a surrogate pair",
    b'{"a": {"\\ud83d": 1}}': r"a key of a \('\\ud83d'\) has half a surrogate pair",
    b'{"a": "x\0y"}': "a NUL byte",
    b'{"a": "\xff"}': "not UTF-8 .byte 0xff",
    b'{"a": ' + b"9" * 5000 + b"}": "thousands of digits",
    b'{"a": ' + b"[" * 200_000 + b"}": "nested too deeply",
}


@pytest.mark.parametrize("line", REFUSED, ids=list(REFUSED.values()))
@pytest.mark.parametrize("shape", ["lines", "array"])
def test_what_others_read_otherwise_is_refused_by_name_and_place(tmp_path, line, shape):
    rows = [b'{"a": "\\ud83d\\ude00", "\\\\ud83d": 0}', line, b'{"a": 3}']
    path = tmp_path / "a.json"
    path.write_bytes(b"\n".join(rows) if shape == "lines" else b"[" + b",\n".join(rows) + b"]")
    place = "line 2" if shape == "lines" else r"element 2 \(line 2\)"
    domain = Domain("d", str(path))
    for read in (lambda: list(read_rows(domain, None)), lambda: take_census(domain, "a")):
        with pytest.raises(DataError, match=f"^{re.escape(str(path))}, {place}: .*{REFUSED[line]}") as caught:
            read()
        assert caught.value.hint


def test_pairs_of_surrogates_and_escaped_escapes_are_text(write_lines):
    path = write_lines("a.jsonl", [b'{"a": "\\ud83d\\ude00 \\\\ud83d"}', b'{"a": "[\\"\\\\ud83d\\"]"}'])
    values = [row.values["a"] for row in read_rows(Domain("d", str(path)), None)]
    assert values == ["\U0001f600 \\ud83d", json.dumps(["\ud83d"])]


def test_a_file_in_utf_16_is_said_to_be_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": 1}\n'.encode("utf-16"))
    with pytest.raises(DataError, match="line 1: not UTF-8; it looks like UTF-16"):
        list(read_rows(Domain("d", str(path)), None))


def test_in_a_later_piece_the_line_is_counted_from_the_start_of_the_file(write_lines):
    rows = [{"s": "x" * 50}] * 40
    source = Source(Domain("d", str(write_lines("a.jsonl", [*rows, b'{"s": "\\ud83d"}']))))
    pieces = source.pieces(500)
    assert len(pieces) > 2
    with pytest.raises(DataError, match="line 41: 's' has"):
        list(source.read(pieces[-1], lines_before=source.lines_before(pieces[-1])))
