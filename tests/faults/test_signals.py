"""Ctrl-C and SIGTERM end a command within 2 s, whatever it is doing, and say how to go on."""

import os
import signal
import subprocess
import sys
import time

import pytest

BODIES = {
    "in a long calculation that answers no signal": "block()",
    "in a destructor, where Python loses the exception": "thing = Thing(); del thing; time.sleep(60)",
    "in code that takes every exception": "stubborn()",
    "slow to end what it has begun": "tidy()",
}
CODE = """
import ctypes, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs in the background ignores it
import mixlaw.cli as command_line

class Thing:
    def __del__(self):
        time.sleep(60)

def block():  # as a library does that calculates without the interpreter: the signal meets another thread
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    ctypes.CDLL(None).sleep(60)

def stubborn():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def tidy():
    try:
        time.sleep(60)
    finally:
        time.sleep(60)

def main():
    print("ready", flush=True)
    BODY

sys.argv = ["mixlaw", "run", "a b.yaml"]
command_line.main = main
command_line.entry()
"""


def run(code, which):
    """Return exit code, seconds and what was said after a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    began = time.monotonic()
    os.killpg(process.pid, which)
    said = process.communicate(timeout=50)[1]
    return process.returncode, time.monotonic() - began, said


@pytest.mark.parametrize(("which", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("body", BODIES)
def test_a_command_that_loses_the_signal_ends_all_the_same(which, code, body):
    found, took, said = run(CODE.replace("BODY", BODIES[body]), which)
    assert found == code and took < 2.5  # two seconds, and a little for a machine that does other things, too
    assert "mixlaw run 'a b.yaml'" in " ".join(said.split())


LOADING = """
import os, runpy, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "mixlaw.cli":
            print("ready", flush=True)
            exec("import time; time.sleep(60)")  # as a library that writes code for its classes

sys.meta_path.insert(0, Finder())
sys.argv = ["mixlaw", "run", "mix.yaml"]
runpy.run_module("mixlaw", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_while_the_command_is_loaded_ends_it_like_any_other():
    code, took, said = run(LOADING, signal.SIGINT)
    assert code == 130 and took < 2
    assert said.strip() == "error Interrupted. Run the command again to go on where it stopped: mixlaw run mix.yaml"
