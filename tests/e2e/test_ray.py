"""The sweep on a Ray cluster whose nodes share no storage with the driver, one of which is killed in the middle."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study
from ray_cluster import isolated, why_not
from tiny_training import make_config, make_specs

pytest.importorskip("ray")

RUNS = 6


@pytest.mark.timeout(800)
def test_a_node_killed_in_the_middle_costs_its_run_and_all_records_are_those_of_the_local_executor(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    config = make_config(tmp_path / "inputs", rows=600)
    specs = make_specs(config, tuple(range(6_000, 6_000 + 500 * RUNS, 500)))
    here, there = Study(tmp_path / "local"), Study(tmp_path / "ray")
    for study in (here, there):
        study.save_plan(specs)
        study.save_trainer(config)
    assert [s.state for s in run_pending(here, config, workers=1, threads=1)] == ["done"] * RUNS

    script = Path(__file__).parents[1] / "ray_sweep.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        isolated([str(script), str(there.folder), str(tmp_path)]), capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])

    assert {state for state, _ in said["states"].values()} == {"done"} and len(said["states"]) == RUNS
    assert records(there, specs) == records(here, specs)
    # The node had one core: what it lost is the run on it, and perhaps one that was on its way there.
    retried = [event["run"] for event in said["events"] if event["kind"] == "retry"]
    assert said["killed_at"] is not None and 1 <= len(set(retried)) <= 2
    assert not list(there.runs_folder.glob("*/lease.json")) and not list(there.runs_folder.glob("*/incoming"))
    log = there.training_logs()[specs[0].name]
    assert log == here.training_logs()[specs[0].name]

    assert said["said"]["interrupted"] == ["pending"] * RUNS
    assert "needs 1 CPU, 1 GPU; the nodes have" in said["said"]["gpu"]
    assert "1 CPU, 2 tpu" in said["said"]["custom"] and "executor.wait_for_nodes_s" in said["said"]["custom"]


def records(study, specs):
    return {spec.name: (study.run_folder(spec) / "record.json").read_bytes() for spec in specs}
