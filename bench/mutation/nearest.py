"""Which test runs through which line: a map made once over the fast tests, and kept in build/mutation/.

Every test file runs in a process of its own, with a trace on the lines of the mutated packages. What a shared fixture
runs through, and the time it takes, counts for every test that asks for it; caches are emptied between tests, so that
each shows its own lines. Where the code changed since, its lines are followed by comparison; delete build/mutation/map
to map all tests anew.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tuple(f"src/mixlaw/{room}" for room in ("laws", "fit", "solve"))
TESTS = ("tests/unit/laws", "tests/unit/fit", "tests/unit/solve", "tests/property", "tests/contract")
TESTS += ("tests/recovery", "tests/golden")
BUILD = ROOT / "build" / "mutation"
OPTIONS = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--disable-warnings", "-r", "N"]
SLOWEST = 15.0
"""Seconds; a slower test is left out: a mutant has many."""

_OFTEN = 100
"""Calls of a function in a test that are traced; later ones a hundredth of the time."""


def sources() -> list[str]:
    """Return the files that are mutated, as paths from the root."""
    return [str(path.relative_to(ROOT)) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_files() -> list[str]:
    """Return the test files that may kill a mutant."""
    found = [str(path.relative_to(ROOT)) for room in TESTS for path in sorted((ROOT / room).rglob("test_*.py"))]
    return [file for file in found if "/test_data" not in file]  # of another package


def digest(files: list[str]) -> str:
    """Return a name of the contents of files."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.encode() + (ROOT / file).read_bytes())
    return whole.hexdigest()[:16]


class Tracer:
    """A pytest plugin: notes lines of the mutated packages for each test, with its time and outcome."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.found: dict[str, dict] = {}
        self.fixtures: dict[tuple[str, int], set] = {}
        self.made: dict[tuple[str, int], float] = {}
        self.sink: set = set()
        self.places: dict = {}
        self.calls: dict = {}

    def call(self, frame: object, event: str, arg: object) -> object:
        """Trace a frame only if it is of a mutated file and has lines not seen yet."""
        code = frame.f_code  # type: ignore[attr-defined]
        lines = self.places.get(code)
        if lines is None:
            name = os.path.relpath(code.co_filename, ROOT) if code.co_filename.startswith(str(ROOT)) else ""
            inside = name.startswith(ROOMS)
            lines = {(name, line) for _, _, line in code.co_lines() if line} if inside else set()
            self.places[code] = lines
        if not lines or lines <= self.sink:
            return None
        calls = self.calls[code] = self.calls.get(code, 0) + 1
        if calls > _OFTEN and calls % _OFTEN:
            return None
        name = next(iter(lines))[0]
        self.sink.add((name, frame.f_lineno))  # type: ignore[attr-defined]

        def line(frame: object, event: str, arg: object) -> object:
            self.sink.add((name, frame.f_lineno))  # type: ignore[attr-defined]
            return line

        return line

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: object, request: object) -> object:
        """Note apart what a fixture runs through, and how long it takes."""
        key = (fixturedef.argname, getattr(request, "param_index", 0))  # type: ignore[attr-defined]
        before, self.sink = self.sink, set()
        start = time.perf_counter()
        yield
        self.made[key] = max(self.made.get(key, 0.0), time.perf_counter() - start)
        self.fixtures.setdefault(key, set()).update(self.sink)
        self.sink = before

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: object, nextitem: object) -> object:
        """Run a test under the trace."""
        _empty_caches()
        self.sink, self.calls = set(), {}
        start = time.perf_counter()
        sys.settrace(self.call)  # type: ignore[arg-type]
        yield
        sys.settrace(None)
        took = time.perf_counter() - start
        indices = item.callspec.indices if hasattr(item, "callspec") else {}  # type: ignore[attr-defined]
        for name in getattr(item, "fixturenames", ()):
            key = (name, indices.get(name, 0))
            self.sink |= self.fixtures.get(key, set())
            # Made already for an earlier test; a run of this test alone makes it again.
            took = max(took, self.made.get(key, 0.0))
        entry = self.found.setdefault(item.nodeid, {"passed": True})  # type: ignore[attr-defined]
        entry["traced_seconds"] = round(took, 3)
        lines: dict[str, list[int]] = {}
        for name, line in sorted(self.sink):
            lines.setdefault(name, []).append(line)
        entry["lines"] = lines

    def pytest_runtest_logreport(self, report: object) -> None:
        """Note the outcome."""
        entry = self.found.setdefault(report.nodeid, {"passed": True})  # type: ignore[attr-defined]
        entry["passed"] &= report.outcome == "passed"  # type: ignore[attr-defined]


def _empty_caches() -> None:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.startswith("mixlaw") or file.startswith(str(ROOT / "tests")):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def settle() -> None:
    """Make Hypothesis the same in every run, and keep it from writing failures of mutants to disk."""
    from hypothesis import settings

    settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
    settings.load_profile("mutation")


def quietly(run: object, log: Path) -> int:
    """Run a function in a child process with its output in a file, and return the exit status."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            with log.open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                status = int(run() or 0)  # type: ignore[operator]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def map_file(test: str) -> tuple[dict[str, dict], str]:
    """Return the tests of a file, node id -> passed, seconds, lines by file; and the digest of the code they ran on."""
    support = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("*.py"))]
    kept = BUILD / "map" / f"{test.replace('/', '.')}-{digest([*support, test])}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob(f"{test.replace('/', '.')}-*"):
            old.unlink()
        code = remember()

        def run() -> int:
            settle()
            tracer = Tracer()
            pytest.main([*OPTIONS, f"--timeout={2 * SLOWEST:g}", test], plugins=[tracer])
            kept.write_text(json.dumps({"code": code, "tests": tracer.found}))
            return 0

        log = kept.with_suffix(".log")
        start = time.perf_counter()
        if quietly(run, log) or not kept.exists():
            raise SystemExit(f"{test} could not be mapped: see {log}.")
        found = json.loads(kept.read_text())["tests"]
        failed = sum(not entry["passed"] for entry in found.values())
        print(f"{time.perf_counter() - start:6.1f} s  {test}: {len(found)} tests, {failed} not passed", flush=True)
    whole = json.loads(kept.read_text())
    return whole["tests"], whole["code"]


