"""The probe: how fast a study's trainer is on this machine, before any run is trained.

`python -m mixlaw.study.probe STUDY` is one of as many processes as will train at once, since they share what the
machine has. Each builds the trainer, times a few steps and evaluations of a typical run, and prints what it found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixlaw.core.run import RunSpec
from mixlaw.study.store import Study
from mixlaw.train.pace import Pace

SECONDS = 10.0
"""For steps and evaluations. With the start of a worker, and of a large model, less than `LIMIT_S`. No data."""

LIMIT_S = 30.0
"""Until a probe is given up. No data."""

_LEAST_S, _SPARE_S = 2.0, 6.0
"""Of a probe's seconds, what is measured at least, and what is spared for the last step and the end. No data."""


def probe(study: Study, environments: Sequence[dict[str, str]], limit_s: float = LIMIT_S) -> dict[str, Pace] | None:
    """Return `wall` and `cpu`: the mean pace of workers that train at once; None where none was found in time.

    Args:
        study: with a plan and a trainer.
        environments: of each worker.
        limit_s: seconds until it is given up.
    """
    command = [sys.executable, "-m", "mixlaw.study.probe", str(study.folder), "--limit", str(limit_s)]
    began, processes = time.monotonic(), []
    with contextlib.suppress(OSError):
        for environment in environments:
            processes.append(
                subprocess.Popen(
                    [*command, "--began", str(time.time())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env=environment,
                    # No session of its own: on a busy machine Linux gives each session as much as any other.
                    process_group=0,
                )
            )
    found = []
    try:
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired, ValueError, IndexError):
                said, _ = process.communicate(timeout=max(0.1, limit_s - (time.monotonic() - began)))
                found.append(json.loads(said.splitlines()[-1]))
    finally:
        for process in processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if len(found) < len(environments):
        return None
    return {clock: _mean([Pace(**one[clock]) for one in found]) for clock in ("wall", "cpu")}


def typical(specs: list[RunSpec]) -> RunSpec | None:
    """Return the run in the middle of those that train, by their tokens; None without any."""
    trained = sorted((s for s in specs if s.trained_tokens), key=lambda s: (s.trained_tokens, s.name))
    return trained[len(trained) // 2] if trained else None


def _mean(paces: list[Pace]) -> Pace:
    # Of the seconds a token: as long as all take together.
    each = [replace(pace, tokens_per_s=1 / pace.tokens_per_s) for pace in paces]
    means = {key: float(np.mean([getattr(pace, key) for pace in each])) for key in Pace.__dataclass_fields__}
    return Pace(**means | {"tokens_per_s": 1 / means["tokens_per_s"]})


def main() -> None:
    """Measure, and print the paces."""
    parser = argparse.ArgumentParser(prog="python -m mixlaw.study.probe")
    parser.add_argument("study", type=Path)
    parser.add_argument("--began", type=float, default=time.time())
    parser.add_argument("--limit", type=float, default=LIMIT_S)
    options = parser.parse_args()
    study = Study(options.study)
    spec = typical(study.load_plan())
    if spec is None:
        return
    trainer = study.load_trainer().build()
    started = {"wall": time.time() - options.began, "cpu": time.process_time()}
    # On a busy machine the start alone takes long: what is left is used.
    seconds = min(SECONDS, max(_LEAST_S, options.limit - started["wall"] - _SPARE_S))
    with tempfile.TemporaryDirectory(prefix="mixlaw-probe-") as folder:
        paces = trainer.pace(spec, folder=Path(folder), seconds=seconds)
    found = {c: replace(p, start_s=started[c]).to_json() for c, p in zip(started, paces, strict=True)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
