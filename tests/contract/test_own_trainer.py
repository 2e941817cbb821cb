"""A trainer outside the package, that of docs/trainers.md: from mix.yaml to a report, without a change in mixlaw."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

import mixlaw
from mixlaw.api.project import Project
from mixlaw.core.errors import ConfigError
from mixlaw.study.ray_inputs import input_folders
from mixlaw.study.ray_node import job_of, train_on_node
from mixlaw.testing import TRAINER_CHECKS
from page_trainer import write_own_trainer
from small_demo import write_small_demo


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """Return the folder of own_trainer.py, which this process can import."""
    folder = tmp_path_factory.mktemp("module")
    write_own_trainer(folder)
    sys.path.insert(0, str(folder))
    importlib.import_module("own_trainer")
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("own_trainer", None)


@pytest.fixture
def config(tmp_path):
    """Return a mix.yaml of the small demo, with own_trainer.py beside it."""
    pytest.importorskip("transformers")
    path = write_small_demo(tmp_path)
    write_own_trainer(tmp_path)
    text = path.read_text(encoding="utf-8")
    keys = "train:\n  trainer: own_trainer:Bigram\n  smoothing: 50\n"
    text = text.replace("train:\n", keys).replace("  seed: 0", "  seed: 0\n  runs: 6") + "fit: {law: transfer}\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_the_trainer_conforms(module, check):
    check("own_trainer:Bigram", {"smoothing": 50.0})


def test_it_has_at_most_sixty_lines_of_code(module):
    lines = (module / "own_trainer.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60


def mixlaw_says(*words, cwd):
    """Return what the command line ends with: status, stdout, stderr."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p.rstrip("/").endswith("src"))
    command = [sys.executable, "-m", "mixlaw", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_a_whole_study_from_its_yaml_to_a_report(config, tmp_path_factory):
    code, out, err = mixlaw_says("run", config, "--json", cwd=tmp_path_factory.mktemp("elsewhere"))
    assert code == 0, err
    solution = json.loads(out)["solution"]
    assert set(solution["weights"]) == {"instruction", "math", "code"}
    study = config.parent / "study"
    trainer = json.loads((study / "trainer.json").read_text(encoding="utf-8"))
    assert (trainer["trainer"], trainer["options"]) == ("own_trainer:Bigram", {"smoothing": 50.0})
    records = [json.loads(path.read_text(encoding="utf-8")) for path in study.glob("runs/*/record.json")]
    assert len(records) == len({record["losses"]["math"]["nats"] for record in records}) == 6
    assert "own_trainer:Bigram" in (study / "report" / "report.json").read_text(encoding="utf-8")
    assert (study / "report" / "report.html").stat().st_size > 10_000


def test_a_node_of_a_cluster_trains_with_it(config):
    project = Project.open(config)
    spec = project.design[0][0]
    job = job_of(spec, project.trainer_config, input_folders(project.trainer_config), {})
    told = dict(train_on_node(job, pytest.fail, lambda *step: None))
    assert told["done"]["record"]["spec"]["id"] == spec.id


def problem_of(config, old, new):
    config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        mixlaw.plan(config)
    assert not (config.parent / "study").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("smoothing: 50", "smoothing: 0", "train.smoothing: Input should be greater than 0"),
        ("smoothing: 50", "smothing: 50", "train.smothing: unknown key, did you mean 'smoothing'?"),
        ("smoothing: 50", "peft: {r: 8}", "peft is an option of trainer: native and trl; remove it, or change trainer"),
        ("own_trainer:Bigram", "own_trainer:Trigram", "has no attribute 'Trigram'"),
        ("own_trainer:Bigram", "no_such_module:Bigram", "No module named 'no_such_module'"),
        ("own_trainer:Bigram", "own_trainer:BigramOptions", "not a subclass of mixlaw.train.trainer.Trainer"),
        ("own_trainer:Bigram", "nativ", "there is no trainer 'nativ'; known: native, trl, command"),
    ],
)
def test_what_is_wrong_in_its_keys_is_said_before_anything_is_written(config, old, new, said):
    assert said in problem_of(config, old, new)


def test_its_problems_are_reported_with_all_others(config):
    text = problem_of(config, "smoothing: 50", "smoothing: 0\n  max_lenght: 3")
    assert "has 2 problems" in text and "did you mean 'max_length'?" in text


def test_code_is_not_run_because_a_study_names_it(config):
    mixlaw.plan(config)
    with pytest.raises(ConfigError, match=r"trained by own_trainer:Bigram; .* Give the study's mix.yaml"):
        mixlaw.report(config.parent / "study")
