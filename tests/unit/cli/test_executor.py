"""What the command line says where an executor cannot be used: one line, and the study as it was."""

import json
import sys

import pytest

from mixlaw.cli import main
from small_demo import write_small_demo


def test_without_ray_the_line_names_the_install_command_before_anything_is_written(tmp_path, monkeypatch, capsys):
    config = write_small_demo(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["train", str(config), "--executor", "ray", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "missing_extra" and error["hint"] == 'Install it with: pip install "mixlaw[ray]"'
    assert main(["run", str(config), "--executor", "ray"]) == 1
    said = capsys.readouterr().err
    assert 'pip install "mixlaw[ray]"' in said and "Traceback" not in said
    config.write_text(config.read_text(encoding="utf-8") + "\nexecutor: {kind: ray}\n", encoding="utf-8")
    assert main(["check", str(config)]) == 1
    assert 'pip install "mixlaw[ray]"' in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_an_unknown_executor_is_refused_with_those_that_there_are(tmp_path, capsys):
    config = write_small_demo(tmp_path)
    assert main(["train", str(config), "--executor", "cloud"]) == 1
    assert "The executor is 'cloud'; it must be one of local, ray, slurm." in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("verb", ["train", "run", "check"])
def test_without_slurm_the_line_says_where_to_go_before_anything_is_written(tmp_path, monkeypatch, capsys, verb):
    config = write_small_demo(tmp_path)
    config.write_text(config.read_text(encoding="utf-8") + "\nexecutor: {kind: slurm}\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([verb, str(config)]) == 1
    said = capsys.readouterr().err.replace("\n", " ")
    assert "this machine has no command sbatch." in said and "login node" in said and "Traceback" not in said
    assert not (tmp_path / "study").exists()


def test_gpus_that_the_trainer_would_not_use_are_refused(tmp_path, capsys):
    config = write_small_demo(tmp_path)
    text = config.read_text(encoding="utf-8")
    config.write_text(text + "\nexecutor: {kind: slurm, gpus_per_run: 4}\n", encoding="utf-8")
    assert main(["train", str(config)]) == 1
    said = capsys.readouterr().err.replace("\n", " ")
    assert "asks for 4 GPUs" in said and "the trainer native uses one GPU" in said


def test_a_study_without_workers_of_its_own_has_nothing_to_cancel(tmp_path, capsys):
    config = write_small_demo(tmp_path)
    assert main(["cancel", str(config)]) == 1
    assert "press Ctrl-C there" in capsys.readouterr().err.replace("\n", " ")


def test_a_cluster_that_does_not_answer_is_one_line_and_the_study_goes_on_without_it(tmp_path, capsys):
    pytest.importorskip("ray")
    config = write_small_demo(tmp_path)
    text = config.read_text(encoding="utf-8")
    config.write_text(text + "\nexecutor: {kind: ray, address: 127.0.0.1:1}\n", encoding="utf-8")
    study = tmp_path / "study"
    for prepared in (False, True):
        assert main(["train", str(config)]) == 1
        said = capsys.readouterr().err
        assert "No Ray cluster answers at 127.0.0.1:1" in said and "Traceback" not in said
        assert study.exists() == prepared  # before anything is tokenised
        assert main(["plan", str(config)]) == 0
    assert (study / "plan.json").is_file() and not (study / "trainer.json").exists()
    assert not list(study.glob("runs/*"))
