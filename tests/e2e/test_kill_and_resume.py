"""A study killed with SIGKILL in the middle of training ends, started again, with the records of an undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study
from paced_trainer import PACE, paced
from quick_study import train_here
from tiny_training import make_config, make_specs

DRIVER = """
import sys
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study

study = Study(sys.argv[1])
run_pending(study, study.load_trainer(), workers=int(sys.argv[2]), threads=1)
"""


@pytest.fixture(autouse=True)
def known_to_workers(monkeypatch):
    """Let workers import the paced trainer."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    config = paced(make_config(folder))
    specs = make_specs(config, (2_000, 2_100, 400))
    study = Study(folder / "study")
    study.save_plan(specs)
    assert [status.state for status in train_here(study, config)] == ["done"] * 3
    return study, specs, config


def record_bytes(study, specs):
    return {spec.name: (study.run_folder(spec) / "record.json").read_bytes() for spec in specs}


def start_driver(study, workers, pace):
    """Start a driver whose workers train at a pace (see `PACE`)."""
    env = os.environ | {PACE: pace}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(study.folder), str(workers)], start_new_session=True, env=env
    )


def wait_for_training(study, specs, steps):
    """Wait until some run without a record has taken `steps` more steps; return the owners of all leases."""
    for path in study.runs_folder.glob("*/metrics.jsonl"):
        path.unlink()  # what an earlier, killed round has left
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for spec in specs:
            folder = study.run_folder(spec)
            metrics = folder / "metrics.jsonl"
            training = metrics.exists() and not (folder / "record.json").exists()
            if training and metrics.read_bytes().count(b"\n") >= steps:
                return {owner for spec in specs if (owner := study.owner(spec))}
        time.sleep(0.005)
    raise AssertionError("no run began to train within two minutes")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_sweep_killed_in_the_middle_ends_with_the_same_records_bit_for_bit(undisturbed, tmp_path):
    reference, specs, config = undisturbed
    study = Study(tmp_path / "study")
    study.save_plan(specs)
    study.save_trainer(config)

    # First round: driver and worker die in the same instant.
    driver = start_driver(study, workers=1, pace="5:1")
    wait_for_training(study, specs, steps=5)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(study.records()) < len(specs)
    assert any((study.run_folder(spec) / "metrics.jsonl").exists() for spec in specs)

    # Second round: only the driver dies, and takes its workers with it.
    driver = start_driver(study, workers=2, pace="10:1")
    owners = wait_for_training(study, specs, steps=10)
    assert owners and all(alive(pid) for pid in owners)
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in owners) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in owners)
    assert len(study.records()) < len(specs)

    # Third round: the end, over what a dying disk may leave as well.
    damaged = study.run_folder(specs[2])
    damaged.mkdir(exist_ok=True)
    (damaged / "record.json").write_text('{"spec": {"name"')
    statuses = run_pending(study, config, workers=1, threads=1)
    assert [status.state for status in statuses] == ["done"] * 3
    assert record_bytes(study, specs) == record_bytes(reference, specs)
    assert not list(study.runs_folder.glob("*/lease.json")) and not list(study.runs_folder.rglob("*.tmp"))


def test_two_drivers_on_one_study_share_the_runs_and_end_with_the_same_records(undisturbed, tmp_path, monkeypatch):
    reference, specs, config = undisturbed
    study = Study(tmp_path / "study")
    study.save_plan(specs)
    study.save_trainer(config)
    shutil.copytree(reference.run_folder(specs[0]), study.run_folder(specs[0]))
    monkeypatch.setenv(PACE, "0:0.1")
    other = start_driver(study, workers=1, pace="0:0.1")
    events = []
    statuses = run_pending(study, config, workers=1, threads=1, on_event=events.append)
    assert other.wait(60) == 0
    assert [status.state for status in statuses] == ["done"] * 3
    assert record_bytes(study, specs) == record_bytes(reference, specs)
    assert not list(study.runs_folder.glob("*/lease.json"))
