"""What is said about Pythons and packages is the same in every file that says it."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PYTHONS = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]


def test_the_classifiers_are_the_pythons_that_may_install_it():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(100) if f"3.{minor}" in allowed] == PYTHONS


def test_continuous_integration_tests_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"] == {"python": PYTHONS}
    version = "${{ matrix.python }}"
    assert [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")] == [
        version
    ]
    assert [step["run"] for step in job["steps"] if "run" in step] == [f"make test PYTHON=python{version}"]


def test_the_makefile_and_the_type_checker_know_the_same_pythons():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    low, high = (tuple(map(int, pair)) for pair in re.findall(r"\((3), (\d+)\)", makefile)[:2])
    assert [f"3.{minor}" for minor in range(low[1], high[1])] == PYTHONS
    assert PYPROJECT["tool"]["pyright"]["pythonVersion"] == PYTHONS[0]


def test_packaged_files_hold_no_registry_and_no_build_tag():
    for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".pre-commit-config.yaml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|\+cpu|index-url|find-links", text), name


def test_every_requirement_is_constrained_to_a_version_that_it_allows():
    requirements = [*PROJECT["dependencies"], *(r for e in PROJECT["optional-dependencies"].values() for r in e)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(line.partition("==")[0].strip()): line.partition("==")[2].partition(";")[0].strip()
        for line in lines
        if "==" in line
    }
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name != PROJECT["name"]:
            assert name in pinned, f"{requirement} has no line in constraints.txt"
            assert pinned[name] in requirement.specifier, f"{requirement}, and constraints.txt says {pinned[name]}"
