"""The commands and the Python of README.md run, in order, beside a finished (small) demo."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from small_demo import write_small_demo

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def beside_a_demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    config = write_small_demo(folder / "mixlaw-demo")
    command = [sys.executable, "-m", "mixlaw", "run", str(config), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_first_screen_names_the_two_commands():
    first_screen = "\n".join(README.splitlines()[:16])
    assert "make demo" in first_screen and "make test" in first_screen


def test_every_command_of_the_readme_is_known():
    assert COMMANDS and {command.split()[0] for command in COMMANDS} <= {"make", "mixlaw", "pip"}


def test_the_commands_run(beside_a_demo):
    commands = [c for c in COMMANDS if c.startswith("mixlaw ") and not c.startswith("mixlaw demo")]
    assert commands
    for command in commands:
        arguments = [sys.executable, "-m", "mixlaw", *shlex.split(command)[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=200, cwd=beside_a_demo)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_python_runs(beside_a_demo):
    for block in blocks("python"):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", block],
            capture_output=True,
            text=True,
            timeout=200,
            cwd=beside_a_demo,
            env=environment,
        )
        assert done.returncode == 0, done.stderr


def test_the_configuration_is_valid(tmp_path):
    from mixlaw.config import load_config

    for i, block in enumerate(blocks("yaml")):
        path = tmp_path / f"mix{i}.yaml"
        path.write_text(block, encoding="utf-8")
        assert load_config(path).domains


def test_the_files_it_links_to_exist():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[2] / link).exists(), link
