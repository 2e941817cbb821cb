"""`mixlaw verify` finds every file that has changed since it was written, and trains runs again, bit for bit."""

import json
import shutil

import pytest

import mixlaw
from mixlaw.cli import main
from mixlaw.core import checksums
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import ConfigError, DataError


@pytest.fixture
def config(counted_study, tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "_known", {})
    return shutil.copytree(counted_study.parent, tmp_path / "copy") / "mix.yaml"


@pytest.fixture
def study(config):
    return config.parent / "study"


def flip(path):
    data = bytearray(path.read_bytes())
    place = data.rfind(b"5") if path.suffix == ".json" and b"5" in data else len(data) // 2
    data[place] ^= 1
    path.write_bytes(data)


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_finished_study_is_sound_and_is_not_changed(config, study, capsys):
    before = files_of(config.parent)
    assert main(["verify", str(config), "--retrain", "2", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["sound"] and len(value["retrained"]) == 2 and all(run["equal"] for run in value["retrained"])
    assert {"runs", "fit and solution", "cached tokens and texts", "mixtures"} <= {c["what"] for c in value["checked"]}
    assert files_of(config.parent) == before


@pytest.mark.parametrize(
    "pattern",
    [
        *("plan.json", "fit.json", "solution.json", "runs/*/record.json", "runs/*/timing.json", "domains.json"),
        *(
            "cache/tokens/*/train/ids.npy",
            "cache/tokens/*/content.npy",
            "mixtures/*/*.jsonl",
            "mixtures/*/manifest.json",
        ),
    ],
)
def test_a_flipped_bit_is_named_with_its_file_and_a_remedy(study, pattern, capsys):
    path = next(iter(sorted(study.glob(pattern))))
    flip(path)
    result = mixlaw.verify(study, retrain=0)
    assert not result.sound
    (problem,) = {p.problem: p for p in result.problems}.values()
    assert path.name in problem.problem and problem.remedy
    assert main(["verify", str(study), "--retrain", "0"]) == 1
    captured = capsys.readouterr()
    assert path.name in " ".join(captured.err.split())
    assert " ".join(captured.out.split()).endswith("mix.yaml")  # a study folder cannot be run


def test_a_source_that_has_changed_or_gone_is_named(config, study):
    mixlaw.plan(config)  # the copy's files, and not those that the study was made with
    (config.parent / "chat.jsonl").write_text("{}\n")
    (config.parent / "math.jsonl").unlink()
    said = [problem.problem for problem in mixlaw.verify(study, retrain=0).problems]
    assert len(said) == 2 and "its content has changed" in said[0] and "is not there any more" in said[1]


def test_a_record_with_another_loss_and_a_right_checksum_is_found_out_by_training(config, study):
    for path in study.glob("runs/*/record.json"):
        record = read_document(path, "record")
        record["losses"]["chat"]["nats"] *= 1.0001
        write_document(path, "record", record)
    result = mixlaw.verify(config, retrain=1)
    assert not result.sound and result.problems[0].problem.endswith("than its record has.")
    (run,) = result.retrained
    assert not run.equal and run.largest_difference_nats > 1e-6 and "the record or what the run read" in run.remark
    for path in study.glob("runs/*/timing.json"):  # of a trainer that has another order of operations since
        write_document(path, "timing", read_document(path, "timing") | {"arithmetic": 1})
    (run,) = mixlaw.verify(config, retrain=1).retrained
    assert "another arithmetic, which may explain it" in run.remark


def test_a_record_in_the_folder_of_another_run_is_found(study):
    first, second, *_ = sorted(study.glob("runs/*/record.json"))
    shutil.copyfile(first, second)
    said = [problem.problem for problem in mixlaw.verify(study, retrain=0).problems]
    assert any("which belongs into" in problem for problem in said)


def test_code_that_only_the_studys_files_name_is_not_run(study):
    result = mixlaw.verify(study)
    assert result.sound and not result.retrained and "Name the study's mix.yaml" in result.not_retrained


def test_what_is_no_study_is_one_error(tmp_path):
    with pytest.raises(DataError, match="is no study folder"):
        mixlaw.verify(tmp_path)
    with pytest.raises(ConfigError, match="--retrain is -1"):
        mixlaw.verify(tmp_path, retrain=-1)
