"""The wheel holds all that the package needs, and works without the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
RUNS = """run,tokens:a,tokens:b,loss:a,loss:b
1,1000,1000,2.0,3.0
2,3000,1000,1.7,2.9
3,1000,3000,1.9,2.5
4,300,1000,2.4,3.1
5,1000,300,2.1,3.5
6,3000,3000,1.6,2.4
7,300,300,2.5,3.6
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as file:
        file.extractall(folder / "site")
    return folder / "site"


def mixlaw(wheel, folder, *arguments):
    """Return what a command prints, with the wheel's mixlaw instead of the repository's."""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "mixlaw", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    def files(folder):
        return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    assert files(wheel / "mixlaw") == files(ROOT / "src" / "mixlaw")
    assert {path.name.partition("-")[0] for path in wheel.iterdir()} == {"mixlaw"}


def test_the_wheel_alone_fits_solves_reports_and_writes_the_example(wheel, tmp_path):
    (tmp_path / "runs.csv").write_text(RUNS)
    where = subprocess.run(
        [sys.executable, "-c", "import mixlaw; print(mixlaw.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(wheel)
    mixlaw(wheel, tmp_path, "fit", "runs.csv", "--law", "transfer", "--out", "fit.json")
    assert mixlaw(wheel, tmp_path, "solve", "fit.json", "--budget", "10k").startswith("weights ")
    mixlaw(wheel, tmp_path, "report", "runs.csv", "--law", "transfer", "--out", "report")
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    mixlaw(wheel, tmp_path, "init", "--example", "--out", "my-mix/mix.yaml")
    assert (tmp_path / "my-mix" / "tiny_base" / "model.safetensors").exists()
