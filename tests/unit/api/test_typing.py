"""A user's script is checked by pyright without an error, and a wrong one is not."""

import json
import subprocess
import sys

import pytest

GOOD = """
import mixlaw
from mixlaw import Fit, RunTable, Solution
from mixlaw.train.trainer import Trainer

runs: RunTable = mixlaw.load_runs("runs.csv")
fit: Fit = mixlaw.fit(runs, law="auto", seed=1)
best: Solution = mixlaw.solve(fit, budget="20M", max={"code": 0.5}, groups=["code + math <= 0.5"])
share: float = best.weights["code"]
mean: float = float(mixlaw.predict(fit, {"code": 1e6}).mean[0, 0])
first: str = mixlaw.laws(runs)[0].name
plan = mixlaw.plan("mix.yaml")
names: list[str] = [run.name for run in plan.runs]
states: list[str] = [status.state for status in mixlaw.train("mix.yaml", workers=2)]
manifest, folder = mixlaw.mix("mix.yaml", weights={"code": 1.0})
written: dict[str, object] = dict(mixlaw.report("mix.yaml"))
solution: Solution = mixlaw.run("mix.yaml").solution
mixlaw.init(["a.jsonl"], "mix.yaml", budget="1M").exists()
runs_planned: int = mixlaw.check("mix.yaml").proxy_runs
mixlaw.adopt("mix.yaml", "results.csv", losses={"code": "eval/loss"})
failed = mixlaw.demo("somewhere").failed
text: str = mixlaw.citation()
trainer: type[Trainer] = mixlaw.train.register(Trainer)
"""
BAD = """
import mixlaw

fit = mixlaw.fit("runs.csv", low="auto")
best = mixlaw.solve(fit, budget="20M", maximumm={"code": 0.5})
name: int = mixlaw.load_fit("fit.json").law
mixlaw.nosuch("mix.yaml")
"""


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    pytest.importorskip("pyright")
    folder = tmp_path_factory.mktemp("script")
    (folder / "good.py").write_text(GOOD)
    (folder / "bad.py").write_text(BAD)
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "good.py", "bad.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        name: [(d["range"]["start"]["line"], d["message"]) for d in found if d["file"].endswith(name)]
        for name in ("good.py", "bad.py")
    }


def test_a_script_that_uses_every_verb_is_clean(problems):
    assert problems["good.py"] == []


def test_wrong_keywords_types_and_verbs_are_found(problems):
    assert {line for line, _ in problems["bad.py"]} == {3, 4, 5, 6}


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert files("mixlaw").joinpath("py.typed").is_file()
