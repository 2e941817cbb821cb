"""Slurm's own commands: what they are asked, how their answers are read, and what to do about their refusals.

Arrays are found by their job's name, which is made once and is unique, and not by their number: a number that was lost
between sbatch and the study's own file, or that a rebuilt cluster has given away again, can then do no harm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlaw.core.errors import StudyError

NEEDED = ("sbatch", "squeue", "scancel")

_ANSWER_WITHIN_S = 60.0
"""No data. Slurm's commands wait 10 s for a message by default (MessageTimeout) and try again some times."""

_FIELDS = "%i|%T|%r|%N|%j"
_SACCT_FIELDS = "JobID,State,ExitCode,NodeList"

_REMEDIES = (
    ("qos policy", "Ask for less (executor.time, max_parallel, GPUs), or wait until your other jobs have ended."),
    ("account", "Set executor.sbatch.account; `sacctmgr show associations user=$USER` lists yours."),
    ("partition", "Set executor.partition to one that `sinfo` lists."),
    ("qos", "Set executor.sbatch.qos; `sacctmgr show qos` lists them."),
    ("job submit limit", "Wait until some of your jobs have ended, or lower executor.max_parallel."),
    ("job array", "Lower executor.max_parallel: an array has twice as many jobs, and Slurm allows fewer."),
    ("generic resource", "Lower executor.gpus_per_run, or name the kind: executor.sbatch.gres: gpu:a100:1."),
    ("--time", "Write executor.time as hours:minutes:seconds, such as 04:00:00."),
    ("time limit", "Lower executor.time; `sinfo` shows each partition's limit."),
    ("memory", "Lower executor.sbatch.mem; `sinfo -o '%P %m'` shows what nodes have."),
    ("cpu count", "Lower executor.cpus_per_run; `sinfo -o '%P %c'` shows what nodes have."),
    ("node", "Ask for fewer nodes, GPUs or cores, or name another executor.partition."),
    ("option", "Correct executor.sbatch: its keys are the long options of sbatch, without the dashes."),
    ("configuration source", "Run the command on a login node of the cluster: this machine belongs to none."),
    ("contact slurm controller", "Try again later; `scontrol ping` says whether Slurm is up."),
    ("timed out", "Try again later; `scontrol ping` says whether Slurm is up."),
)
"""A piece of what Slurm says -> what to do. The first that fits counts, so the special ones are above the general."""

_NEVER = {
    **dict.fromkeys(("PartitionTimeLimit", "AssociationTimeLimit"), "time limit"),
    **dict.fromkeys(("PartitionNodeLimit", "PartitionConfig", "BadConstraints"), "node"),
    **dict.fromkeys(("InvalidAccount", "AccountNotAllowed"), "account"),
    **dict.fromkeys(("InvalidQOS", "QOSNotAllowed"), "qos"),
}
"""Reasons of waiting that no waiting ends -> whose remedy they have. Those that end with PerJob(Limit) are others."""


@dataclass(frozen=True)
class Task:
    """One job of an array, as Slurm tells of it.

    Attributes:
        id: `<array>_<index>`.
        state: Slurm's word, such as PENDING, RUNNING, COMPLETING, TIMEOUT.
        reason: why it waits, or why it has ended; may be empty.
        node: where it is; empty while it waits.
        name: of the array; empty where the accounting tells of it.
    """

    id: str
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or begins again."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")

    @property
    def lives(self) -> bool:
        """Whether it waits or is at work."""
        return self.waits or self.state in (
            "RUNNING",
            "CONFIGURING",
            "COMPLETING",
            "SUSPENDED",
            "RESIZING",
            "SIGNALING",
        )

    @property
    def remedy(self) -> str:
        """What to do where no waiting will start it; empty otherwise."""
        if self.reason.endswith(("PerJob", "PerJobLimit")):
            return "A limit of your account is lower than what one job asks for: ask for less, or for another limit."
        return remedy_for(_NEVER[self.reason]) if self.reason in _NEVER and self.waits else ""


class NoAnswer(Exception):
    """Slurm does not answer now: its controller is down or overloaded. Jobs go on meanwhile."""


def require_commands() -> None:
    """Raise StudyError where this machine has no Slurm commands."""
    for command in NEEDED:
        if shutil.which(command) is None:
            raise StudyError(
                f"executor.kind is slurm, and this machine has no command {command}.",
                "Run the command on a login node of the cluster, or load Slurm there (module load slurm).",
            )


def remedy_for(words: str) -> str:
    """Return what to do about what Slurm says."""
    lower = words.lower()
    return next(
        (remedy for piece, remedy in _REMEDIES if piece in lower), "See `man sbatch`, or ask the cluster's help."
    )


