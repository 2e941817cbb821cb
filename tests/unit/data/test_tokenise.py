"""What a domain's preparation gives does not depend on how its source is cut and how many processes work."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.readers import Tally, Wanted
from mixlaw.data.reading import Source, read_rows


def write_parquet(path: Path, rows, group: int = 40) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    return path


@pytest.fixture
def pieces_of(monkeypatch):
    """Cut sources into pieces of so many bytes."""
    return lambda size: monkeypatch.setattr(Source.pieces, "__defaults__", (size,))


@pytest.fixture
def rows(chats):
    """Conversations with copies of some, blank lines between, and answers beyond the length of a row."""
    found = [*chats(150), *chats(40, "again "), *chats(60)]
    found += [{"prompt": "q" * 600, "completion": "a"}, {"prompt": "é" * 9, "completion": "漢字 " * 400}]
    found = [
        row
        if "messages" in row
        else {
            "messages": [{"role": r, "content": row[c]} for r, c in (("user", "prompt"), ("assistant", "completion"))]
        }
        for row in found
    ]
    return random.Random(0).sample(found, len(found))


def files_of(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder"])
def test_one_piece_many_pieces_and_many_processes_write_the_same_bytes(
    write_lines, rows, prepare, tmp_path, pieces_of, kind
):
    lines = [line for i, row in enumerate(rows) for line in ([b""] * (i % 7 == 0) + [row])]
    if kind == "jsonl":
        path = write_lines("a.jsonl", lines)
    elif kind == "parquet":
        path = write_parquet(tmp_path / "a.parquet", rows)
    else:
        write_lines("data/a.jsonl", lines[:100])
        write_lines("data/b.jsonl.gz", lines[100:200])
        path = write_parquet(tmp_path / "data" / "c.parquet", rows[180:]).parent
    found = []
    for size, workers in ((1 << 30, 1), (3_000, 1), (9_000, 2)):
        pieces_of(size)
        cache = tmp_path / f"cache-{size}"
        prepared = prepare(path, validation_rows=9, max_length=300, cache_dir=cache, workers=workers)
        assert len(Source(Domain("d", str(path))).pieces()) >= {1 << 30: 1, 3_000: 5, 9_000: 2}[size]
        found.append((files_of(cache), prepared.to_json()))
    assert found[0] == found[1] == found[2]
    assert prepared.truncated > 0 and prepared.dropped > 0 and prepared.duplicates > 0


@pytest.mark.parametrize("size", [1, 50, 333, 5_000])
def test_the_pieces_of_a_file_are_its_lines(write_lines, size):
    rng = random.Random(size)
    lines = [b"" if rng.random() < 0.2 else json.dumps({"x": "é" * rng.randint(0, 40)}).encode() for _ in range(200)]
    path = write_lines("a.jsonl", [b"\xef\xbb\xbf" + b'{"x": "first"}', *lines, b" \t", b"\x1c", "\u00a0".encode()])
    source = Source(Domain("d", str(path)))
    whole = list(read_rows(source.domain, source))
    found, before = [], 0
    for piece in source.pieces(size):
        tally = Tally()
        lines_before = source.lines_before(piece)
        found += [(r.values, r.place, r.number + before) for r in source.read(piece, None, tally, lines_before)]
        assert source.count(piece) == tally.rows
        before += tally.rows
    assert found == [(row.values, row.place, row.number) for row in whole]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "gz"])
def test_rows_wanted_by_number_are_those_rows(write_lines, tmp_path, kind):
    rows = [{"x": i, "y": {"z": [i, None]}} for i in range(300)]
    path = write_parquet(tmp_path / "a.parquet", rows) if kind == "parquet" else None
    lines = [line for row in rows for line in (b"", row)]
    path = path or write_lines("a.jsonl" + ".gz" * (kind == "gz"), lines)
    source = Source(Domain("d", str(path)))
    numbers = np.array(sorted(random.Random(1).sample(range(300), 25)))
    before, found = 0, []
    for piece in source.pieces(700):
        count = source.count(piece)
        a, b = np.searchsorted(numbers, [before, before + count])
        found += [
            (row.values, row.number + before) for row in source.read(piece, Wanted(numbers=numbers[a:b] - before))
        ]
        before += count
    assert found == [(rows[n], n) for n in numbers]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_later_piece_names_the_line_of_the_file(
    write_lines, chats, prepare, pieces_of, tmp_path, workers
):
    pieces_of(2_000)
    path = write_lines("a.jsonl", [b"", *chats(120), b"{", *chats(50), b"[]"])
    with pytest.raises(DataError, match=r"a\.jsonl, line 122: not valid JSON"):
        prepare(path, workers=workers)
    path = write_lines("b.jsonl", [*chats(120), {"messages": [{"role": "user", "content": "q"}]}, b"{"])
    with pytest.raises(DataError, match=r"b\.jsonl, line 121: no assistant turn"):
        prepare(path, workers=workers)
    assert list((tmp_path / "cache").iterdir()) == []


def test_parts_that_a_killed_process_left_are_removed(write_lines, chats, prepare, tmp_path):
    old = tmp_path / "cache" / ".parts.gone"
    old.mkdir(parents=True)
    (old / "lock").touch()
    (old / "0.0.ids").write_bytes(b"1234")
    prepare(write_lines("a.jsonl", chats(50)))
    assert not old.exists()


def test_supervised_tokens_of_rows_are_counted_in_blocks(write_lines, rows, prepare, monkeypatch):
    from mixlaw.data import rows as rows_module

    monkeypatch.setattr(rows_module, "_ROWS_AT_ONCE", 7)
    train = prepare(write_lines("a.jsonl", rows)).train
    bounds = zip(train.offsets[:-1], train.offsets[1:], strict=True)
    assert train.row_supervised.tolist() == [int(train.supervised[a:b].sum()) for a, b in bounds]
