"""CSV and TSV, as spreadsheets, pandas and people write them."""

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.reading import Source, read_rows


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(Domain("d", str(path)), None))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "A.CSV"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_header_quotes_breaks_mark_and_delimiter(tmp_path, delimiter, name, end):
    lines = ["prompt{d}completion{d}n", '"a{d} ""b""{e}{e} c"{d}"d, e; f"{d}', "", "ä{d} x {d}007", ""]
    rows = read(tmp_path / name, "\ufeff" + end.join(lines).format(d=delimiter, e=end))
    assert [row.values for row in rows] == [
        {"prompt": f'a{delimiter} "b"{end}{end} c', "completion": "d, e; f", "n": None},
        {"prompt": "ä", "completion": " x ", "n": "007"},
    ]
    assert [(row.number, row.place.rpartition(", ")[2]) for row in rows] == [(0, "line 2"), (1, "line 6")]


def test_what_spreadsheets_and_pandas_add_is_left_out(tmp_path):
    assert read(tmp_path / "a.csv", "sep=|\nprompt|completion\na,b|c\n")[0].values == {
        "prompt": "a,b",
        "completion": "c",
    }
    assert read(tmp_path / "a.csv", ",prompt,completion\n0,a,b\n")[0].values == {"prompt": "a", "completion": "b"}
    assert read(tmp_path / "a.csv", 'prompt, completion\na, "b, c"\n')[0].values == {
        "prompt": "a",
        "completion": "b, c",
    }


def test_a_cell_may_be_long_and_its_json_stays_text(tmp_path):
    long = "x" * 200_000
    assert read(tmp_path / "a.csv", f'messages\n"[{{""a"": ""{long}""}}]"\n')[0].values == {
        "messages": f'[{{"a": "{long}"}}]'
    }


def test_a_file_of_a_header_alone_and_an_empty_one_have_no_rows(tmp_path):
    assert read(tmp_path / "a.csv", "prompt,completion\n") == read(tmp_path / "a.csv", "") == []


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("a,b\n1,2\n1\n", "line 3: 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells, the header has 2"),
        ("a,b,a\n1,2,3\n", "line 1: the header has the column 'a' twice"),
        ("a,b\r1,2\r3,4\r", "line 1: a carriage return alone ends a line"),
        ('a,b\n"x" y,2\n', "line 2: not valid CSV"),
        ('a,b\n1,2\n"x,2\n3,4\n', "line 3: not valid CSV"),
        (b"a,b\n1,2\n1,\xe4\n", "line 3: not UTF-8"),
        (b"a,b\n1,x\0y\n", "line 2: a NUL byte"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: not UTF-8; it looks like UTF-16"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, fact):
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", text)
    assert f"{tmp_path / 'a.csv'}, {fact}" in str(caught.value) and caught.value.hint


def test_a_file_is_one_piece_since_a_cell_may_hold_any_line(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n"1\n2,3\n",4\n' * 1 + '"1\n2,3\n",4\n' * 99)
    source = Source(Domain("d", str(tmp_path / "a.csv")))
    [piece] = source.pieces(20)
    assert source.count(piece) == 100
