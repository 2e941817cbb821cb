"""What mixlaw has made is verified wherever it is: mixtures, and every file of an export."""

import json
import shutil

import pytest

import mixlaw
from mixlaw.cli import main
from mixlaw.core import checksums
from mixlaw.core.documents import read_document
from mixlaw.core.errors import StudyError

KINDS = {
    "rows": {"to": "trl"},
    "own rows": {"to": "llamafactory", "rows": "conversations"},
    "tokens": {"to": "axolotl", "rows": "tokens"},
    "reference": {"to": "trl", "by_reference": True},
}


@pytest.fixture(scope="module")
def exported(counted_study, tmp_path_factory):
    """Exports of one study by kind, and its mix.yaml."""
    config = shutil.copytree(counted_study.parent, tmp_path_factory.mktemp("exported") / "copy") / "mix.yaml"
    return {name: mixlaw.export(config, **options).folder for name, options in KINDS.items()}, config


@pytest.fixture(params=KINDS)
def export(request, exported, tmp_path, monkeypatch):
    """A copy of an export far from its study, as on the machine that trains."""
    monkeypatch.setattr(checksums, "_known", {})
    return shutil.copytree(exported[0][request.param], tmp_path / "moved")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # the copy may share its bytes with others by a link
    path.write_bytes(data)


def own_files(folder):
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.relative_to(folder).parts[0] != "model"]


def test_every_file_of_an_export_is_verified_wherever_it_is(export, monkeypatch):
    assert mixlaw.verify(export).sound
    assert set(read_document(export / "export.json", "export")["files"]) == {
        p.relative_to(export).as_posix() for p in own_files(export) if p.name != "export.json"
    }
    for path in own_files(export):
        sound = path.read_bytes()
        flip(path)
        monkeypatch.setattr(checksums, "_known", {})
        (problem,) = mixlaw.verify(export).problems
        assert path.name in problem.problem and problem.remedy
        path.write_bytes(sound)
    assert mixlaw.verify(export).sound


def test_the_command_ends_with_1_and_says_what_to_run_again(export, capsys):
    assert main(["verify", str(export)]) == 0
    assert "nothing, all is sound" in " ".join(capsys.readouterr().out.split())
    (export / "README.md").unlink()
    assert main(["verify", str(export)]) == 1
    said = capsys.readouterr()
    assert "README.md cannot be read" in " ".join(said.err.split())
    assert "mixlaw verify" in said.out + said.err and "mixlaw run" not in said.out + said.err


@pytest.mark.parametrize("name", KINDS)
def test_an_export_that_has_changed_is_not_written_over_or_believed(name, exported, monkeypatch):
    folders, config = exported
    before = {path: path.read_bytes() for path in own_files(folders[name])}
    mixlaw.export(config, **KINDS[name])  # the same again changes nothing
    assert {path: path.read_bytes() for path in own_files(folders[name])} == before
    path = next(path for path in before if path.suffix in (".jsonl", ".parquet", ".py", ".yaml"))
    flip(path)
    monkeypatch.setattr(checksums, "_known", {})
    with pytest.raises(StudyError, match=f"{path.name} has changed since it was written"):
        mixlaw.export(config, **KINDS[name])
    assert not mixlaw.verify(config, retrain=0).sound
    path.write_bytes(before[path])
    assert mixlaw.verify(config, retrain=0).sound


def test_a_mixture_outside_of_its_study_is_verified(exported, tmp_path, monkeypatch):
    folder = mixlaw.mix(exported[1], out=tmp_path / "mixture").folder
    assert mixlaw.verify(folder).sound
    flip(folder / "train.jsonl")
    monkeypatch.setattr(checksums, "_known", {})
    (problem,) = mixlaw.verify(folder).problems
    assert "train.jsonl has changed since it was written" in problem.problem


def test_an_export_of_an_earlier_version_is_read(exported, tmp_path):
    folder = shutil.copytree(exported[0]["rows"], tmp_path / "old")
    value = read_document(folder / "export.json", "export")
    del value["files"]
    (folder / "export.json").write_text(json.dumps(value))
    assert mixlaw.verify(folder).sound
