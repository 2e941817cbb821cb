"""The programs in examples/trainers, with a stand-in for the tool: what it is told, what is evaluated and written."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from mixlaw.api.project import Project
from mixlaw.config import load_config
from quick_study import train_here, write_quick_demo

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
EXAMPLES = ROOT / "examples" / "trainers"
PROGRAMS = {"axolotl": "axolotl", "llamafactory": "llamafactory-cli"}
STAND_IN = """#!{python}
import json, shutil, sys
from pathlib import Path

import yaml

assert sys.argv[1] == "train" and len(sys.argv) == 3
config = yaml.safe_load(Path(sys.argv[2]).read_text())
if "datasets" in config:
    model, data = config["base_model"], [source["path"] for source in config["datasets"]]
else:
    info = json.loads((Path(config["dataset_dir"]) / "dataset_info.json").read_text())
    model, data = config["model_name_or_path"], [info[name]["file_name"] for name in config["dataset"].split(",")]
(data,) = data
rows = [json.loads(line) for line in open(data, encoding="utf-8")]
assert len(rows) > 5 and all(row["messages"] for row in rows)
output = Path(config["output_dir"])
shutil.copytree(model, output)
(output / "trainer_state.json").write_text('{{"global_step": 7}}')
{last}
"""


def study(folder: Path, tool: str, monkeypatch: pytest.MonkeyPatch, last: str = "") -> Project:
    """Return the small demo trained by an example, with the tool's stand-in on the PATH."""
    programs = folder / "bin"
    programs.mkdir()
    stand_in = programs / PROGRAMS[tool]
    stand_in.write_text(STAND_IN.format(python=sys.executable, last=last), encoding="utf-8")
    stand_in.chmod(0o755)
    paths = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(paths))
    config = write_quick_demo(folder / "demo")
    tree = yaml.safe_load(config.read_text(encoding="utf-8"))
    example = yaml.safe_load((EXAMPLES / tool / "mix.yaml").read_text(encoding="utf-8"))
    tree |= {
        "train": example["train"] | {"max_length": 192, "num_train_epochs": 2, "bf16": False},
        "executor": example["executor"],
    }
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    shutil.copy(EXAMPLES / tool / "train.py", config.parent)
    return Project.open(config)


def train_first(project: Project):
    specs, _ = project.design
    project.write_inputs()
    project.study.save_plan(specs)
    (status,) = train_here(project.study, project.trainer_config, specs[:1])
    return status, project.study.run_folder(specs[0]), project.study.record(specs[0])


def require_schema(kind: str, path: Path) -> None:
    """Hold a file against its published schema, where jsonschema is installed."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("tool", PROGRAMS)
def test_an_example_trains_evaluates_and_reports(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = study(tmp_path, tool, monkeypatch)
    status, folder, record = train_first(project)
    assert status.state == "done", status.reason
    assert record.steps == 7
    for name, prepared in project.prepared.items():
        assert record.losses[name].count <= prepared.validation.supervised_tokens
        assert record.losses[name].count > 0.9 * prepared.validation.supervised_tokens
        assert 1 < record.losses[name].loss_nats < 8  # the base model's: the stand-in trains nothing
    written = yaml.safe_load(next((folder / "output").glob("*.yaml")).read_text(encoding="utf-8"))
    assert written.get("num_epochs", written.get("num_train_epochs")) == 2
    assert (folder / "output" / "model" / "config.json").is_file()
    require_schema("spec", folder / "input" / "spec.json")
    require_schema("result", folder / "output" / "result.json")


def test_a_tool_that_fails_is_the_runs_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, _ = train_first(study(tmp_path, "axolotl", monkeypatch, "sys.exit('CUDA out of memory')"))
    assert status.state == "failed"
    assert "CUDA out of memory" in status.reason and "returned non-zero exit status 1" in status.reason


@pytest.mark.parametrize("tool", PROGRAMS)
def test_an_examples_configuration_is_accepted(tool: str) -> None:
    config = load_config(EXAMPLES / tool / "mix.yaml")
    assert config.train.trainer == "command" and config.executor.workers == 1


def test_the_schemas_refuse_what_mixlaw_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(
        json.loads((SCHEMAS / "result.schema.json").read_text(encoding="utf-8"))
    )
    for good in ({"nats": 2.5, "count": 2}, {"loss": 1, "count": 1, "bytes": 0, "more": "x"}):
        assert validator.is_valid({"losses": {"code": good}, "steps": 3})
    for bad in ({"count": 2}, {"nats": 1.0}, {"nats": 1.0, "count": 0}, {"nats": "1", "count": 1}):
        assert not validator.is_valid({"losses": {"code": bad}})
    assert not validator.is_valid({"steps": 3})
