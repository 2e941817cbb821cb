"""A Slurm cluster of two nodes on this machine, with folders, ports and a munge of its own, for tests.

It needs the programs of Debian's slurm-wlm and munge, and to be root: slurmd starts the jobs of others.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
_UP_WITHIN_S = 20.0
_END_WAIT_S = 3.0
_PR_SET_PDEATHSIG = 1

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=20
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SchedulerTimeSlice=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=1 State=UP
PartitionName=shut Nodes=ALL MaxTime=1 State=UP AllowAccounts=nobody
"""


def why_not() -> str:
    """Return why no cluster can be started here; empty where it can."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]:
        return f"needs {missing[0]} (apt-get install slurm-wlm munge)"
    return "" if os.getuid() == 0 else "slurmd must be started by root"


class Cluster:
    """A controller and two nodes, n1 and n2, of one core each; a context manager, which ends them.

    While it is there, `SLURM_CONF` of this process points to it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a socket lies in it: a long path is too long for it
        self.conf = self.folder / "slurm.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._before = os.environ.get("SLURM_CONF")

    def __enter__(self) -> Cluster:
        self.folder.chmod(0o755)
        for name in ("state", "spool-n1", "spool-n2"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        text = _CONFIG.format(host=socket.gethostname().split(".")[0], folder=self.folder, ports=_free_ports(3))
        self.conf.write_text(text, encoding="utf-8")
        os.environ["SLURM_CONF"] = str(self.conf)
        try:
            files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munged.log"}
            files |= {"pid-file": "munged.pid", "seed-file": "munged.seed"}
            self._start(
                "munged",
                "--foreground",
                "--force",
                *(f"--{option}={self.folder / name}" for option, name in files.items()),
            )
            self.wait_for(lambda: (self.folder / "munge.socket").exists())
            self._start("slurmctld", "-D", "-f", str(self.conf))
            for node in ("n1", "n2"):
                self._start("slurmd", "-D", "-N", node, "-f", str(self.conf))
            self.wait_for(lambda: self.ask("sinfo", "-h", "-p", "main", "-o", "%T %D").strip() == "idle 2")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: str) -> str:
        """Return what a Slurm command prints; empty where it fails."""
        done = subprocess.run(words, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def wait_for(self, condition, within_s: float = _UP_WITHIN_S) -> None:
        """Wait until a condition holds; raise TimeoutError with the ends of the logs after some time."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                logs = {path.name: path.read_text(errors="replace")[-800:] for path in self.folder.glob("*.log")}
                raise TimeoutError(f"not within {within_s} s; {logs}")
            time.sleep(0.1)

    def close(self) -> None:
        """End everything, the nodes first, and remove the folder."""
        self.clear()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(_END_WAIT_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        if self._before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = self._before
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """End all jobs, and make both nodes take others."""
        self.ask("scancel", "--user=root")
        with contextlib.suppress(TimeoutError):
            self.wait_for(lambda: not self.ask("squeue", "-h").strip())
        self.ask("scontrol", "update", "NodeName=n1,n2", "State=RESUME")

    def _start(self, program: str, *options: str) -> None:
        """Start a daemon that ends with this process, however that ends."""
        command = [str(shutil.which(program, path=_path())), *options]
        log = open(self.folder / f"{program}-start.log", "ab")  # noqa: SIM115 - the daemon's from here on
        with log:
            self._daemons.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_parent))


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
