"""How many small wrong changes to laws, fit and solve do the tests notice?

    python bench/mutation/run.py --count 400

A sample of mutants (`mutants.py`) is run, each against the fast tests that run through its line (`nearest.py`), the
quickest first, until one fails. Slower tests, and those of other packages, would notice more. A survivor is a mutant
that no test notices, or that no fast test reaches; `harmless.json` says by its id why one may live. A test that fails
or does not end is asked again without the change: where it does so all the same it shows nothing, and the mutant counts
as not noticed.

The interpreter is started once, and forked for every mutant. Results are kept in build/mutation/, and used again where
the code is the same; survivors run again where the tests changed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from mutants import Mutant, mutated, sample
from nearest import BUILD, OPTIONS, ROOT, digest, settle, sources, test_files, tests_by_line

HERE = Path(__file__).parent
_FIRST = 4.0
"""Seconds of tests in the first fork of a mutant: most are noticed by then."""

_SHOWN = ("id", "file", "line", "where", "kind", "before", "after", "verdict", "tests", "tests_left_out")


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with a change in it."""

    def __init__(self, mutant: Mutant, changed: bool) -> None:
        """Take the mutant; or, as a control, its file as it is."""
        path = ROOT / mutant.file
        self.path, source = path, path.read_text()
        self.code = compile(mutated(source, mutant.number) if changed else source, str(path), "exec")
        parts = Path(mutant.file).relative_to("src").with_suffix("").parts
        self.package = parts[-1] == "__init__"
        self.module = ".".join(parts[:-1] if self.package else parts)

    def find_spec(self, fullname: str, path: object, target: object = None) -> object:
        """Answer for the one module."""
        if fullname != self.module:
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            self.path,
            loader=self,
            submodule_search_locations=[str(self.path.parent)] if self.package else None,
        )

    def create_module(self, spec: object) -> None:
        """Leave it to Python."""

    def exec_module(self, module: object) -> None:
        """Run the changed code."""
        exec(self.code, vars(module))


class Nearest:
    """Which tests may notice a mutant."""

    def __init__(self) -> None:
        """Read the map, and where the constants of modules are used."""
        self.lines, self.seconds = tests_by_line()
        self.by_file: dict[str, set[str]] = {}
        for (file, _), tests in self.lines.items():
            self.by_file.setdefault(file, set()).update(tests)
        self.uses: dict[str, set[tuple[str, int]]] = {}
        self.bodies: dict[tuple[str, int], range] = {}
        for file in sources():
            for node in ast.walk(ast.parse((ROOT / file).read_text())):
                name = getattr(node, "id", None) or getattr(node, "attr", None)
                if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                    self.uses.setdefault(str(name), set()).add((file, node.lineno))
                if isinstance(node, ast.FunctionDef):
                    for default in [*node.args.defaults, *[d for d in node.args.kw_defaults if d]]:
                        body = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
                        self.bodies[file, default.lineno] = body
        self.noticed: Counter[str] = Counter()
        self.passes: dict[str, bool] = {}

    def sound(self, mutant: Mutant, test: str) -> bool:
        """Return whether a test that failed passes without the change: asked once of every test."""
        if test in self.seconds and test not in self.passes:
            self.passes[test] = attempt(mutant, [test], 60 + 5 * self.seconds[test], changed=False)[0] == "survived"
        return self.passes.get(test, True)

    def of(self, mutant: Mutant, most: float) -> tuple[list[str], int]:
        """Return the tests that run through the statement, likeliest first, and how many `most` seconds leave out."""
        found = set(self.lines.get((mutant.file, mutant.line), ()))
        found |= set(self.lines.get((mutant.file, mutant.first), ()))
        if not found and (body := self.bodies.get((mutant.file, mutant.line))):
            found = {test for line in body for test in self.lines.get((mutant.file, line), ())}
        if not found and mutant.where == "<module>":
            places = [place for name in mutant.names for place in self.uses.get(name, ())]
            found = {test for place in places for test in self.lines.get(place, ())}
            found = found or self.by_file.get(mutant.file, set())
        elif not found and "." not in mutant.where and mutant.where[:1].isupper():
            found = self.by_file.get(mutant.file, set())  # a default of a class
        ordered = sorted(found, key=lambda test: (self.seconds[test] / (1 + self.noticed[test]), test))
        kept, total = [], 0.0
        for test in ordered:
            total += self.seconds[test]
            if total <= most or not kept:
                kept.append(test)
        return kept, len(ordered) - len(kept)


