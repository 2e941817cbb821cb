"""Arrays and texts in the cache are verified: a flipped bit, a cut or a missing file is found, and made again."""

import logging
import os
import random
import resource
import shutil

import numpy as np
import pytest

from mixlaw.core import checksums
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.data.rows import TokenRows
from mixlaw.data.texts import TextRows


def content(prepared):
    """All that a study takes from its cache, as values that can be compared."""
    found = {}
    for name, domain in prepared.items():
        for part in ("train", "validation"):
            rows = getattr(domain, part)
            arrays = ("ids", "supervised", "offsets", "source_rows", "supervised_bytes")
            found[name, part] = [np.asarray(getattr(rows, key)).tobytes() for key in arrays]
            found[name, part, "text"] = b"".join(TextRows.open(rows).lines(range(len(rows))))
        found[name] = domain.to_json()
    return found


@pytest.fixture
def cache(sound_cache, tmp_path):
    return shutil.copytree(sound_cache, tmp_path / "tokens")


def files(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file() and path.suffix in (".npy", ".json", ".jsonl"))


def flip(path, place):
    """Flip a bit and put the file's times back, as damage of a disk does not touch them."""
    times, data = path.stat(), bytearray(path.read_bytes())
    data[place // 8 % len(data)] ^= 1 << place % 8
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def new_process(monkeypatch):
    """Forget what this process has verified, as another process does not know it."""
    return lambda: monkeypatch.setattr(checksums, "_known", {})


def test_no_flipped_bit_in_any_file_of_the_cache_gives_other_rows(cache, prepare, new_process, caplog):
    sound, rng = content(prepare(cache)), random.Random(0)
    kinds = {path.name for path in files(cache)}
    assert {"ids.npy", "offsets.npy", "source_rows.npy", "train.jsonl", "content.npy", "meta.json"} <= kinds
    said = 0
    for path in files(cache):
        new_process()
        flip(path, rng.randrange(8 * path.stat().st_size))
        caplog.clear()
        assert content(prepare(cache)) == sound, path
        said += "It is made again." in caplog.text
    assert said >= 0.8 * len(files(cache))  # a JSON file may say the same with one bit changed, such as a space


@pytest.mark.parametrize("part", ["train/ids.npy", "train/source_rows.npy", "text/train.jsonl", "train", "text"])
def test_a_file_cut_short_or_missing_is_made_again_and_this_is_said(part, cache, prepare, new_process, caplog):
    sound = content(prepare(cache))
    for damage in ("cut", "empty", "missing"):
        path = next(iter(sorted(cache.glob(f"*/{part}"))))
        if path.is_dir():
            shutil.rmtree(path)
        elif damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: -8 if damage == "cut" else 0])
        new_process()
        with caplog.at_level(logging.WARNING):
            assert content(prepare(cache)) == sound
        if part != "text":  # that is no damage: a study whose trainer reads no text has none
            assert "It is made again." in caplog.text


def test_a_change_is_seen_in_a_process_that_has_verified_the_file_before(sound_cache, tmp_path):
    folder = shutil.copytree(next(iter(sound_cache.glob("*/train"))), tmp_path / "train")
    TokenRows.open(folder)
    flip(folder / "ids.npy", 4000)
    os.utime(folder / "ids.npy")
    with pytest.raises(DataError, match=r"ids.npy has changed since it was written") as caught:
        TokenRows.open(folder)
    assert "made again" in caught.value.hint


def test_a_file_is_read_once_in_a_process(sound_cache, tmp_path, monkeypatch):
    folder, read = shutil.copytree(next(iter(sound_cache.glob("*/train"))), tmp_path / "train"), []

    def counted(path):
        read.append(path)
        return file_fingerprint(path)

    monkeypatch.setattr(checksums, "file_fingerprint", counted)
    for _ in range(3):
        TokenRows.open(folder)
    assert len(read) == 5


def test_rows_of_an_earlier_version_are_verified_by_their_fingerprint(sound_cache, tmp_path):
    from mixlaw.core.documents import read_document, write_document

    folder = shutil.copytree(next(iter(sound_cache.glob("*/train"))), tmp_path / "train")
    meta = read_document(folder / "meta.json", "rows")
    write_document(folder / "meta.json", "rows", {key: value for key, value in meta.items() if key != "files"})
    TokenRows.open(folder)
    flip(folder / "supervised.npy", 2000)
    os.utime(folder / "supervised.npy")
    with pytest.raises(DataError, match="do not fit their fingerprint"):
        TokenRows.open(folder)


@pytest.mark.parametrize("checksums_too", [True, False], ids=["with checksums", "of an earlier version"])
def test_an_array_that_claims_a_terabyte_takes_no_memory(sound_cache, tmp_path, checksums_too):
    """Its header is all that says so, or the file is as long and empty."""
    from mixlaw.core.documents import read_document, write_document

    for size in (0, 8 << 37):
        folder = shutil.copytree(next(iter(sound_cache.glob("*/train"))), tmp_path / f"train-{size}")
        path = folder / "offsets.npy"
        data = path.read_bytes()
        shape = data[data.index(b"(") : data.index(b")") + 1]
        header = data[:128].replace(shape, b"(%d,)" % (1 << 37)).replace(b" " * (12 - len(shape) + 3), b"", 1)
        path.write_bytes(header[:127].ljust(127) + b"\n" + data[128:])
        if size:
            os.truncate(path, 128 + size)  # it takes no place on the disk either
        meta = read_document(folder / "meta.json", "rows")
        if not checksums_too:
            write_document(folder / "meta.json", "rows", {key: value for key, value in meta.items() if key != "files"})
        elif size:
            continue  # to read a terabyte of nothing takes its time
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(DataError, match=r"offsets\.npy|does not hold rows"):
            TokenRows.open(folder)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_mixture_takes_no_row_from_a_damaged_array(domains, cache, prepare, tmp_path):
    """Damaged row numbers would put held-out rows into the training file."""
    prepared = prepare(cache)
    folder = prepared["first"].train.folder
    numbers = np.load(folder / "source_rows.npy")
    np.save(folder / "source_rows.npy", numbers[::-1])
    with pytest.raises(DataError, match=r"source_rows.npy has changed since it was written"):
        TokenRows.open(folder)
    again = prepare(cache)["first"].train
    assert np.array_equal(again.source_rows, numbers)
