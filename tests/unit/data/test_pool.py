import os
import signal
import subprocess
import sys

import pytest

from mixlaw.core.errors import DataError
from mixlaw.data.pool import run_tasks, shared


def double(x):
    return shared() * x


def fail(x):
    raise DataError(f"task {x}", "hint")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers):
    assert run_tasks([(double, (x,)) for x in range(5)], workers, 10) == [0, 10, 20, 30, 40]
    assert shared() is None


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_in_the_order_of_the_tasks_is_raised(workers):
    with pytest.raises(DataError, match="task 1") as caught:
        run_tasks([(double, (0,)), (fail, (1,)), (fail, (2,))], workers, 1)
    assert caught.value.hint == "hint"


def test_a_killed_worker_is_one_error():
    with pytest.raises(DataError, match="worker processes was killed"):
        run_tasks([(die, ()), (double, (1,))], 2, 1)


def test_a_script_without_a_guard_starts_no_workers_of_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from os.path import basename\nfrom mixlaw.data.pool import run_tasks\n"
        "print(run_tasks([(basename, ('a/b',)), (basename, ('a/c',))], 2), flush=True)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "['b', 'c']\n"
