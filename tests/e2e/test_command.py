"""The trainer `command`: a program of twenty lines trains every run of a study, and every way it can fail says so."""

import json
import re
import sys
from pathlib import Path

import pytest

import mixlaw
from mixlaw.api.project import Project
from mixlaw.api.sweep import run, train
from mixlaw.core.errors import ConfigError, MixlawError
from mixlaw.study.store import Study
from mixlaw.train.program import require_startable
from quick_study import short_fits, train_here, trained_here, write_quick_demo

PROGRAM = """
import collections, json, math, sys

spec = json.load(open(sys.argv[1]))


def words(path):
    for line in open(path, encoding="utf-8"):
        for message in json.loads(line)["messages"]:
            if message["role"] == "assistant":
                yield from message["content"]


seen = collections.Counter(words(spec["train_file"]))
total = sum(seen.values())
losses = {}
for target, path in spec["validation_files"].items():
    nats = [-math.log((seen[w] + 1) / (total + 300)) for w in words(path)]
    losses[target] = {"nats": sum(nats), "count": len(nats)}
json.dump({"losses": losses, "steps": 1}, open(spec["result"], "w"))
"""


def study(folder: Path, program: str, command: str | None = None, more: str = "") -> Path:
    config = write_quick_demo(folder / "demo")
    (folder / "demo" / "train.py").write_text(program, encoding="utf-8")
    text = config.read_text(encoding="utf-8")
    command = command or f"{sys.executable} train.py {{spec}}"
    text = text.replace("train:\n", f"train:\n  trainer: command\n  command: {json.dumps(command)}\n{more}")
    config.write_text(text, encoding="utf-8")
    return config


