"""`fit` and `solve` wait for a process that is at work in the study; Ctrl-C waits for no worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mixlaw.api.numbers import load_fit, waiting
from mixlaw.core.errors import DataError
from mixlaw.core.run import RunSpec
from mixlaw.study.alone import alone
from mixlaw.study.store import Study

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from mixlaw.study.alone import alone; from mixlaw.study.store import Study\n"
    "with alone(Study(sys.argv[1]), print):\n"
    "    print('held', flush=True); time.sleep(0.8); Path(sys.argv[1], 'fit.json').write_text('[]')"
)


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "study")
    study.save_plan([RunSpec("base-0", {"code": 600}, 0)])
    return study


@pytest.fixture
def holder(study):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(study.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


def test_a_fit_that_is_written_into_a_study_waits_for_another_process(study, holder, caplog):
    with waiting("runs.csv", study.folder / "fit.json"):
        assert (study.folder / "fit.json").exists()
    assert "Another process is at work" in caplog.text and "waiting for it" in caplog.text


def test_a_fit_that_another_process_is_making_is_waited_for(study, holder):
    with pytest.raises(DataError, match="the file is") as caught:  # it has come, and is none
        load_fit(study.folder / "fit.json")
    assert "No such file" not in caught.value.message


def test_tables_outside_of_a_study_wait_for_nobody(study, tmp_path):
    done = threading.Event()

    def elsewhere():
        with waiting(tmp_path / "runs.csv", tmp_path / "fit.json", {"run": []}):
            done.set()

    with alone(study, print):
        threading.Thread(target=elsewhere).start()
        assert done.wait(5)


LONG = (
    # A shell that runs in the background lets its children ignore SIGINT.
    "import signal, time, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from mixlaw.data.pool import run_tasks\n"
    "from pathlib import Path\n"
    "print('begun', flush=True)\n"
    "try:\n    run_tasks([(time.sleep, (60,)), (time.sleep, (61,))], 2)\n"
    "except KeyboardInterrupt:\n    sys.exit(9)\n"
)


def test_ctrl_c_does_not_wait_for_the_pieces_that_workers_have_begun(tmp_path):
    (tmp_path / "long.py").write_text(LONG)
    process = subprocess.Popen(
        [sys.executable, "long.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "begun\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 30
    while len(children.read_text().split()) < 3 and time.monotonic() < deadline:  # two workers and a resource tracker
        time.sleep(0.05)
    time.sleep(1.0)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 9 and time.monotonic() - began < 2 and said == ""
