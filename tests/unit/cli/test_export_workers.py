"""`mixlaw export --to skypilot` and `--to kubernetes`: files that start a study's workers, and what is said."""

import json
from pathlib import Path

import pytest
import yaml

from mixlaw.cli import main
from mixlaw.core.documents import read_document
from small_demo import write_small_demo


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_small_demo(tmp_path_factory.mktemp("export"))


def test_an_export_plans_the_runs_writes_the_trainer_and_says_what_to_copy(config, capsys):
    words = ["export", str(config), "--to", "kubernetes", "--storage", "pvc", "--workers", "3", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    job = yaml.safe_load(Path(said["file"]).read_text(encoding="utf-8"))
    assert job["spec"]["completions"] == 3 and said["command"] == "kubectl apply -f mixlaw-workers.k8s.yaml"
    notes = " ".join(said["notes"])
    assert "14 runs are left for 3 workers" in notes and "to the volume pvc" in notes
    assert "Workers also need, under the same paths: " in notes and "tiny_base" in notes
    study = config.parent / "study"
    assert (study / "plan.json").is_file() and read_document(study / "trainer.json", "trainer")["trainer"] == "native"
    assert main(words) == 0  # the same again changes nothing
    capsys.readouterr()
    assert main([*words[:-2], "2"]) == 1
    assert "an export never replaces a file" in capsys.readouterr().err.replace("\n", " ")


def test_a_bucket_gets_parts_and_four_workers_unless_asked_otherwise(config, capsys):
    assert main(["export", str(config), "--to", "skypilot", "--storage", "s3://b/s", "--accelerators", "L4:1"]) == 0
    captured = capsys.readouterr()
    text = (captured.out + captured.err).replace("\n", " ")
    assert "each worker has its own part" in text and "seq 0 3" in text and "sky jobs launch" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "skypilot"], "--to skypilot needs --storage"),
        (["--to", "kubernetes", "--storage", "gs://b"], "Kubernetes mounts volumes, not buckets."),
        (["--to", "trl", "--storage", "pvc"], "are for workers on a cloud"),
        (["--to", "modal"], "there is no tool 'modal'"),
    ],
)
def test_what_cannot_be_exported_is_one_error(config, capsys, words, said):
    assert main(["export", str(config), *words]) == 1
    assert said in capsys.readouterr().err.replace("\n", " ")
