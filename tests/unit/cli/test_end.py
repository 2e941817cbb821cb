import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys, threading, time
from mixlaw import cli


class SlowToTakeDown:
    def __del__(self):
        print("taken down")


kept = SlowToTakeDown()
atexit.register(print, "registered")
if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
print("said", end=" ")
cli._end(3)
"""


@pytest.mark.parametrize(
    ("how", "printed"), [("alone", "said registered\n"), ("thread", "said thread\nregistered\ntaken down\n")]
)
def test_a_command_ends_at_once_when_all_is_written_and_no_thread_of_others_is_at_work(how, printed):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, printed), done.stderr
