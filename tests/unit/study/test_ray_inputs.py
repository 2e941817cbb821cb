import os
import threading

import pytest

from mixlaw.study.ray_inputs import Folder, batches, files_below, input_folders, moved, pack, place, write_batch


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "there"
    (base / "deep").mkdir(parents=True)
    (base / "empty").write_bytes(b"")
    (base / "small").write_bytes(b"abc")
    (base / "deep" / "large").write_bytes(bytes(range(256)) * 10)
    (base / ".hidden").write_bytes(b"x")
    return Folder.of(base, files_below(base))


def gone(folder):
    """The same folder, as a machine sees it that does not have it."""
    return Folder(folder.base + "-elsewhere", folder.files)


@pytest.mark.parametrize("limit", [1, 7, 256, 2560, 2563, 10**6])
def test_a_folder_arrives_as_it_was_whatever_the_size_of_its_pieces(tmp_path, folder, limit):
    base, copy = tmp_path / "there", tmp_path / "copy"
    pieces = list(batches(base, folder.files, limit))
    assert all(sum(len(data) for _, data in batch) <= limit for batch in pieces)
    for batch in pieces:
        write_batch(batch, copy)
    assert files_below(copy) == ["deep/large", "empty", "small"]
    assert all((copy / name).read_bytes() == (base / name).read_bytes() for name in folder.files)


def test_the_key_follows_names_and_content_and_neither_place_nor_time(tmp_path, folder):
    key = pack(folder, id).key
    os.utime(tmp_path / "there" / "small", (0, 0))
    (tmp_path / "there").rename(tmp_path / "other")
    there = Folder.of(tmp_path / "other", folder.files)
    assert pack(there, id).key == key
    (tmp_path / "other" / "small").rename(tmp_path / "other" / "smaller")
    renamed = Folder.of(tmp_path / "other", files_below(tmp_path / "other"))
    (tmp_path / "other" / "smaller").write_bytes(b"abd")
    changed = pack(renamed, id).key
    assert len({key, changed, pack(renamed, id).key}) == 2


def test_files_on_shared_storage_are_used_where_they_lie_and_changed_ones_are_not(tmp_path, folder):
    assert str(place(folder, None, pytest.fail, tmp_path / "cache")) == folder.base
    os.utime(tmp_path / "there" / "small", ns=(1, 1))
    assert place(folder, None, pytest.fail, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


def test_a_node_fetches_a_folder_once_however_many_runs_begin(tmp_path, folder):
    packed, fetched, found = pack(folder, lambda batch: batch, 100), [], []

    def get(batch):
        fetched.append(batch)
        return batch

    def begin():
        found.append(place(gone(folder), packed, get, tmp_path / "cache"))

    threads = [threading.Thread(target=begin) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {tmp_path / "cache" / packed.key} and len(fetched) == len(packed.batches)
    assert (found[0] / "deep" / "large").read_bytes() == bytes(range(256)) * 10


def test_a_transfer_that_breaks_off_leaves_nothing_that_looks_whole(tmp_path, folder):
    packed = pack(folder, lambda batch: batch, 100)

    def get(batch):
        if batch is packed.batches[3]:
            raise OSError("lost")
        return batch

    with pytest.raises(OSError, match="lost"):
        place(gone(folder), packed, get, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_trainer_reads_its_rows_and_its_model_from_where_they_were_placed(tmp_path, tiny_config):
    folders = input_folders(tiny_config)
    cache = tmp_path / "cache"
    places = {f.base: place(gone(f), pack(f, lambda batch: batch), lambda batch: batch, cache) for f in folders}
    here = moved(tiny_config, places)
    assert here.inputs == type(here).of(here.model, here.train, here.train_rows, here.validation_rows).inputs
    paths = [here.model.name_or_path, *here.train_rows.values(), *here.validation_rows.values()]
    assert all(str(path).startswith(str(cache)) for path in paths)


def test_the_text_of_the_rows_travels_for_the_trainer_that_reads_it(tmp_path, tiny_config):
    import dataclasses
    import shutil

    domain = tmp_path / "domain"
    for part, rows in (("train", tiny_config.train_rows), ("validation", tiny_config.validation_rows)):
        shutil.copytree(rows["code"], domain / part)
        for suffix in ("jsonl", "npy"):
            (domain / "text").mkdir(exist_ok=True)
            (domain / "text" / f"{part}.{suffix}").write_bytes(b"")
    rows = {"train_rows": {"code": domain / "train"}, "validation_rows": {"code": domain / "validation"}}
    for trainer, count in (("native", 0), ("command", 4)):
        config = dataclasses.replace(tiny_config, trainer=trainer, **rows)
        (folder,) = [folder for folder in input_folders(config) if folder.base == str(domain.resolve())]
        assert sum(name.startswith("text/") for name in folder.files) == count
