"""Train a study on an isolated cluster of two nodes, kill one of them in the middle, and print what happened as JSON.

python ray_sweep.py STUDY HIDDEN: the nodes see nothing of the folder HIDDEN, in which the study and its inputs lie.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

from mixlaw.core.errors import MixlawError
from mixlaw.study.executor_ray import RayOptions, run_pending
from mixlaw.study.store import Study
from ray_cluster import ADDRESS, Cluster

KILL_AFTER, AT_LAST = 3, 4
"""Finished runs from which on a node is killed: while neither run at work is half done, so that none can end at that
moment; and whatever they are at."""


def interrupt(event) -> None:
    """What Ctrl-C does while a run trains."""
    if event.kind == "progress":
        raise KeyboardInterrupt


def main() -> None:
    study, cluster = Study(sys.argv[1]), Cluster(Path(sys.argv[2]))
    config, options = study.load_trainer(), RayOptions(ADDRESS)
    victim = [cluster.add_node(), cluster.add_node()][1]
    events, said, killed_at, shares = [], {}, None, {}

    def note(event):
        nonlocal killed_at
        events.append({"kind": event.kind, "run": event.run, "reason": event.reason, "at_s": event.elapsed_s})
        shares[event.run] = event.step / max(event.steps, 1)
        early = all(shares.get(run, 0.0) < 0.5 for run in event.running) or event.runs_done >= AT_LAST
        if killed_at is None and event.runs_done >= KILL_AFTER and len(event.running) == 2 and early:
            cluster.kill(victim)
            killed_at = event.elapsed_s

    try:
        before = sorted(path.name for path in study.runs_folder.iterdir())
        for name, asked in (("gpu", {"gpus_per_run": 1}), ("custom", {"resources": {"tpu": 2}})):
            try:
                run_pending(study, config, options=dataclasses.replace(options, **asked))
            except MixlawError as error:
                said[name] = str(error)
        assert sorted(path.name for path in study.runs_folder.iterdir()) == before
        try:
            run_pending(study, config, on_event=interrupt, options=options)
        except KeyboardInterrupt:
            said["interrupted"] = [status.state for status in study.status()]
        began = time.monotonic()
        statuses = run_pending(study, config, on_event=note, options=options)
        took = time.monotonic() - began
    finally:
        cluster.close()
    states = {status.name: [status.state, status.reason] for status in statuses}
    said = {"events": events, "said": said, "states": states, "killed_at": killed_at, "took_s": took}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