def attempt(mutant: Mutant, tests: list[str], seconds: float, changed: bool = True) -> tuple[str, str]:
    """Return killed, hangs or survived for tests in a forked child, and the test that failed.

    Args:
        mutant: which.
        tests: node ids.
        seconds: the limit.
        changed: False for the control, the same tests of the same code without the change.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            os.setsid()
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            os.write(write, _child(mutant, tests, changed).encode())
        finally:
            os._exit(0)
    os.close(write)
    end = time.monotonic() + seconds
    done = 0
    while not done and time.monotonic() < end:
        done, _ = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode() if done else "hangs"
    verdict, _, test = (said or "killed|crashed").partition("|")
    return verdict, test


def _child(mutant: Mutant, tests: list[str], changed: bool) -> str:
    import pytest

    class First:
        failed = ""

        def pytest_runtest_logreport(self, report: object) -> None:
            if report.outcome == "failed" and not self.failed:  # type: ignore[attr-defined]
                self.failed = report.nodeid  # type: ignore[attr-defined]

    settle()
    sys.meta_path.insert(0, Mutated(mutant, changed))
    first = First()
    status = pytest.main([*OPTIONS, "-x", *tests], plugins=[first])
    return "survived|" if status == 0 else f"killed|{first.failed or 'import'}"


def judge(mutant: Mutant, nearest: Nearest, most: float) -> dict:
    """Return what becomes of a mutant: killed, hangs, survived, no test, or unclear where a control fails as well."""
    start = time.monotonic()
    tests, left = nearest.of(mutant, most)
    verdict, by, total, first = "no test", "", 0.0, []
    for test in tests:
        if first and total + nearest.seconds[test] > _FIRST:
            break
        first.append(test)
        total += nearest.seconds[test]
    for part in (first, tests[len(first) :]):
        if part and verdict in ("no test", "survived"):
            usual = sum(nearest.seconds[test] for test in part)
            verdict, by = attempt(mutant, part, 20 + 5 * usual)
            if verdict == "hangs" and attempt(mutant, part, 10 + 3 * usual, changed=False)[0] != "survived":
                verdict = "unclear"
            if verdict == "killed" and not nearest.sound(mutant, by):
                verdict = "unclear"
    if by in nearest.seconds:
        nearest.noticed[by] += 1
    seconds = round(time.monotonic() - start, 2)
    return {"verdict": verdict, "by": by, "tests": len(tests), "tests_left_out": left, "seconds": seconds}


def warm() -> None:
    """Import what every child needs, and nothing of mixlaw."""
    for name in ("numpy", "scipy.optimize", "scipy.stats", "scipy.special", "scipy.linalg", "pydantic", "yaml"):
        importlib.import_module(name)
    for name in ("pytest", "pytest_timeout", "hypothesis", "rich.console", "cvxpy"):
        importlib.import_module(name)
    if any(name.startswith("mixlaw") for name in sys.modules):
        raise SystemExit("mixlaw is imported before the mutants are made.")


def summary(results: list[dict], harmless: dict[str, str], seed: int) -> dict:
    """Return the scores and the survivors."""
    alive = ("survived", "no test", "unclear")
    files: dict[str, list[bool]] = {}
    for result in results:
        files.setdefault(result["file"], []).append(result["verdict"] not in alive)
    rooms: dict[str, list[bool]] = {}
    for file, noticed in files.items():
        rooms.setdefault(file.split("/")[2], []).extend(noticed)
    survivors = [
        {key: result[key] for key in _SHOWN} | {"reason": harmless.get(result["id"], "")}
        for result in results
        if result["verdict"] in alive
    ]
    noticed = sum(map(sum, files.values()))
    harmful = sum(not survivor["reason"] for survivor in survivors)
    return {
        "seed": seed,
        "mutants": len(results),
        "noticed": noticed,
        "score": round(noticed / len(results), 4),
        "score_without_harmless": round(noticed / max(noticed + harmful, 1), 4),
        "rooms": {room: round(sum(kept) / len(kept), 4) for room, kept in sorted(rooms.items())},
        "files": {file: f"{sum(kept)} of {len(kept)}" for file, kept in sorted(files.items())},
        "survivors": sorted(survivors, key=lambda survivor: (survivor["file"], survivor["line"])),
    }


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only files whose path has this in it; writes no results.json")
    parser.add_argument("--test-seconds", type=float, default=90.0, help="most seconds of tests for a mutant")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; a later run goes on")
    return parser.parse_args()


def main() -> None:
    """Run the sample and write results.json."""
    asked = arguments()
    os.chdir(ROOT)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    paths = [str(ROOT / "src"), str(ROOT / "tests")]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    warm()
    nearest = Nearest()
    code, tests = digest(sources()), digest(test_files())
    log = BUILD / "results.jsonl"
    known = {}
    for line in log.read_text().splitlines() if log.exists() else []:
        result = json.loads(line)
        alive = result["verdict"] in ("survived", "no test", "unclear")
        if result["code"] == code and (not alive or result["with"] == tests):
            known[result["file"], result["id"]] = result
            nearest.noticed[result["by"]] += 1
    chosen = [m for m in sample(ROOT, sources(), asked.count, asked.seed) if asked.only in m.file]
    end = time.monotonic() + 60 * asked.minutes
    results = []
    for place, mutant in enumerate(chosen, 1):
        result = known.get((mutant.file, mutant.id))
        if result is None:
            if time.monotonic() > end:
                continue
            result = vars(mutant) | judge(mutant, nearest, asked.test_seconds) | {"code": code, "with": tests}
            with log.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print(
                f"{place}/{len(chosen)} {result['verdict']:9} {result['seconds']:6.1f} s  {mutant.file}:{mutant.line}"
            )
            if result["verdict"] in ("survived", "no test", "unclear"):
                print(f"    {mutant.kind}: {mutant.before}\n    {'':{len(mutant.kind)}}  {mutant.after}", flush=True)
        results.append(result)
    kept = HERE / "harmless.json"
    found = summary(results, json.loads(kept.read_text()) if kept.exists() else {}, asked.seed)
    if not asked.only and len(results) == len(chosen):
        (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    print({key: found[key] for key in ("mutants", "noticed", "score", "score_without_harmless", "rooms")})


if __name__ == "__main__":
    main()
