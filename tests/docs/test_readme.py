"""README.md: few words before the first command, and every command runs and prints what is shown.

`make demo` runs in a copy of the checkout's set-up, beside the demo's runs that were trained once (`demo_study`); that
runs train is shown in `e2e/test_demo.py`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo_study import place_runs, place_solution
from docs.transcripts import difference, environment, run, run_as_shown, steps

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = steps(README)


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run_blocks(text, folder, variables):
    for block in blocks("python", text):
        command = [sys.executable, "-c", block]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=folder, env=variables)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a folder with the Makefile, this environment as .venv, and the demo's runs."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    stamp = subprocess.run(["sh", "-c", "pwd | cksum | cut -d' ' -f1"], capture_output=True, text=True, cwd=folder)
    (venv / f".installed-{stamp.stdout.strip()}").touch()
    place_runs(folder / "mixlaw-demo" / "study")
    return folder


@pytest.fixture(scope="module")
def variables(checkout):
    return environment(checkout / ".bin")


def test_at_most_120_words_come_before_the_first_command():
    before = README[: README.index("```console")]
    assert len(re.sub(r"[#*`]", " ", before).split()) <= 120


def test_the_first_screen_names_the_two_commands():
    first_screen = "\n".join(README.splitlines()[:16])
    assert "make demo" in first_screen and "make test" in first_screen


def test_every_command_is_known():
    assert {step.command.split()[0] for step in STEPS} == {"make", "mixlaw", "pip"}


@pytest.mark.skipif(not Path(sys.prefix, "pyvenv.cfg").is_file(), reason="needs a virtual environment")
def test_make_demo_ends_as_shown(checkout, variables):
    assert STEPS[0].command == "make demo"
    run("mixlaw demo", checkout, variables)
    place_solution(checkout / "mixlaw-demo" / "mix.yaml")
    printed = run("make demo", checkout, variables)
    answer, proof = (block.splitlines() for block in blocks("text")[:2])
    shown = ["...", *answer, "...", *proof, "..."]
    assert not difference(shown, printed), difference(shown, printed)


def test_make_test_is_a_target_that_lints_checks_types_and_tests(checkout, variables):
    assert STEPS[1].command == "make test"
    said = run("make -n test", checkout, variables)
    assert all(word in said for word in ("ruff check", "pyright", "pytest"))


def test_the_pip_command_finds_the_package_and_its_extras(variables):
    command = next(step.command for step in STEPS if step.command.startswith("pip"))
    # Resolved against what is installed here, and nothing is changed.
    dry = {
        "PIP_DRY_RUN": "1",
        "PIP_NO_BUILD_ISOLATION": "false",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    said = run(command.replace("pip ", f'"{sys.executable}" -m pip ', 1), ROOT, variables | dry)
    assert "Would install mixlaw" in said


def test_the_other_commands_print_what_is_shown(checkout, variables):
    run("mixlaw demo", checkout, variables)  # done already where `make demo` was
    run_as_shown([step for step in STEPS if step.command.startswith("mixlaw ")], checkout, variables)


def test_the_python_runs(checkout, variables):
    run_blocks(README, checkout, variables)


def test_the_first_page_of_the_documentation_prints_what_it_shows_and_its_python_runs(checkout, variables):
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    run_as_shown(steps(page), checkout, variables)
    run_blocks(page, checkout, variables)


def test_the_configuration_is_valid(tmp_path):
    from mixlaw.config import load_config

    for i, block in enumerate(blocks("yaml")):
        path = tmp_path / f"mix{i}.yaml"
        path.write_text(block, encoding="utf-8")
        assert load_config(path).domains


def test_the_files_it_links_to_exist():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
