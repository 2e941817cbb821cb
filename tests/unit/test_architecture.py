"""The direction of imports, what a bare import costs, and what no file may contain."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mixlaw"
FILES = sorted(PACKAGE.rglob("*.py"))

# core <- laws <- {design, fit <- solve}; core <- data <- train <- study <- evaluate; all <- report <- api <- cli.
BELOW = {
    "core": set(),
    "laws": {"core"},
    "design": {"core", "laws"},
    "fit": {"core", "laws"},
    "solve": {"core", "laws", "fit"},
    "data": {"core"},
    "train": {"core", "data"},
    "study": {"core", "data", "train"},
    "evaluate": {"core", "data", "train", "study"},
    "trackers": {"core", "data", "train", "study"},
    "config": {"core", "laws", "design"},
    "testing": {"core", "laws"},
}
BELOW["report"] = set(BELOW)
BELOW["api"] = set(BELOW)
BELOW["cli"] = set(BELOW)
BELOW["demo"] = set()

LAZY = {
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "pyarrow",
    "pandas",
    "plotly",
    "matplotlib",
    "jinja2",
    "lightgbm",
    "lm_eval",
    "ray",
    "wandb",
    "mlflow",
    "tensorboard",
    "trackio",
}


def part_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def at_import_time(node):
    """Yield the modules imported when the file itself is, not in functions and not for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module or ""
        else:
            yield from at_import_time(child)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_in_one_direction(path):
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if module == "mixlaw" or module.startswith("mixlaw."):
            other = module.partition(".")[2].partition(".")[0]
            if other and other != part:
                assert other in BELOW[part], f"{part} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_on_use(path):
    for module in at_import_time(ast.parse(path.read_text(encoding="utf-8"))):
        assert module.split(".")[0] not in LAZY, f"{module} at the top of the file"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = (node.end_lineno or 0) - node.lineno + 1 - len(docstring.splitlines())
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_a_bare_import_loads_nothing_heavy_and_is_quick():
    code = (
        "import sys, time; began = time.perf_counter(); import mixlaw; took = time.perf_counter() - began;"
        "heavy = ('torch', 'scipy', 'numpy', 'pandas', 'plotly', 'pydantic', 'typer');"
        "print(took, *(m for m in heavy if m in sys.modules))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert runs[0][1:] == []
    assert min(float(run[0]) for run in runs) < 0.3


def test_help_needs_neither_scipy_nor_torch():
    code = (
        "import sys; from mixlaw.cli import main; main(['fit', '--help']);"
        "heavy = ('torch', 'scipy', 'pandas', 'plotly', 'transformers');"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_exported_names_exist_and_verbs_stay_functions():
    import mixlaw
    import mixlaw.demo
    import mixlaw.fit
    import mixlaw.solve

    for name in mixlaw.__all__:
        assert getattr(mixlaw, name)
    assert all(callable(getattr(mixlaw, verb)) for verb in ("fit", "solve", "demo", "run", "report", "predict"))
    assert "@inproceedings{li2025datamixing" in mixlaw.citation()
    with pytest.raises(AttributeError):
        mixlaw.nosuch  # noqa: B018


def test_packaged_files_hold_no_registry_and_no_build_tag():
    for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".pre-commit-config.yaml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|\+cpu|index-url|find-links", text), name


def test_every_requirement_is_constrained():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]

    def name_of(line):
        return re.split(r"[\[<>=~! ]", line)[0].lower().replace("_", "-")

    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {name_of(r) for r in requirements} - {project["name"]} <= pinned
