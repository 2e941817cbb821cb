import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from mixlaw.study import leases
from mixlaw.study.leases import Heartbeat, create_lease, is_live, machine, process_start, read_lease


def test_a_second_claim_on_the_same_file_is_refused(tmp_path):
    path = tmp_path / "lease.json"
    first = create_lease(path)
    assert first is not None and first.held and is_live(path)
    assert create_lease(path) is None
    first.release()
    assert not path.exists() and not is_live(path)
    assert create_lease(path) is not None


def test_releasing_a_lease_that_was_taken_over_leaves_the_new_owner_alone(tmp_path):
    path = tmp_path / "lease.json"
    first = create_lease(path)
    path.unlink()
    second = create_lease(path)
    first.release()
    assert second.held and not first.held


def test_the_lease_of_a_dead_process_is_stale_at_once(tmp_path):
    path = tmp_path / "lease.json"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {"machine": machine(), "pid": child.pid, "started": process_start(child.pid), "token": "x"}
    path.write_text(json.dumps(owner))
    assert is_live(path)
    child.kill()
    deadline = time.monotonic() + 5
    while is_live(path) and time.monotonic() < deadline:  # dead, though nobody has waited for it yet
        time.sleep(0.01)
    assert not is_live(path)
    child.wait()
    child.stdin.close()
    assert not is_live(path)


@pytest.mark.skipif(not process_start(os.getpid()), reason="the system does not tell when a process started")
def test_another_process_with_a_recycled_id_does_not_keep_a_lease_alive(tmp_path):
    path = tmp_path / "lease.json"
    path.write_text(json.dumps({"machine": machine(), "pid": os.getpid(), "started": "1", "token": "x"}))
    assert not is_live(path)


def test_a_lease_of_another_machine_lives_for_a_minute_after_its_last_beat(tmp_path):
    path = tmp_path / "lease.json"
    path.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "started": "1", "token": "x"}))
    touched = path.stat().st_mtime
    assert is_live(path, touched + 59) and not is_live(path, touched + 61)


def test_an_unreadable_lease_has_no_owner(tmp_path):
    path = tmp_path / "lease.json"
    path.write_text('{"machi')
    assert read_lease(path) == {} and read_lease(tmp_path / "none") is None


def test_the_heartbeat_touches_the_lease_and_releases_it(tmp_path):
    path = tmp_path / "lease.json"
    lease = create_lease(path)
    os.utime(path, (1, 1))
    with Heartbeat(lease, every_s=0.01):
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < leases.STALE_AFTER_S
    assert not path.exists()


def _claim_all(folder, wins):
    from mixlaw.study.store import Study

    study = Study(folder)
    mine = [spec.name for spec in study.load_plan() if study.claim(spec) is not None]
    wins.put(mine)
    time.sleep(60)


def test_of_many_processes_that_see_the_same_stale_leases_each_is_taken_by_one(planned):
    study, _ = planned
    from tiny_training import make_specs

    specs = make_specs(study.load_trainer(), tuple(range(400, 430)))
    study.save_plan(specs)
    for spec in specs:
        study.run_folder(spec).mkdir(parents=True)
        owner = {"machine": machine(), "pid": 2**30, "started": "1", "token": "dead"}
        (study.run_folder(spec) / "lease.json").write_text(json.dumps(owner))
    context = multiprocessing.get_context("fork")
    wins = context.Queue()
    processes = [context.Process(target=_claim_all, args=(study.folder, wins), daemon=True) for _ in range(4)]
    for process in processes:
        process.start()
    claimed = sorted(name for _ in processes for name in wins.get(timeout=30))
    for process in processes:
        process.kill()
        process.join()
    assert claimed == sorted(spec.name for spec in specs)


def test_a_lease_from_the_future_counts_for_a_minute_from_when_it_is_seen(tmp_path):
    path = tmp_path / "lease.json"
    path.write_text('{"machine": "another", "pid": 1, "token": "x"}')
    now = time.time()
    os.utime(path, (now + 86_400, now + 86_400))
    assert is_live(path)
    assert is_live(path, now + leases.STALE_AFTER_S - 5)
    assert not is_live(path, time.time() + leases.STALE_AFTER_S)


def test_a_lease_from_the_future_that_cannot_be_touched_counts_for_a_minute_too(tmp_path, monkeypatch):
    path = tmp_path / "lease.json"
    path.write_text('{"machine": "another", "pid": 1, "token": "x"}')
    os.utime(path, (time.time() + 86_400,) * 2)

    def refuse(*_):
        raise PermissionError

    seen = time.monotonic()
    monkeypatch.setattr(os, "utime", refuse)
    assert is_live(path)
    monkeypatch.setattr(time, "monotonic", lambda: seen + leases.STALE_AFTER_S - 1)
    assert is_live(path)
    monkeypatch.setattr(time, "monotonic", lambda: seen + leases.STALE_AFTER_S + 1)
    assert not is_live(path)


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_the_lease_of_a_living_process_of_this_machine_outlives_a_jump_of_the_clock(tmp_path, jump):
    path = tmp_path / "lease.json"
    create_lease(path)
    assert is_live(path, time.time() + jump)


def test_a_process_that_was_stopped_keeps_its_run_for_a_minute(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = tmp_path / "lease.json"
    who = {"machine": machine(), "pid": process.pid, "started": leases.process_start(process.pid), "token": "x"}
    path.write_text(json.dumps(who))
    later = time.time() + 2 * leases.STALE_AFTER_S
    try:
        assert is_live(path, later)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert is_live(path) and not is_live(path, later)
    finally:
        process.kill()
        process.wait()
