"""Long steps of two processes on one study wait for each other."""

import subprocess
import sys
import time

import pytest

from mixlaw.study.alone import alone
from mixlaw.study.store import Study

HOLD = (
    "import sys, time; from mixlaw.study.alone import alone; from mixlaw.study.store import Study\n"
    "with alone(Study(sys.argv[1]), print): print('held', flush=True); time.sleep(float(sys.argv[2]))"
)


@pytest.fixture
def holder(tmp_path):
    found = []

    def hold(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), str(seconds)], stdout=subprocess.PIPE, text=True
        )
        found.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in found:
        process.kill()
        process.communicate()


def test_another_process_is_waited_for_and_that_is_said(tmp_path, holder):
    holder(1.0)
    said, began = [], time.monotonic()
    with alone(Study(tmp_path), said.append):
        assert time.monotonic() - began > 0.5
    assert len(said) == 1 and "waiting for it" in said[0]


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    process = holder(600)
    process.kill()
    process.wait()
    said = []
    with alone(Study(tmp_path), said.append):
        pass
    assert said == []


def test_a_step_inside_a_step_does_not_wait_for_it(tmp_path):
    with alone(Study(tmp_path), print), alone(Study(tmp_path), print):
        pass
    said = []
    with alone(Study(tmp_path), said.append):
        assert said == []


def test_a_study_that_cannot_be_written_is_not_locked(tmp_path):
    with alone(Study(tmp_path / "none"), print):
        pass
    assert not (tmp_path / "none").exists()