def test_a_program_of_ones_own_trains_the_whole_study(tmp_path: Path) -> None:
    config = study(tmp_path, PROGRAM)
    config.write_text(config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n", encoding="utf-8")
    with short_fits():
        result = run(config, workers=1)
    assert {status.state for status in result.statuses} == {"done"} and len(result.statuses) == 13
    assert set(result.solution.weights) == {"instruction", "math", "code"}
    folders = sorted((config.parent / "study" / "runs").iterdir())
    for folder in folders:
        assert (folder / "record.json").is_file() and not (folder / "input" / "train.jsonl").exists()
        spec = json.loads((folder / "input" / "spec.json").read_text(encoding="utf-8"))
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        assert spec["tokens"] == record["tokens"] and spec["id"] == record["spec"]["id"]
        assert spec["train"]["learning_rate"] == 1e-3 and set(spec["validation_files"]) == set(record["losses"])
    before = {folder: (folder / "record.json").read_bytes() for folder in folders}
    (config.parent / "train.py").write_text("raise SystemExit(1)", encoding="utf-8")
    with short_fits():
        assert run(config).solution.weights == result.solution.weights
    assert {folder: (folder / "record.json").read_bytes() for folder in folders} == before


SCORES = """
import json, sys

spec = json.load(open(sys.argv[1]))
math, rest = spec["tokens"].get("math", 0), sum(spec["tokens"].values())
win = 0.9 - 0.8 * (1 + (math + 0.1 * rest) / 2000) ** -0.3
metrics = {"win_rate": {"value": win, "stderr": 0.01}, "length": 120.0}
json.dump({"metrics": metrics}, open(spec["result"], "w"))
"""


def test_a_program_may_report_scores_and_no_losses(tmp_path: Path) -> None:
    config = study(tmp_path, SCORES)
    with trained_here(), pytest.raises(MixlawError, match=r"no losses \(metrics: length, win_rate\).*--metric"):
        run(config)
    wishes = "fit: {metrics: {win_rate: higher}}\nsolve:\n  target_weight: {'metric:win_rate': 1}\n"
    text = re.sub(r"(?m)^(fit|solve):.*\n(  .*\n)*", "", config.read_text(encoding="utf-8"))
    config.write_text(text + "\n" + wishes + "  objective: weighted\n", encoding="utf-8")
    with short_fits():
        result = run(config)
    assert set(result.fit.targets) == {"metric:win_rate"}
    assert max(result.solution.weights, key=lambda name: result.solution.weights[name]) == "math"
    table = mixlaw.load_runs(config.parent / "study")
    assert table.targets == () and set(table.metrics) == {"win_rate", "length"}
    assert set(table.errors) == {"win_rate"} and table.errors["win_rate"][0] == 0.01


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A study whose program each test writes anew."""
    project = Project.open(study(tmp_path_factory.mktemp("planned"), PROGRAM))
    mixlaw.plan(project)
    return project


def test_a_sweep_whose_programs_fail_ends_and_goes_on_when_it_is_asked_to(planned: Project) -> None:
    program = planned.study.folder.parent / "train.py"
    program.write_text("print('no GPU'); raise SystemExit(3)", encoding="utf-8")
    statuses = train(planned, workers=1)
    assert {status.state for status in statuses} == {"failed"} and len(statuses) == 13
    assert all("exit status 3; its last words: no GPU" in status.reason for status in statuses)
    program.write_text(PROGRAM, encoding="utf-8")
    assert {status.state for status in train(planned, workers=2)} == {"failed"}
    assert {status.state for status in train(planned, workers=2, retry_failed=True)} == {"done"}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (SCORES.replace('"length": 120.0', '"length": "long"'), ["metric 'length' is \"long\"", "a finite number"]),
        (SCORES.replace("metrics = {", "metrics = [] and {"), ["'metrics' is []; it must be an object"]),
        ("print('no GPU'); raise SystemExit(3)", ["exit status 3", "last words: no GPU", "--retry-failed"]),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ["by signal 9"]),
        ("", ["wrote no", "result.json"]),
        (
            "import sys, json; open(json.load(open(sys.argv[1]))['result'], 'w').write('{')",
            ["malformed", "not valid JSON"],
        ),
        (PROGRAM.replace('{"losses": losses', '{"losses": {}'), ["lacks 'instruction'"]),
        (PROGRAM.replace("sum(nats)", "float('nan')"), ["is malformed", "number in JSON"]),
        (PROGRAM.replace('"count": len(nats)', '"count": 0'), ["count is 0"]),
        (PROGRAM.replace("sum(nats)", "-sum(nats)"), ["the loss of 'instruction' is -", "from 0 to 10,000 nats"]),
        (PROGRAM.replace("sum(nats)", "1e9"), ["the loss of 'instruction' is", "from 0 to 10,000 nats"]),
        (PROGRAM.replace("sum(nats)", "True"), ["the nats of 'instruction' is True; it must be a number"]),
        (PROGRAM.replace('"nats": sum(nats), ', ""), ["the loss of 'instruction' has no 'loss'"]),
        (PROGRAM.replace('{"losses": losses', '{"losses": [1]'), ["'losses' is [1]; it must be an object"]),
        ("import json, os, sys; os.mkdir(json.load(open(sys.argv[1]))['result'])", ["malformed", "is a folder"]),
    ],
)
def test_a_program_that_fails_fails_its_run_with_one_sentence(
    planned: Project, tmp_path: Path, program: str, said: list[str]
) -> None:
    own, first = Study(tmp_path / "study"), planned.planned[0][0]
    own.save_plan([first])
    written = planned.study.folder.parent / "train.py"
    written.write_text(program, encoding="utf-8")
    (status,) = train_here(own, planned.trainer_config)
    assert status.state == "failed"
    for fragment in said:
        assert fragment in status.reason
    written.write_text(PROGRAM, encoding="utf-8")
    (status,) = train_here(own, planned.trainer_config, retry_failed=True)
    assert status.state == "done"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python train.py", "neither {spec} nor {train_file}"),
        ("python train.py {spce}", "names {spce}"),
        ("python train.py {spec:d}", "names {spec:d}"),
        ("python train.py {spec!r}", "names {spec!r}"),
        ("python 'train.py {spec}", "cannot be read"),
        ("  ", "empty"),
        ("no-such-program {spec}", "cannot be started"),
    ],
)
def test_a_command_that_cannot_work_is_one_error(tmp_path: Path, command: str, said: str) -> None:
    config = study(tmp_path, PROGRAM, command)
    with pytest.raises(ConfigError, match=said.replace("{", r"\{").replace("}", r"\}")):
        train(config, workers=1)
    assert not (config.parent / "study").exists()  # nothing is tokenised for it


def test_a_program_is_found_where_it_will_start(tmp_path: Path) -> None:
    program = tmp_path / "train.sh"
    program.touch()
    with pytest.raises(ConfigError, match=r"'\./train.sh' cannot be started"):
        require_startable(["./train.sh"], tmp_path, "train.command")
    program.chmod(0o755)
    require_startable(["./train.sh"], tmp_path, "train.command")
    require_startable([str(program)], tmp_path / "elsewhere", "train.command")
    require_startable(["python"], tmp_path, "train.command")


def test_the_configuration_names_command_and_trainer_together(tmp_path: Path) -> None:
    config = study(tmp_path, PROGRAM)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("  trainer: command\n", ""), encoding="utf-8")
    with pytest.raises(ConfigError, match="of trainer: command"):
        train(config)
    start = text.index("  command: ")
    config.write_text(text[:start] + text[text.index("\n", start) + 1 :], encoding="utf-8")
    with pytest.raises(ConfigError, match="needs a command"):
        train(config)
