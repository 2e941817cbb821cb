"""A worker of its own: `python -m mixlaw.study.take STUDY [--part 2/8]`. Trains runs until none is left for it.

It is what a container runs, under whatever starts containers again (Kubernetes, SkyPilot). Unlike `worker`, it waits
for a run whose owner has not been heard of for some beats, such as its own predecessor on a node that was lost. With
`--part` it takes every eighth run alone, the third, the eleventh and so on in order of tokens: workers that have
different parts need no leases, and so no file system that has locks.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Sequence

from mixlaw.core.errors import ConfigError, MixlawError
from mixlaw.core.run import RunSpec, longest_first
from mixlaw.study.leases import BEAT_EVERY_S, STALE_AFTER_S
from mixlaw.study.store import Study
from mixlaw.study.worker import work

UNATTENDED_AFTER_S = 3 * BEAT_EVERY_S
"""After this long without a beat, s, an owner may be dead. No data: three beats."""

LOOK_EVERY_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Train; return 0 when nothing is left, failed runs included; 1 where no run can be trained."""
    parser = argparse.ArgumentParser(prog="python -m mixlaw.study.take", description="Train a study's runs.")
    parser.add_argument("study", help="the study folder")
    parser.add_argument("--part", default="0/1", help="INDEX/COUNT: only every COUNT-th run, from the INDEX-th on")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        study = Study(options.study)
        specs = part_of(study.load_plan(), options.part)
        while True:
            work(study, specs, lambda event: None)
            if not study.pending(specs) and not some_unattended(study, specs):
                return 0
            time.sleep(LOOK_EVERY_S)
    except MixlawError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def part_of(specs: Sequence[RunSpec], part: str) -> list[RunSpec]:
    """Return one worker's runs: those at INDEX, INDEX + COUNT, ... in order of tokens, the most first.

    Args:
        specs: all runs.
        part: INDEX/COUNT, the index from 0.

    Raises:
        ConfigError: it is not written so, or the index is not below the count.
    """
    index, _, count = part.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ConfigError(
            f"--part is {part!r}; it must be INDEX/COUNT with an index from 0.", "For example: --part 2/8"
        )
    return longest_first(specs)[int(index) :: int(count)]


def some_unattended(study: Study, specs: Sequence[RunSpec]) -> bool:
    """Return whether a run is claimed by somebody who has not been heard of for some beats and may be dead.

    Args:
        study: the study.
        specs: the runs that matter.
    """
    now = study.now()
    for spec in specs:
        with contextlib.suppress(OSError):
            age = now - (study.run_folder(spec) / "lease.json").stat().st_mtime
            if UNATTENDED_AFTER_S < age <= STALE_AFTER_S + LOOK_EVERY_S and study.record(spec) is None:
                return True
    return False


def _terminate(*_: object) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
