import bz2
import gzip
import lzma
import sys

import numpy as np
import pyarrow as pa
import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.data.reading import Source, read_rows, source_files


def rows_of(path, **changes):
    domain = Domain("d", str(path), **changes)
    return list(read_rows(domain, source_files(domain)))


def fails(path, **changes):
    with pytest.raises(DataError) as caught:
        rows_of(path, **changes)
    assert caught.value.hint
    return str(caught.value)


def write_parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson", "a.json", "a.json.gz"])
def test_json_lines_are_read_plain_and_gzipped(write_lines, name):
    rows = rows_of(write_lines(name, [{"x": "ä"}, {"x": "\u2028 one line"}]))
    assert [row.values for row in rows] == [{"x": "ä"}, {"x": "\u2028 one line"}]
    assert [row.number for row in rows] == [0, 1]
    assert rows[1].place.endswith(f"{name}, line 2")


def test_blank_lines_and_a_byte_order_mark_are_ignored_and_lines_still_counted(write_lines):
    rows = rows_of(write_lines("a.jsonl", [b'\xef\xbb\xbf{"x": 1}', b"", b"  \r", b'{"x": 2}']))
    assert [row.values["x"] for row in rows] == [1, 2]
    assert [row.number for row in rows] == [0, 1]
    assert rows[1].place.endswith("line 4")


def test_parquet_gives_the_rows_of_jsonl(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "a"}], "n": i, "none": None} for i in range(1500)]
    read = rows_of(write_parquet(tmp_path / "a.parquet", rows))
    assert [row.values for row in read] == rows
    assert read[-1].place.endswith("a.parquet, row 1500")


def test_a_folder_and_a_glob_are_their_files_sorted_by_name_with_rows_numbered_through(write_lines, tmp_path):
    write_lines("data/b.jsonl", [{"x": 2}])
    write_lines("data/a.jsonl.gz", [{"x": 0}, {"x": 1}])
    write_parquet(tmp_path / "data" / "c.parquet", [{"x": 3}])
    (tmp_path / "data" / "d.json").write_text('[{"x": 4},\n{"x": 5}]')
    (tmp_path / "data" / "e.CSV").write_text("x\n6\n")
    for other in ("notes.txt", "dataset_info.json", "state.json", "manifest.json", "._a.jsonl"):
        (tmp_path / "data" / other).write_text("no rows")
    for path in (tmp_path / "data", tmp_path / "data" / "*"):
        rows = rows_of(path)
        assert [int(row.values["x"]) for row in rows] == [0, 1, 2, 3, 4, 5, 6] == [row.number for row in rows]
    assert [row.values["x"] for row in rows_of(tmp_path / "data" / "*.parquet")] == [3]


@pytest.mark.parametrize(
    "name",
    ["missing.jsonl", "./missing", "../missing", "missing.parquet", "a/b/missing", "missing.jsonl.gz", "a.csv.zst"],
)
def test_a_missing_file_is_not_looked_for_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such file" in fails(name).lower()


def test_an_absolute_missing_path_is_no_such_file(tmp_path):
    assert "no such file" in fails(tmp_path / "missing").lower()


def test_a_folder_or_glob_without_data_files_is_an_error(tmp_path):
    assert "holds no" in fails(tmp_path)
    assert "no file matches" in fails(tmp_path / "*.jsonl")


