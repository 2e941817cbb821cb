"""A mixture that a killed process has begun is gone on with only where what is there is as it was written."""

import random
import shutil

import pytest

from mixlaw.core import checksums
from mixlaw.core.mixture import Mixture
from mixlaw.data import materialise as materialise_module
from mixlaw.data import mixture_files
from mixlaw.data.materialise import materialise

MIXTURE = Mixture({"first": 0.5, "second": 0.5}, 3000)


@pytest.fixture
def prepared(prepare, sound_cache, tmp_path):
    return prepare(shutil.copytree(sound_cache, tmp_path / "tokens"))


@pytest.fixture
def begun(domains, prepared, tmp_path, monkeypatch):
    """Write two of three files, then die; return the working folder."""
    real, calls = mixture_files.assemble, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mixture_files, "assemble", dies)
        with pytest.raises(KeyboardInterrupt):
            materialise(domains, prepared, MIXTURE, tmp_path / "mix", shards=3, workers=1)
    (folder,) = tmp_path.glob(".mix.*.partial")
    return folder


def test_no_flipped_bit_in_an_unfinished_mixture_reaches_its_files(
    begun, domains, prepared, tmp_path, monkeypatch, caplog
):
    whole = materialise(domains, prepared, MIXTURE, tmp_path / "whole", shards=3, workers=1)
    kept = shutil.copytree(begun, tmp_path / "kept")
    rng, said = random.Random(0), 0
    files = [path.relative_to(kept) for path in sorted(kept.rglob("*")) if path.is_file() and path.stat().st_size]
    assert {".bin", ".npy", ".json", ".jsonl"} <= {path.suffix for path in files}
    for name in files:
        shutil.rmtree(begun, ignore_errors=True)
        shutil.rmtree(tmp_path / "mix", ignore_errors=True)
        shutil.copytree(kept, begun)
        data = bytearray((begun / name).read_bytes())
        place = rng.randrange(8 * len(data))
        data[place // 8] ^= 1 << place % 8
        (begun / name).write_bytes(data)
        monkeypatch.setattr(checksums, "_known", {})
        caplog.clear()
        manifest = materialise(domains, prepared, MIXTURE, tmp_path / "mix", shards=3, workers=1)
        assert manifest == whole, name
        for file in whole["files"]:
            assert (tmp_path / "mix" / file["name"]).read_bytes() == (tmp_path / "whole" / file["name"]).read_bytes()
        said += "is written anew" in caplog.text
    assert said >= len(files) / 2  # the notes of the first pass say nothing but that it is done


def test_a_damaged_file_of_a_finished_mixture_is_written_anew_and_this_is_said(domains, prepared, tmp_path, caplog):
    manifest = materialise(domains, prepared, MIXTURE, tmp_path / "mix", workers=1)
    path = tmp_path / "mix" / manifest["files"][0]["name"]
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"say", b"sax", 1))
    assert materialise(domains, prepared, MIXTURE, tmp_path / "mix", workers=1) == manifest
    assert path.read_bytes() == sound and f"{path} has changed since it was written" in caplog.text


def test_an_undamaged_one_is_gone_on_with(begun, domains, prepared, tmp_path, monkeypatch, caplog):
    calls = []
    real = mixture_files.write_plan
    monkeypatch.setattr(materialise_module, "write_plan", lambda *a: calls.append(a) or real(*a))
    materialise(domains, prepared, MIXTURE, tmp_path / "mix", shards=3, workers=1)
    assert not calls and not caplog.text and not begun.exists()
