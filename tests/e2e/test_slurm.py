"""A sweep on a real Slurm of two nodes: a worker cancelled, one put back into the queue, one at its time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mixlaw.api.project import Project
from mixlaw.api.sweep import plan
from mixlaw.cli import main
from mixlaw.core.errors import StudyError
from mixlaw.core.run import longest_first
from mixlaw.study import executor_slurm
from mixlaw.study.executing import begin
from mixlaw.study.executor_local import run_pending as run_here
from mixlaw.study.executor_slurm import run_pending
from mixlaw.study.executors import SlurmExecutor
from mixlaw.study.slurm_arrays import Arrays, starts
from mixlaw.study.slurm_script import SlurmOptions
from mixlaw.study.store import Study
from slurm_cluster import Cluster, why_not
from small_demo import write_small_demo

RUNS = 12

# A run that is named in a file beside the program takes very long, but only the first time.
PROGRAM = """
import hashlib, json, pathlib, sys, time

spec = json.load(open(sys.argv[1]))
slow = pathlib.Path(__file__).with_name(spec["run"] + ".slow")
if slow.exists():
    slow.unlink()
    time.sleep(300)
nats = int(hashlib.sha256(open(spec["train_file"], "rb").read()).hexdigest()[:8], 16) / 2**32
losses = {name: {"nats": 50 + nats, "count": 100} for name in spec["validation_files"]}
json.dump({"losses": losses, "steps": 1}, open(spec["result"], "w"))
"""


@pytest.fixture(scope="module")
def one_cluster():
    if reason := why_not():
        pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster, monkeypatch):
    monkeypatch.setattr(executor_slurm, "_ASK_EVERY_S", 1.0)
    monkeypatch.setattr(executor_slurm, "_LOOK_EVERY_S", 0.5)
    yield one_cluster
    one_cluster.clear()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    config = write_small_demo(folder)
    (folder / "train.py").write_text(PROGRAM, encoding="utf-8")
    text = config.read_text(encoding="utf-8").replace("  seed: 0", f"  seed: 0\n  runs: {RUNS}")
    command = json.dumps(f"{sys.executable} train.py {{spec}}")
    config.write_text(text.replace("train:\n", f"train:\n  trainer: command\n  command: {command}\n"), encoding="utf-8")
    plan(config)
    return Project.open(config)


def study_beside(project, name: str) -> Study:
    """Return a study of the same runs in a folder of its own."""
    study = Study(project.study.folder.parent / name)
    study.save_plan(project.study.load_plan())
    return study


def slow(project, run: str) -> Path:
    path = project.study.folder.parent / f"{run}.slow"
    path.touch()
    return path


def task_at(study: Study, spec) -> str:
    """Return the job that has begun a run and is at work on it; empty where none is."""
    lines = starts(study.run_folder(spec))
    return lines[-1]["task"] if lines and lines[-1]["event"] == "started" else ""


def records(study: Study) -> dict[str, bytes]:
    return {s.name: (study.run_folder(s) / "record.json").read_bytes() for s in study.load_plan()}


@pytest.mark.timeout(400)
def test_workers_cancelled_requeued_and_at_their_time_limit_change_no_record(cluster, project):
    here, there = study_beside(project, "here"), study_beside(project, "there")
    run_here(here, project.trainer_config, workers=2, threads=1)
    assert len(records(here)) == RUNS

    order = longest_first(there.load_plan())
    cancelled, requeued, limited = order[2], order[3], order[9]
    marks = [slow(project, spec.name) for spec in (cancelled, requeued, limited)]
    events, asked = [], []

    def disturb():
        for spec, words in ((cancelled, ["scancel"]), (requeued, ["scontrol", "requeue"])):
            while not task_at(there, spec):
                time.sleep(0.1)
            asked.append(subprocess.run([*words, task_at(there, spec)], capture_output=True, text=True).returncode)

    threading.Thread(target=disturb, daemon=True).start()
    options = SlurmOptions(time="1", max_parallel=2)
    statuses = run_pending(there, project.trainer_config, on_event=events.append, options=options)

    assert {s.name: (s.state, s.reason) for s in statuses if s.state != "done"} == {} and len(statuses) == RUNS
    assert records(there) == records(here)
    assert asked == [0, 0] and not any(mark.exists() for mark in marks)
    why = {}
    for spec in (cancelled, requeued, limited):
        lines = starts(there.run_folder(spec))
        assert [line["event"] for line in lines[:2]] == ["started", "left"] and lines[-1]["event"] == "finished"
        why[spec.name] = lines[1]["why"]
    assert why == {cancelled.name: "ended", requeued.name: "ended", limited.name: "time limit"}
    # The job at its limit asked for another turn, and has it, if only to find that nothing is left.
    expected = {starts(there.run_folder(spec))[0]["task"] for spec in (requeued, limited)}
    folder = Arrays(there).folder

    def came_back():
        return {path.stem for path in folder.glob("*/*.json") if '"restart": 0' not in path.read_text()}

    cluster.wait_for(lambda: expected <= came_back(), within_s=60)
    assert not list(there.runs_folder.glob("*/lease.json"))
    assert [e.kind for e in events].count("finished") == RUNS
    assert len(Arrays(there).all()) == 1  # the workers that were left did it all, without another array


def test_a_command_that_is_ended_leaves_the_workers_another_follows_them_and_cancel_ends_them(cluster, project, capsys):
    study = study_beside(project, "left")
    mark = slow(project, longest_first(study.load_plan())[0].name)
    options, said, kind = SlurmOptions(max_parallel=1), [], "started"

    def interrupt(event):
        said.append(event)
        if event.kind == kind:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pending(study, project.trainer_config, on_event=interrupt, options=options)
    (array,) = Arrays(study).all()
    assert said[-1].kind == "left" and f"Slurm array {array.number} goes on" in said[-1].reason
    kind = "workers"
    with pytest.raises(KeyboardInterrupt):
        run_pending(study, project.trainer_config, on_event=interrupt, options=options)
    assert Arrays(study).all() == [array]
    assert [event.reason for event in said if event.kind == "workers"][1:] == [f"following Slurm array {array.number}"]

    assert main(["status", str(study.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    at_work = [run for run in told["runs"] if run["state"] == "running"]
    assert [run["where"] for run in at_work] == [f"job {array.number}_0 on n1"]
    assert [job["state"] for job in told["workers"]["slurm"] if job["job"] == f"{array.number}_0"] == ["RUNNING"]
    assert main(["status", str(study.folder)]) == 0
    assert f"Slurm array {array.number}: 1 at work, 1 waiting (JobArrayTaskLimit)" in capsys.readouterr().err

    assert main(["cancel", str(study.folder)]) == 0
    assert "2 Slurm jobs cancelled" in capsys.readouterr().err
    cluster.wait_for(lambda: {s.state for s in study.status()} == {"pending"})
    assert main(["cancel", str(study.folder)]) == 0 and "nothing to cancel" in capsys.readouterr().err
    mark.unlink(missing_ok=True)


def test_two_arrays_share_a_study_and_a_drained_node_only_makes_it_slower(cluster, project):
    study = study_beside(project, "two")
    config = project.trainer_config
    subprocess.run(["scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test"], check=True)
    try:
        begin(study, config, study.load_plan(), retry_failed=False)
        arrays = Arrays(study)
        for _ in range(2):
            arrays.submit(SlurmOptions(max_parallel=1), study.load_plan(), None, None)
        statuses = run_pending(study, config, options=SlurmOptions())
    finally:
        subprocess.run(["scontrol", "update", "NodeName=n2", "State=RESUME"], check=True)
    assert {s.state for s in statuses} == {"done"} and len(arrays.all()) == 2
    nodes = {line["node"] for s in study.load_plan() for line in starts(study.run_folder(s)) if "node" in line}
    assert nodes == {"n1"}


@pytest.mark.parametrize(
    ("options", "words", "remedy"),
    [
        ({"partition": "nowhere"}, "invalid partition specified: nowhere", "Set executor.partition"),
        ({"gpus_per_run": 1}, "Invalid generic resource", "executor.gpus_per_run"),
        ({"sbatch": {"no-such-option": "1"}}, "unrecognized option", "Correct executor.sbatch"),
    ],
)
def test_what_slurm_refuses_leaves_the_study_as_it_was(cluster, project, options, words, remedy):
    study = study_beside(project, "refused")
    asked = SlurmOptions(**options)
    with pytest.raises(StudyError) as early:
        SlurmExecutor(options).reach()  # before anything is tokenised
    with pytest.raises(StudyError) as caught:
        run_pending(study, project.trainer_config, options=asked)
    for error in (early.value, caught.value):
        assert words in error.message and remedy in error.hint
    assert Arrays(study).all() == [] and not list(study.folder.glob("slurm/*.sh"))
    assert {s.state for s in study.status()} == {"pending"}


def test_a_wait_without_an_end_is_an_error_and_leaves_no_job_behind(cluster, project):
    study = study_beside(project, "endless")
    with pytest.raises(StudyError, match=r"will never start array \d+: PartitionTimeLimit. It was cancelled. .*sinfo"):
        run_pending(study, project.trainer_config, options=SlurmOptions(partition="short", time="10"))
    assert not any(task.lives for task in Arrays(study).tasks())


def test_workers_that_cannot_start_are_one_error_with_their_last_words(cluster, project):
    study = study_beside(project, "startless")
    options = SlurmOptions(python="/no/such/python", max_parallel=1)
    with pytest.raises(StudyError) as caught:
        run_pending(study, project.trainer_config, options=options)
    assert "/no/such/python" in caught.value.message and "set executor.python" in caught.value.hint
    assert len(Arrays(study).all()) == 3 and {s.state for s in study.status()} == {"pending"}