def test_an_unknown_kind_of_file_is_an_error(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    assert ".jsonl" in fails(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (b'{"x": 1', "line 2: not valid JSON"),
        (b"{x: 1}", "line 2: not valid JSON"),
        (b"[1, 2]", "line 2: a row must be an object, not a JSON list"),
        (b'"text"', "line 2: a row must be an object, not a JSON str"),
        (b'{"x": "\xff"}', "line 2: not UTF-8"),
        (b'{"x": ' + b"9" * 5000 + b"}", "line 2: cannot be read"),
        (b'{"x": ' + b"[" * 200_000 + b"}", "line 2: "),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(write_lines, line, fact):
    path = write_lines("a.jsonl", [{"x": 0}, line, {"x": 2}])
    assert f"{path}, {fact}" in fails(path)


PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
SAID = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "Zstandard"}


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_compressed_text_is_read_whole_and_joined_parts_too(tmp_path, kind, name):
    lines = [b"x"] if name == "a.csv" else []
    lines += [b"1", b"2"] if name == "a.csv" else [b'{"x": 1}', b'{"x": 2}']
    text = b"[" + b",".join(lines) + b"]" if name == "a.json" else b"\n".join(lines) + b"\n"
    path = tmp_path / f"{name}.{kind}"
    path.write_bytes(PACK[kind](text[:4]) + PACK[kind](text[4:]))
    assert [int(row.values["x"]) for row in rows_of(path)] == [1, 2]
    source = Source(Domain("d", str(path)))
    assert [source.count(piece) for piece in source.pieces(1)] == [2] and source.bytes > path.stat().st_size


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
@pytest.mark.parametrize("keep", [5, 20, -9, None])
def test_a_truncated_compressed_file_or_one_that_only_says_so_is_an_error(tmp_path, kind, name, keep):
    random = np.random.default_rng(0).bytes(2000).hex()
    text = f'[{{"x": "{random}"}}, {{"x": 2}}]' if name == "a.json" else f'{{"x": "{random}"}}\n' * 3
    path = tmp_path / f"{name}.{kind}"
    path.write_bytes(text.encode() if keep is None else PACK[kind](text.encode())[:keep])
    assert f"damaged {SAID[kind]}" in fails(path)


def test_without_pyarrow_zstandard_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(PACK["zst"](b'{"x": 1}\n'))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"Zstandard needs .*mixlaw\[train\]"):
        rows_of(path)


def test_a_damaged_parquet_file_is_an_error(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    assert "not a readable Parquet file" in fails(path)
    whole = write_parquet(tmp_path / "b.parquet", [{"x": "a" * 50}] * 100).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable Parquet file" in fails(path)


def test_text_in_parquet_that_is_not_utf8_is_an_error(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    text = pa.array([b"fine", b"\xff\xfe"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"prompt": text}), tmp_path / "a.parquet")
    assert "not UTF-8" in fails(tmp_path / "a.parquet")


def test_without_pyarrow_parquet_names_the_extra(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", [{"x": 1}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"mixlaw\[train\]"):
        rows_of(path)


def test_a_dataset_id_is_loaded_with_its_subset_split_and_revision(monkeypatch):
    import datasets

    asked = []

    def load_dataset(path, subset, **more):
        asked.append((path, subset, more))
        return datasets.Dataset.from_list([{"prompt": "a", "completion": "b"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = rows_of("org/chats", subset="main", split="test", revision="abc")
    assert asked == [("org/chats", "main", {"split": "test", "revision": "abc"})]
    assert rows[0].values == {"prompt": "a", "completion": "b"} and rows[0].place == "org/chats (test), row 1"


@pytest.mark.parametrize("asked", [{"split": "test"}, {"split": "train[:100]"}, {"subset": "b"}, {"revision": "abc"}])
def test_local_files_have_no_splits_subsets_or_revisions(write_lines, asked):
    path = write_lines("a.jsonl", [{"x": 1}])
    for place in (path, path.parent, path.parent / "*.jsonl"):
        (key, value), text = next(iter(asked.items())), fails(place, **asked)
        assert f"{key} is {value!r}" in text and f"Leave out {key}" in text
    assert len(rows_of(path, split="train")) == 1  # all there is


def test_a_folder_of_several_splits_is_not_read_as_one(write_lines):
    train = write_lines("train-00000-of-00001.jsonl", [{"x": 1}])
    write_lines("trainers.jsonl", [{"x": 2}])
    assert len(rows_of(train.parent)) == 2
    write_lines("Test.jsonl", [{"x": 3}])
    text = fails(train.parent)
    assert "splits test, train" in text and "train*" in text
    assert len(rows_of(train.parent / "train-*")) == 1 and len(rows_of(train.parent / "*")) == 3


def test_a_dataset_that_cannot_be_loaded_is_one_error(monkeypatch):
    import datasets

    def load_dataset(*args, **more):
        raise ConnectionError("Couldn't reach the hub\nand much more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    text = fails("org/chats")
    assert "Couldn't reach the hub" in text and "much more" not in text and "network" in text