def submit(script: Path) -> str:
    """Submit a script and return the job's number.

    Raises:
        StudyError: Slurm refuses it; in its own words, and with a remedy.
    """
    require_commands()
    done = _call(["sbatch", "--parsable", str(script)])
    number = done.stdout.strip().split(";")[0]
    if done.returncode != 0 or not number.isdigit():
        words = _words(done) or f"sbatch printed {done.stdout.strip()[:100]!r}"
        raise StudyError(f"Slurm refuses the workers: {words}", remedy_for(words))
    return number


def require_acceptance(text: str) -> None:
    """Ask Slurm whether it would take a script, without submitting it.

    Args:
        text: the script.

    Raises:
        StudyError: it would not, or does not answer; in its own words, and with a remedy.
    """
    require_commands()
    try:
        done = _call(["sbatch", "--test-only"], text)
    except NoAnswer as error:
        raise StudyError(f"Slurm does not answer: {error}", remedy_for(str(error))) from None
    if done.returncode != 0:
        words = _words(done)
        raise StudyError(f"Slurm refuses the workers: {words}", remedy_for(words))


def tasks_of(names: Sequence[str]) -> list[Task]:
    """Return the jobs of the arrays that have these names, those that have just ended included.

    Raises:
        NoAnswer: Slurm does not answer.
        StudyError: this machine has no Slurm commands.
    """
    if not names:
        return []
    require_commands()
    done = _call(
        ["squeue", "--noheader", "--array", "--states=all", f"--name={','.join(names)}", f"--format={_FIELDS}"]
    )
    if done.returncode != 0:
        raise NoAnswer(_words(done))
    return read_squeue(done.stdout, names)


def read_squeue(text: str, names: Iterable[str]) -> list[Task]:
    """Return the jobs in the output of `squeue --format=%i|%T|%r|%N|%j` whose name is one of those."""
    wanted, found = set(names), []
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) == len(_FIELDS.split("|")) and parts[4] in wanted:
            found.append(Task(parts[0], parts[1], "" if parts[2] in ("None", "") else parts[2], parts[3], parts[4]))
    return found


def ended_tasks(numbers: Sequence[str]) -> list[Task]:
    """Return how the jobs of arrays ended, by the accounting; empty where the cluster has none."""
    if not numbers or shutil.which("sacct") is None:
        return []
    try:
        asked = (f"--jobs={','.join(numbers)}", f"--format={_SACCT_FIELDS}")
        done = _call(["sacct", "--noheader", "--parsable2", "--allocations", *asked])
    except NoAnswer:
        return []
    return read_sacct(done.stdout) if done.returncode == 0 else []


def read_sacct(text: str) -> list[Task]:
    """Return the jobs in the output of `sacct --parsable2 --format=JobID,State,ExitCode,NodeList`."""
    found = []
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) == len(_SACCT_FIELDS.split(",")) and "_" in parts[0] and "." not in parts[0]:
            state = parts[1].split()[0] if parts[1] else ""  # CANCELLED by 1000
            reason = "" if parts[2] in ("0:0", "") else f"exit status {parts[2]}"
            found.append(Task(parts[0], state, reason, "" if parts[3].startswith("None") else parts[3]))
    return found


def cancel(names: Sequence[str]) -> None:
    """End the arrays that have these names.

    Raises:
        StudyError: Slurm refuses it, or does not answer.
    """
    require_commands()
    for name in names:
        try:
            done = _call(["scancel", f"--name={name}"])
        except NoAnswer as error:
            raise StudyError(f"Slurm does not end the workers: {error}", remedy_for(str(error))) from None
        if done.returncode != 0:
            words = _words(done)
            raise StudyError(f"Slurm does not end the workers: {words}", remedy_for(words))


def requeue(task: str) -> str:
    """Ask Slurm to put a job back into its queue; return what it says where it refuses, else an empty text."""
    try:
        done = _call(["scontrol", "requeue", task])
    except NoAnswer as error:
        return str(error)
    return "" if done.returncode == 0 else _words(done)


def _call(words: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
    for taken in ("SQUEUE_FORMAT", "SQUEUE_STATES", "SQUEUE_ARRAY", "SACCT_FORMAT"):
        environment.pop(taken, None)
    try:
        return subprocess.run(
            words,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{words[0]} did not answer within {_ANSWER_WITHIN_S:.0f} s.") from None
    except OSError as error:
        raise NoAnswer(f"{words[0]} cannot be started: {error.strerror or error}.") from None


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command said on stderr, in one line that ends with a full stop."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("Try ")]
    text = "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ").rstrip(".") for line in lines)
    return f"{text[:400]}." if text else ""
