"""The direction of imports, what a bare import costs, and what no file may contain.

Each rule is one test over all files, which names every place that breaks it.
"""

import ast
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
    "config": {"core", "design", "laws", "train"},
    "testing": {"core", "data", "laws", "fit", "solve", "train"},
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


MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 8
NUMERIC = ("laws", "fit", "solve", "design")
"""The parts in which no function takes more than `MOST_PARAMETERS`."""

# What breaks a rule today. The lists only shrink: an entry that keeps the rule fails the test until it is deleted.
IN_A_CYCLE: set[str] = set()
TOO_LONG: set[str] = set()
TOO_MANY_PARAMETERS: set[str] = set()


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def part_of(path):
    return name_of(path).partition("/")[0].removesuffix(".py")


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node, *, in_functions=True, for_type_checkers=True):
    """Yield the import statements below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not in_functions and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        elif not for_type_checkers and is_for_type_checkers(child):
            for other in child.orelse:
                yield from imports(other, in_functions=in_functions, for_type_checkers=False)
        else:
            yield from imports(child, in_functions=in_functions, for_type_checkers=for_type_checkers)


def modules(statement):
    """Return the modules that an import statement names."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    return [statement.module or ""]


@pytest.fixture(scope="module")
def trees():
    """Every file of the package, parsed once."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def functions(tree):
    """Yield the functions of a file with their names: `Class.method`, `outer.inner`."""

    def below(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{prefix}{child.name}", child
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            yield from below(child, f"{prefix}{child.name}." if named else prefix)

    return below(tree, "")


def require(found: dict[str, str], allowed: set[str]) -> None:
    """Hold the offenders against those that are allowed today; both must be the same."""
    new = [f"{name}: {what}" for name, what in sorted(found.items()) if name not in allowed]
    assert not new, "\n".join(["against the rule:", *new])
    assert not (done := sorted(allowed - set(found))), f"keeps the rule now, delete it from the list: {done}"


def test_imports_are_absolute_and_go_in_one_direction(trees):
    wrong = []
    for path, tree in trees.items():
        part = part_of(path)
        for statement in imports(tree):
            if isinstance(statement, ast.ImportFrom) and statement.level:
                wrong.append(f"{name_of(path)}:{statement.lineno} imports by a relative name")
            for module in modules(statement):
                package, _, rest = module.partition(".")
                other = rest.partition(".")[0]
                if package != "mixlaw" or not other or other == part or part in ("__init__", "__main__"):
                    continue
                if other not in BELOW[part]:
                    wrong.append(f"{name_of(path)}:{statement.lineno} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_imported_on_use(trees):
    wrong = [
        f"{name_of(path)}:{statement.lineno} imports {module} at the top of the file"
        for path, tree in trees.items()
        for statement in imports(tree, in_functions=False, for_type_checkers=False)
        for module in modules(statement)
        if module.split(".")[0] in LAZY
    ]
    assert not wrong, "\n".join(wrong)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of files in which each reaches each other: those that are more than one file, or itself."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, stack = set(), [start]
        while stack:
            for other in graph[stack.pop()] - seen:
                seen.add(other)
                stack.append(other)
        reached[start] = seen
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph if a in reached[a]}
    return sorted(map(sorted, groups))


def imported_files(tree, files: dict[str, str]) -> set[str]:
    """Return the files of the package that a file imports, in functions too; `files` maps modules to their files."""
    found = set()
    for statement in imports(tree, for_type_checkers=False):
        for module in modules(statement):
            if isinstance(statement, ast.Import):
                found.add(files.get(module, ""))
            else:
                found |= {files.get(f"{module}.{alias.name}", files.get(module, "")) for alias in statement.names}
    return found - {""}


def test_no_file_imports_itself_through_others(trees):
    """Also not in functions: such an import only hides that two files are one. Imports for type checkers are free."""
    named = {path: name_of(path) for path in trees}
    files = {
        ".".join(("mixlaw", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): name
        for path, name in named.items()
    }
    graph = {named[path]: imported_files(tree, files) for path, tree in trees.items()}
    found = {
        name: f"imports {', '.join(sorted(graph[name].intersection(group)))}, from where it is imported again"
        for group in cycles(graph)
        for name in group
    }
    require(found, IN_A_CYCLE)


def test_cycles_are_found_in_functions_and_not_for_type_checkers():
    files = {"mixlaw.a": "a", "mixlaw.b": "b", "mixlaw.c": "c/__init__", "mixlaw.c.d": "c/d"}
    a = ast.parse("def f():\n    from mixlaw.b import x\n")
    b = ast.parse("if True:\n    import mixlaw.c.d\n    from mixlaw.c import y\n")
    c = ast.parse("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mixlaw.a import z\n")
    d = ast.parse("from mixlaw import a\n")
    graph = {file: imported_files(tree, files) for file, tree in zip(files.values(), (a, b, c, d), strict=True)}
    assert graph == {"a": {"b"}, "b": {"c/d", "c/__init__"}, "c/__init__": set(), "c/d": {"a"}}
    assert cycles(graph) == [["a", "b", "c/d"]]
    assert cycles({"a": {"a"}, "b": {"a"}}) == [["a"]]


def test_files_are_short(trees):
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in trees}
    require({name: f"{n} lines" for name, n in lengths.items() if n > MOST_LINES}, TOO_LONG)


def test_functions_are_short(trees):
    found = {}
    for path, tree in trees.items():
        for name, function in functions(tree):
            docstring = ast.get_docstring(function, clean=False) or ""
            lines = (function.end_lineno or 0) - function.lineno + 1 - len(docstring.splitlines())
            if lines > MOST_LINES_OF_A_FUNCTION:
                found[f"{name_of(path)}:{name}"] = f"{lines} lines"
    require(found, set())


def parameters(function) -> int:
    """Return how many parameters a function has, without the object that it is a method of."""
    asked = function.args
    names = [a.arg for a in (*asked.posonlyargs, *asked.args, *asked.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) + bool(asked.vararg) + bool(asked.kwarg)


def test_numeric_functions_take_few_parameters(trees):
    found = {
        f"{name_of(path)}:{name}": f"{count} parameters"
        for path, tree in trees.items()
        if part_of(path) in NUMERIC
        for name, function in functions(tree)
        if (count := parameters(function)) > MOST_PARAMETERS
    }
    require(found, TOO_MANY_PARAMETERS)


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
