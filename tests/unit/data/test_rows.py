import os

import numpy as np
import pytest

from mixlaw.core.errors import DataError
from mixlaw.data import rows as rows_module
from mixlaw.data.rows import TokenRows, replace_folder, sample_rows


def write(folder, lengths, supervised=None):
    arrays = [(np.arange(n, dtype=np.uint32), np.ones(n, np.uint8)) for n in lengths]
    for r, mask in enumerate(supervised or []):
        arrays[r] = (arrays[r][0], np.array(mask, np.uint8))
    return TokenRows.write(folder, arrays, [10 * r for r in range(len(lengths))], [3] * len(lengths))


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = write(tmp_path / "a", [3, 1, 2], [[0, 1, 1], [1], [0, 0]])
    for opened in (rows, TokenRows.open(tmp_path / "a"), TokenRows.open(str(tmp_path / "a"))):
        assert len(opened) == 3 and opened.tokens == 6
        assert opened.ids.tolist() == [0, 1, 2, 0, 0, 1] and opened.ids.dtype == np.uint32
        assert opened.offsets.tolist() == [0, 3, 4, 6] and opened.offsets.dtype == np.int64
        assert opened.supervised.dtype == np.uint8
        assert opened.row_tokens.tolist() == [3, 1, 2]
        assert opened.row_supervised.tolist() == [2, 1, 0] and opened.supervised_tokens == 3
        assert opened.source_rows.tolist() == [0, 10, 20] and opened.supervised_bytes_total == 9
        assert isinstance(opened.ids, np.memmap)


def test_the_fingerprint_is_of_ids_mask_and_bounds_alone(tmp_path):
    same = write(tmp_path / "a", [3, 1]).fingerprint
    assert write(tmp_path / "b", [3, 1]).fingerprint == same
    assert write(tmp_path / "c", [1, 3]).fingerprint != same
    assert write(tmp_path / "d", [3, 1], [[0, 1, 1]]).fingerprint != same


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_a_missing_or_damaged_folder_is_one_error(tmp_path, damage):
    write(tmp_path / "a", [3, 1])
    file = tmp_path / "a" / "ids.npy"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else b"garbage")
    with pytest.raises(DataError, match=r"ids\.npy (cannot be read|has changed since it was written)"):
        TokenRows.open(tmp_path / "a")
    with pytest.raises(DataError, match="does not hold rows of tokens"):
        TokenRows.open(tmp_path / "b")


def test_writing_leaves_nothing_beside_the_folder_and_replaces_an_earlier_one(tmp_path):
    write(tmp_path / "a", [3])
    assert write(tmp_path / "a", [2, 2]).row_tokens.tolist() == [2, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_earlier_rows(tmp_path, monkeypatch):
    write(tmp_path / "a", [3])
    monkeypatch.setattr(rows_module, "write_document", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a", [2, 2])
    assert TokenRows.open(tmp_path / "a").row_tokens.tolist() == [3]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_moved_into_place_leaves_the_earlier_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", tmp_path / "a")
    assert (tmp_path / "a" / "old").exists() and os.listdir(tmp_path) == ["a"]


def test_no_tokens_wanted_give_no_rows_and_one_token_gives_one(tmp_path):
    rows = write(tmp_path / "a", [50, 60, 70])
    assert len(sample_rows(rows, 0, 1, "a")) == 0
    assert len(sample_rows(rows, -5, 1, "a")) == 0
    assert len(sample_rows(rows, 1, 1, "a")) == 1


def test_all_tokens_wanted_give_every_row_once_in_shuffled_order(tmp_path):
    rows = write(tmp_path / "a", list(range(1, 41)))
    sample = sample_rows(rows, rows.tokens, 1, "a")
    assert sorted(sample) == list(range(40)) != list(sample)


def test_each_pass_has_an_order_of_its_own(tmp_path):
    rows = write(tmp_path / "a", [5] * 40)
    sample = sample_rows(rows, 3 * rows.tokens, 1, "a").reshape(3, 40)
    assert len({tuple(order) for order in sample}) == 3


def test_the_order_depends_on_seed_and_name(tmp_path):
    rows = write(tmp_path / "a", [5] * 40)
    orders = {tuple(sample_rows(rows, rows.tokens, *names)) for names in [(0, "a"), (1, "a"), (0, "b"), (0, "a")]}
    assert len(orders) == 3


def test_a_samples_order_is_pinned(tmp_path):
    # Recorded runs name their rows by seed: a change here makes every study's runs start over.
    assert sample_rows(write(tmp_path / "a", [5] * 8), 80, 0, "math").tolist() == [
        7,
        3,
        4,
        0,
        2,
        6,
        1,
        5,
        0,
        7,
        1,
        4,
        6,
        2,
        5,
        3,
    ]


def test_tokens_from_no_rows_are_an_error(tmp_path, monkeypatch):
    rows = write(tmp_path / "a", [5])
    monkeypatch.setattr(TokenRows, "__len__", lambda self: 0)
    with pytest.raises(DataError, match="without training rows"):
        sample_rows(rows, 10, 0, "a")
