"""Arrow's own files, as `datasets` saves them; what Parquet and they have in common."""

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.collection import take_census
from mixlaw.data.reading import Source, read_rows, wanted_of

pa = pytest.importorskip("pyarrow")
ROWS = [{"prompt": f"q{i}", "completion": None if i % 7 == 0 else "a", "source": f"s{i % 3}"} for i in range(2500)]


def write(path, table, size=400):
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        parquet.write_table(table, path, row_group_size=size)
        return path
    new = pa.ipc.new_file if path.suffix == ".feather" else pa.ipc.new_stream
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=size)
    return path


def bad_text(*values):
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.fixture(params=["a.parquet", "a.arrow", "a.feather"])
def path(request, tmp_path):
    return write(tmp_path / request.param, pa.Table.from_pylist(ROWS))


def test_pieces_of_any_size_give_all_rows(path):
    source = Source(Domain("d", str(path)))
    for size in (1, 20_000, 1 << 30):
        pieces = source.pieces(size)
        rows = [row for piece in pieces for row in source.read(piece)]
        assert [row.values for row in rows] == ROWS
        assert rows[-1].place == f"{path}, row 2500"
        assert sum(map(source.count, pieces)) == 2500
    assert len(source.pieces(1)) == 7


def test_the_rows_of_a_collection_are_chosen_by_their_column(path):
    assert take_census(Domain("c", str(path)), "source").rows == {"s0": 834, "s1": 833, "s2": 833}
    domain = Domain("d", str(path), split_by="source", values=("s1",))
    rows = list(read_rows(domain, None))
    assert [row.values for row in rows] == ROWS[1::3] and [row.number for row in rows][:2] == [1, 4]
    with pytest.raises(DataError, match="has no column 'kind'; its columns are 'prompt', 'completion', 'source'"):
        source = Source(domain)
        list(source.read(source.pieces()[0], wanted_of([Domain("d", "", split_by="kind")])))


def test_what_datasets_saves_is_read_and_its_own_json_is_not(tmp_path):
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(tmp_path / "one")
    assert [row.values for row in read_rows(Domain("d", str(tmp_path / "one")), None)] == ROWS
    datasets.DatasetDict(train=data, test=data).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="holds the splits test, train"):
        Source(Domain("d", str(tmp_path / "two")))


@pytest.mark.parametrize("name", ["b.parquet", "b.arrow"])
def test_text_that_is_not_utf8_is_named_by_its_row(tmp_path, name):
    good = ["x"] * 1200
    column = bad_text(*(text.encode() for text in good), b"\xed\xa0\xbd", b"y")
    path = write(tmp_path / name, pa.table({"prompt": column, "n": range(1202)}))
    with pytest.raises(DataError, match=rf"{name}, row 1201: a text is not UTF-8"):
        list(read_rows(Domain("d", str(path)), None))
    with pytest.raises(DataError, match=rf"{name}, row 1201: 'prompt' is not UTF-8"):
        take_census(Domain("d", str(path)), "prompt")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path / "b.arrow", pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["x", "x"]))
    with pytest.raises(DataError, match="has the column 'x' twice"):
        list(read_rows(Domain("d", str(path)), None))


def test_a_damaged_arrow_file_is_an_error(path, tmp_path):
    broken = tmp_path / f"broken{path.suffix}"
    broken.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"is not a readable (Arrow|Parquet) file"):
        list(read_rows(Domain("d", str(broken)), None))


def test_a_missing_number_belongs_to_no_domain(tmp_path):
    path = write(tmp_path / "b.parquet", pa.table({"n": [1.5, float("nan"), None, 1.5]}))
    census = take_census(Domain("c", str(path)), "n")
    assert census.rows == {"1.5": 2} and census.without == 2


MAP = pa.map_(pa.string(), pa.string())


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_maps_are_objects_wherever_they_stand_in_a_row(tmp_path, name):
    kind = pa.list_(pa.struct([("name", pa.string()), ("parameters", MAP), ("more", pa.map_(pa.string(), MAP))]))
    tools = [
        {"name": "f", "parameters": [("type", "object")], "more": [("a", [("b", "c")]), ("d", [])]},
        {"name": "g", "parameters": [], "more": None},
    ]
    table = pa.table({"tools": pa.array([tools, None], kind), "kwargs": pa.array([[("a", None)], None], MAP)})
    first, second = [row.values for row in read_rows(Domain("d", "x"), [write(tmp_path / name, table)])]
    assert first["tools"] == [
        {"name": "f", "parameters": {"type": "object"}, "more": {"a": {"b": "c"}, "d": {}}},
        {"name": "g", "parameters": {}},
    ]
    assert first["kwargs"] == {} and second == {"tools": None, "kwargs": None}


def test_a_key_that_a_map_has_twice_is_one_error(tmp_path):
    table = pa.table({"tools": pa.array([[("a", "b")], [("a", "b"), ("a", "c")]], MAP)})
    with pytest.raises(DataError, match="rows 1 to 2: one has a map with the key 'a' twice"):
        list(read_rows(Domain("d", "x"), [write(tmp_path / "a.parquet", table)]))
