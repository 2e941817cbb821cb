"""What the shell is offered, and that what it is offered exists."""

import os
import subprocess
import sys
from unittest import mock

import pytest
import typer.completion

from mixlaw.cli import app, completion
from mixlaw.laws import names


def asked(words):
    """Return the environment in which bash asks for the last of the words."""
    words = list(map(str, words))
    return os.environ | {
        "_MIXLAW_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("mixlaw", *words)),
        "COMP_CWORD": str(len(words)),
    }


@pytest.fixture
def completed(capsys):
    """Return what bash is offered for the last of the words, by the command line in this process."""

    def offered(*words):
        capsys.readouterr()
        typer.completion.completion_init()
        with mock.patch.dict(os.environ, asked(words)), pytest.raises(SystemExit) as ended:
            typer.main.get_command(app).main([], prog_name="mixlaw")
        assert ended.value.code == 0
        return capsys.readouterr().out.split()

    return offered


def test_a_process_of_the_command_line_completes_what_bash_asks_for(fit_json, completed):
    for words in (("sta",), ("solve", fit_json, "--max", "c")):
        command = [sys.executable, "-m", "mixlaw"]
        done = subprocess.run(command, capture_output=True, text=True, env=asked(words), timeout=120)
        assert done.stdout.split() == completed(*words) != []


def test_the_names_of_laws_are_all_there():
    assert completion.law("") == ["auto", *names()]
    assert set(completion.laws("gp,")) == {f"gp,{name}" for name in names() if name != "gp"}


def test_verbs_options_and_laws_are_completed(fit_json, completed):
    assert {"fit", "solve", "status"} <= set(completed(""))
    assert completed("sta") == ["status"]
    assert "--watch" in completed("status", "--w")
    assert completed("fit", "runs.csv", "--law", "pa") == ["pairwise"]
    assert completed("fit", "runs.csv", "--procedure", "o") == ["own_curve"]
    assert completed("laws", "runs.csv", "--laws", "gp,transfer,pa") == ["gp,transfer,pairwise"]
    assert completed("solve", fit_json, "--objective", "m") == ["mean", "max"]
    assert completed("export", "mix.yaml", "--to", "ax") == ["axolotl"]
    assert completed("export", "mix.yaml", "--format", "p") == ["parquet"]
    assert completed("compare", "mix.yaml", "--against", "natural,eq") == ["natural,equal", "natural,equal_rows"]


def test_the_domains_of_a_fit_are_completed(fit_json, completed):
    assert completed("predict", fit_json, "--tokens", "chat=1M,m") == ["chat=1M,math="]
    assert completed("solve", fit_json, "--max", "c") == ["chat=", "code="]
    assert completed("solve", fit_json.parent, "--max", "c") == ["chat=", "code="]
    assert completed("solve", fit_json.parent / "nosuch.json", "--max", "c") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell):
    environment = os.environ | {"_MIXLAW_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "mixlaw"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0 and "_MIXLAW_COMPLETE" in done.stdout