def remember() -> str:
    """Keep the code as it is now, and return its digest."""
    code = digest(sources())
    kept = BUILD / "sources" / f"{code}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({file: (ROOT / file).read_text() for file in sources()}))
    return code


def moved(code: str) -> Callable[[str, int], list[int]]:
    """Return (file, line of that code) -> the same line today, or the changed ones in its place."""
    before = json.loads((BUILD / "sources" / f"{code}.json").read_text())
    if set(before) != set(sources()):
        raise SystemExit("Files were renamed since the tests were mapped: delete build/mutation/map.")
    places: dict[str, dict[int, list[int]]] = {}

    def place(file: str, line: int) -> list[int]:
        if file not in places:
            old, new = before[file].splitlines(), (ROOT / file).read_text().splitlines()
            here: dict[int, list[int]] = {}
            for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
                for n in range(a, b):
                    here[n + 1] = [c + n - a + 1] if kind == "equal" else [m + 1 for m in range(c, d)]
                if kind == "insert":  # belongs to what stands before it
                    here.setdefault(a, []).extend(m + 1 for m in range(c, d))
            places[file] = here
        return places[file].get(line, [])

    return place


def tests_by_line() -> tuple[dict[tuple[str, int], list[str]], dict[str, float]]:
    """Return (file, line) -> tests that run through it, and the seconds of each test."""
    lines: dict[tuple[str, int], list[str]] = {}
    seconds = {}
    for file in test_files():
        found, code = map_file(file)
        place = moved(code)
        for test, entry in found.items():
            if not entry["passed"] or entry.get("traced_seconds", 1e9) > SLOWEST:
                continue
            seconds[test] = entry["traced_seconds"]
            for name, numbers in entry["lines"].items():
                for number in {today for before in numbers for today in place(name, before)}:
                    lines.setdefault((name, number), []).append(test)
    return lines, seconds
