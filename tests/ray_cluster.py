"""A Ray cluster on this machine: a head and worker nodes that see none of the driver's files, and can be killed.

Run as a program inside namespaces of its own (see `isolated`): the network is loopback alone, and whatever the program
has started ends with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ADDRESS = "127.0.0.1:6399"
UNSHARE = ["unshare", "-U", "-r", "-n", "-m", "-p", "--mount-proc", "--fork", "--kill-child"]
_MARK = "MIXLAW_TEST_NODE"
_TRIES = 3  # Ray gives a node 30 seconds to start, which a busy machine may not have
_STORE = 80 * 2**20  # Ray's least
_MEMORY = 1500 * 2**20  # Ray sees the host's memory, not the limit of a container


def why_not() -> str:
    """Return why no isolated cluster can be started here; empty where it can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "needs unshare and ip"
    done = subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"unshare is not permitted: {done.stderr.strip()}"


def isolated(arguments: list[str]) -> list[str]:
    """Return the command that runs this interpreter with the arguments in namespaces of its own."""
    return [*UNSHARE, "sh", "-c", 'ip link set lo up; exec "$0" "$@"', sys.executable, *arguments]


class Cluster:
    """A head without cores, and worker nodes.

    Args:
        hidden: a folder that the worker nodes see empty.
    """

    def __init__(self, hidden: Path) -> None:
        self.hidden = hidden
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # sockets lie in it: a long path is too long for them
        self.started = 0
        system = '{"health_check_period_ms": 500, "health_check_failure_threshold": 3}'
        port = ADDRESS.rpartition(":")[2]
        options = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
        self._start([*options, f"--temp-dir={self.folder}", f"--system-config={system}"])

    def add_node(self, cpus: int = 1, gpus: int = 0) -> str:
        """Start a worker node and return its name, for `kill`."""
        return self._start([f"--address={ADDRESS}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"], hide=True)

    def kill(self, name: str) -> None:
        """End all processes of a node at once, as a power failure would."""
        for pid in self.processes(name):
            os.kill(pid, signal.SIGKILL)

    def processes(self, name: str) -> list[int]:
        """Return the process ids of a node."""
        mark = f"{_MARK}={name}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def close(self) -> None:
        """End everything."""
        for name in range(self.started):
            self.kill(f"node-{name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, options: list[str], hide: bool = False) -> str:
        name = f"node-{self.started}"
        self.started += 1
        scratch = self.folder / name
        scratch.mkdir()
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
        command += [f"--object-store-memory={_STORE}", f"--memory={_MEMORY}", "--disable-usage-stats"]
        # Addresses of their own: a driver belongs to the node of its own address, which must not be the one that dies.
        command += [f"--node-ip-address=127.0.0.{self.started}"]
        if hide:
            script = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, str(self.hidden), *command]
        environment = os.environ | {_MARK: name, "TMPDIR": str(scratch), "RAY_DISABLE_IMPORT_WARNING": "1"}
        began = time.monotonic()
        for _ in range(_TRIES):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
            if done.returncode == 0:
                return name
            self.kill(name)
        raise RuntimeError(f"{name} did not start after {time.monotonic() - began:.0f} s: {done.stderr[-2000:]}")
