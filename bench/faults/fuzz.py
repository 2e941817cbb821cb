"""Feeds mixlaw input that is made to be wrong, and looks whether each ends with a result or one clear error.

    python -m bench.faults.fuzz [--inputs 20000] [--out bench/faults/fuzz.json]

Hypothesis makes the inputs: see `bench.faults.fuzz_targets`. Each is read by the verbs or functions that read such a
file. An input fails where anything but a `MixlawError` or an `OSError` is raised, where it takes over 20 s, where the
process then holds over 2 GB, or where a file outside its folder was written. Findings are kept with their bytes, for a
test.

A machine that is at work otherwise, or stands still, makes any input take long. So an input that took over 20 s is fed
twice more; it fails where it takes as long each time, or where it has used the processor for over 20 s. The others are
listed as `slow_once`, with both times.

Inputs come in blocks of 100, each with a seed of its own; results are written after each block, and a second start goes
on.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.faults.fuzz_targets import Target, targets
from bench.record import stamp
from hypothesis import HealthCheck, Phase, given, seed, settings

from mixlaw.core.errors import MixlawError
from mixlaw.core.files import write_json

BLOCK = 100
QUICK = 5
"""Blocks of each kind that one function reads, for one of each kind under the verbs: those take a second an input."""
LONGEST_S, MOST_BYTES = 20.0, 2 << 30


class Watch:
    """Lists the files outside some folders that this process opens for writing, makes, moves or removes.

    Args:
        inside: what may be written.
    """

    def __init__(self, *inside: Path) -> None:
        self.inside = tuple(str(path.resolve()) for path in inside)
        self.found: list[str] = []
        self.on = False
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or event not in WRITING:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        paths = [path for path in arguments[: WRITING[event]] if isinstance(path, str)]
        if event != "open" and arguments[-1] != -1:
            return  # relative to a folder that was opened: its own name was looked at
        for path in map(os.path.abspath, paths):
            if not path.startswith(self.inside) and path != os.devnull and "__pycache__" not in path:
                self.found.append(path)


WRITING = {"open": 1, "os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2}
"""Event of Python's audit hooks -> how many of its arguments are paths."""


def used_s() -> float:
    """Return the processor time that this process and those it has ended have used, s."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def fed(target: Target, data: bytes) -> tuple[str, str, float, float]:
    """Feed one input; return `read`, `refused` or `failed`, the problem, wall and processor time, s."""
    began, used, verdict, problem = time.monotonic(), used_s(), "read", ""
    try:
        target.read(data)
    except (MixlawError, OSError):
        verdict = "refused"
    except Exception as error:
        verdict, problem = "failed", f"{type(error).__name__}: {error}"[:300]
    return verdict, problem, time.monotonic() - began, used_s() - used


class Block:
    """What came of a block of inputs.

    Args:
        target: what they are fed to.
        name: of its kind.
        watch: sees what is written outside.
    """

    def __init__(self, target: Target, name: str, watch: Watch) -> None:
        self.target, self.name, self.watch = target, name, watch
        self.refused, self.longest_s, self.longest_cpu_s = 0, 0.0, 0.0
        self.failures: list[dict[str, Any]] = []
        self.slow_once: list[dict[str, Any]] = []

    def feed(self, data: bytes) -> None:
        """Feed an input and note what came of it."""
        self.watch.found.clear()
        self.watch.on = True
        verdict, problem, wall, cpu = fed(self.target, data)
        self.watch.on = False
        given = {"kind": self.name, "input": base64.b64encode(data).decode()}
        if cpu > LONGEST_S:
            problem = problem or f"used the processor for {cpu:.0f} s"
        elif wall > LONGEST_S:
            again = [fed(self.target, data)[2] for _ in range(2)]
            if min(again) > LONGEST_S:
                problem = problem or f"took {min(wall, *again):.0f} s each time"
            else:
                self.slow_once.append(given | {"wall_s": round(wall, 1), "cpu_s": round(cpu, 2)})
        if self.watch.found:
            problem = problem or f"wrote {self.watch.found[0]}"
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MOST_BYTES:
            problem = problem or "more than 2 GB"
        if problem:
            self.failures.append(given | {"problem": problem})
        self.refused += verdict == "refused"
        self.longest_s, self.longest_cpu_s = max(self.longest_s, wall), max(self.longest_cpu_s, cpu)


def block(target: Target, name: str, number: int, watch: Watch) -> Block:
    """Feed a block of inputs."""
    found = Block(target, name, watch)

    @seed(number)
    @settings(
        max_examples=BLOCK,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def feed(data: bytes) -> None:
        found.feed(data)

    feed()
    return found


def main() -> None:
    """Feed inputs until there were enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("fuzz.json"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    counts: dict[str, dict[str, Any]] = {}
    failures: list[dict[str, Any]] = []
    slow_once: list[dict[str, Any]] = []
    if options.out.exists():
        before = json.loads(options.out.read_text())
        counts, failures, slow_once = before["counts"], before["failures"], before["slow_once"]
    with tempfile.TemporaryDirectory(prefix="mixlaw-fuzz-") as place:
        kinds = targets(Path(place))
        watch = Watch(Path(place))
        values = [name for name in kinds if name.startswith("values ")]
        turns = [*(name for name in kinds if name not in values)] * QUICK + values
        while (number := sum(c["inputs"] for c in counts.values()) // BLOCK) * BLOCK < options.inputs:
            name = turns[number % len(turns)]
            found = block(kinds[name], name, number, watch)
            mine = counts.setdefault(name, dict.fromkeys(("inputs", "refused", "failed", "longest_s", "cpu_s"), 0))
            mine["inputs"] += BLOCK
            mine["refused"] += found.refused
            mine["failed"] += len(found.failures)
            mine["longest_s"] = round(max(mine["longest_s"], found.longest_s), 2)
            mine["cpu_s"] = round(max(mine["cpu_s"], found.longest_cpu_s), 2)
            failures += found.failures
            slow_once += found.slow_once
            head = stamp("reporting", "the number of each block of a hundred", {})
            total = {"inputs": sum(c["inputs"] for c in counts.values()), "failed": len(failures)}
            said = {"total": total, "counts": counts, "slow_once": slow_once, "failures": failures}
            write_json(options.out, head | said)


if __name__ == "__main__":
    main()
