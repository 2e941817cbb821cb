"""JSON that is not one object a line."""

import json

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data import json_documents
from mixlaw.data.readers import Wanted
from mixlaw.data.reading import Source, read_rows

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
ROWS = [{"messages": TURNS, "n": n, "text": '] } \\ " [ ä \U0001f600'} for n in range(5)]


def read(path, text, **columns):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(Domain("d", str(path), columns=columns), None))


def fails(path, text):
    with pytest.raises(DataError) as caught:
        read(path, text)
    assert caught.value.hint
    return str(caught.value)


SHAPES = {
    "array": json.dumps(ROWS),
    "indented": json.dumps(ROWS, indent=1, ensure_ascii=False),
    "mark, white": "\ufeff \r\n\t" + json.dumps(ROWS, indent="\t") + "\n\n",
    "wrapped": json.dumps({"data": ROWS}),
    "wrapped, indented, with more": json.dumps({"version": "1.1", "licenses": ["a"], "rows": ROWS}, indent=2),
    "wrapped under a standard name": json.dumps({"conversations": ROWS}),
    "one after another, indented": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "lines": "\n".join(json.dumps(row) for row in ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("at_once", [3, 1 << 20])
def test_the_same_rows_are_read_of_every_shape(tmp_path, monkeypatch, shape, name, at_once):
    if shape != "lines":
        monkeypatch.setattr(json_documents, "_READ", max(at_once, 3))
    rows = read(tmp_path / name, SHAPES[shape])
    assert [row.values for row in rows] == ROWS
    assert [row.number for row in rows] == [0, 1, 2, 3, 4]
    assert rows[2].place.endswith("line 3" if shape == "lines" else "element 3")


def test_a_single_object_that_is_a_row_is_one(tmp_path):
    tools = [{"type": "function", "function": {"name": "f"}}]
    for row in ({"messages": TURNS}, {"tools": tools, "messages": TURNS}, {"conversations": [{"from": "gpt"}]}):
        for text in (json.dumps(row), json.dumps(row, indent=2)):
            assert [r.values for r in read(tmp_path / "a.json", text)] == [row]
    named = {"chat": [{"speaker": "a"}]}
    assert [r.values for r in read(tmp_path / "a.json", json.dumps(named), messages="chat")] == [named]


def test_an_empty_array_has_no_rows(tmp_path):
    assert read(tmp_path / "a.json", " [ ] ") == []


def test_numbers_choose_elements_and_count_counts_them(tmp_path):
    import numpy as np

    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    source = Source(Domain("d", str(tmp_path / "a.json")))
    [piece] = source.pieces(10)
    assert source.count(piece) == 5
    chosen = source.read(piece, Wanted(numbers=np.array([1, 4])))
    assert [(row.number, row.values["n"], row.place[-9:]) for row in chosen] == [
        (1, 1, "element 2"),
        (4, 4, "element 5"),
    ]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ('[{"a": 1},\n {"a": 2\n', "element 2 (line 3): not valid JSON"),
        ('[{"a": 1}, {"a" 2}]', "element 2 (line 1): not valid JSON"),
        ('[{"a": 1}\n {"a": 2}]', "element 1 (line 2): not valid JSON ('{' where a comma"),
        ('[{"a": 1}, ]', "element 2 (line 1): not valid JSON"),
        ('[{"a": 1}', "element 1 (line 1): not valid JSON (the array does not end)"),
        ("[", "element 1 (line 1): not valid JSON"),
        ('[{"a": 1},\n[2]]', "element 2: a row must be an object, not a JSON list"),
        ("[1]", "element 1: a row must be an object, not a JSON int"),
        ('[{"role": "user"}]\n[{"role": "user"}]\n', "more text after the end of the array"),
        (b'[{"a": 1},\n {"a": "\xff"}]', "element 2 (line 2): not UTF-8"),
        ('{\n "a": [1,\n}', "element 1 (line 3): not valid JSON"),
        ('{"a": 1,\n{"a": 2}\n', "element 1 (line 2): not valid JSON"),
        ('{"a": 1\n{"a": 2}\n', "line 1: not valid JSON"),
    ],
)
def test_what_is_wrong_is_named_by_element_and_line(tmp_path, text, fact):
    assert f"{tmp_path / 'a.json'}, {fact}" in fails(tmp_path / "a.json", text) or fact in fails(
        tmp_path / "a.json", text
    )


def test_a_quotation_mark_too_many_does_not_read_a_file_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(json_documents, "_READ", 100)
    monkeypatch.setenv("MIXLAW_MAX_ROW_BYTES", "1000")
    assert "element 1 (line 1): longer than 1,000 bytes" in fails(tmp_path / "a.json", '[{"a": "' + "x" * 50_000)
