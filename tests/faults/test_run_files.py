"""What a finished run leaves beside its record is verified before it is used."""

import pytest

from mixlaw.core import checksums
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.study.store import Study

SPEC = RunSpec("base-0", {"code": 600}, 0, {"model": "0" * 64}, keep_model=True)
RECORD = RunRecord(SPEC, SPEC.tokens, SPEC.tokens, SPEC.tokens, {"code": TargetLoss(900.5, 300)}, 2, 1000)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "_known", {})
    study = Study(tmp_path / "study")
    study.save_plan([SPEC])
    lease = study.claim(SPEC)
    folder = study.run_folder(SPEC)
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "steps": 2, "loss": 3.5}\n{"step": 2, "steps": 2, "loss": 3.0}\n'
    )
    (folder / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / "model" / name).write_bytes(b"{}" * 50)
    study.complete(SPEC, RECORD, {"wall_s": 2.0})
    lease.release()
    return study


def damage(path):
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


def test_a_sound_log_and_model_are_used(study):
    assert study.training_logs() == {"base-0": [(1, 3.5), (2, 3.0)]}
    assert study.model_folder(SPEC) == study.run_folder(SPEC) / "model"


def test_a_damaged_training_log_is_not_shown_and_this_is_said(study, caplog):
    path = study.run_folder(SPEC) / "metrics.jsonl"
    path.write_text(path.read_text().replace("3.0", "9.0"))
    assert study.training_logs() == {}
    assert f"{path} has changed since it was written" in caplog.text
    assert study.status()[0].state == "done" and study.model_folder(SPEC) is not None


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_model_counts_as_not_kept_and_is_trained_again(study, name, caplog):
    damage(study.run_folder(SPEC) / "model" / name)
    assert study.model_folder(SPEC) is None and f"{name} has changed since it was written" in caplog.text
    study.discard_without_model(SPEC)
    assert study.status()[0].state == "pending"


def test_with_a_damaged_timing_file_the_run_stays_done_but_its_files_are_not_used(study, caplog):
    path = study.run_folder(SPEC) / "timing.json"
    path.write_text(path.read_text().replace("2.0", "3.0"))
    (status,) = study.status()
    assert status.state == "done" and status.wall_s is None
    assert study.training_logs() == {} and study.model_folder(SPEC) is None
    assert "do not match its checksum" in caplog.text
