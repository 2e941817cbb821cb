"""The examples of CONTRIBUTING.md work as they are printed: an export tool and a design, each with its own tests."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mixlaw.data import exports
from mixlaw.design import planning, register
from unit.data.exports import test_exports
from unit.design import test_planning
from unit.test_architecture import BELOW

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def module_of(path, monkeypatch):
    """Return the module that the page prints for a file, importable as if it were that file."""
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(BLOCKS[path], path, "exec"), vars(module))
    return module


def run_tests_of(path):
    """Run the test functions that the page prints for a file."""
    found = {}
    exec(compile(BLOCKS[path], path, "exec"), found)
    tests = [value for name, value in found.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_the_table_of_parts_says_what_the_architecture_allows():
    rows = re.findall(r"^\| `(\w+)` \|[^|\n]*\| ([^|\n]*) \|$", PAGE, re.MULTILINE)
    printed = {part: set(re.findall(r"`(\w+)`", below)) for part, below in rows}
    assert {part: below for part, below in printed.items() if part not in ("report", "api", "cli")} == {
        part: below for part, below in BELOW.items() if part not in ("report", "api", "cli", "demo")
    }


def test_the_printed_files_are_not_in_the_package():
    printed = [path for path in BLOCKS if path.startswith("src/") and path != "src/mixlaw/design/planning.py"]
    assert len(printed) == 2 and not any((ROOT / path).exists() for path in printed)


def test_the_printed_code_is_formatted(tmp_path):
    import subprocess

    for i, block in enumerate(BLOCKS.values()):
        (tmp_path / f"block_{i}.py").write_text(block, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "format", "--check", "--line-length", "120", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_export_tool_of_the_page_passes_the_tests_of_every_tool_and_its_own(monkeypatch):
    house = module_of("src/mixlaw/data/exports/house.py", monkeypatch)
    assert '"house": house.recipe,' in PAGE
    monkeypatch.setitem(exports.TOOLS, "house", house.recipe)
    test_exports.test_every_tool_points_at_the_materialised_files("house")
    test_exports.test_by_reference_the_drift_is_stated_and_held_out_rows_are_named("house")
    run_tests_of("tests/unit/data/exports/test_house.py")


def test_the_design_of_the_page_passes_the_tests_of_every_design_and_its_own(monkeypatch):
    module_of("src/mixlaw/design/latin.py", monkeypatch)
    assert '"latin": _latin,' in PAGE
    place = dict(vars(planning))
    exec(compile(BLOCKS["src/mixlaw/design/planning.py"], "planning.py", "exec"), place)
    monkeypatch.setattr(planning, "DESIGNS", dict(planning.DESIGNS))
    register("latin", place["_latin"])
    test_planning.test_every_design_has_its_runs_within_the_data_and_says_what_they_cost("latin")
    test_planning.test_one_domain_can_be_planned("latin")
    run_tests_of("tests/unit/design/test_latin.py")


@pytest.mark.parametrize("runs", [5, 6, 12, 13])
def test_the_design_of_the_page_takes_any_number_of_runs_of_one_domain(monkeypatch, runs):
    latin = module_of("src/mixlaw/design/latin.py", monkeypatch)
    assert len({tokens["only"] for _, tokens in latin.latin_design(["only"], 90_000, runs)}) == runs
