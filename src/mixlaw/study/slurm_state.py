"""Where a study's workers are on Slurm, in words: for `mixlaw status`, and for the command that follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mixlaw.core.errors import DataError, StudyError
from mixlaw.study import slurm_commands
from mixlaw.study.slurm_arrays import Array, Arrays, task_of
from mixlaw.study.slurm_commands import Task

_BAD_ENDS = ("TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "FAILED", "BOOT_FAIL", "DEADLINE", "PREEMPTED", "CANCELLED")


def slurm_state(arrays: Arrays) -> tuple[list[str], dict[str, str], list[dict[str, Any]]]:
    """Return sentences about all arrays, where each run that is at work is, and all jobs for programs.

    Slurm that does not answer, or a machine without its commands, is a sentence and no error.
    """
    try:
        known = arrays.all()
        tasks = arrays.tasks(known)
    except (slurm_commands.NoAnswer, DataError) as error:
        return [f"Slurm does not answer: {error}"], {}, []
    except StudyError:
        return ["This machine has no Slurm commands: what its jobs do is not known here."], {}, []
    ended = {task.id: task for task in slurm_commands.ended_tasks([a.number for a in known if a.number])}
    tasks = [*tasks, *(ended[number] for number in sorted(ended.keys() - {task.id for task in tasks}))]
    notes = [said for array in known if (said := sentence(array, [t for t in tasks if of(array, t)]))]
    nodes = {task.id: task for task in tasks if task.lives}
    of_run = {}
    if arrays.study.plan_path.exists():
        for spec in arrays.study.load_plan():
            line = task_of(arrays.study, spec)
            if line is not None and line["task"] in nodes:
                of_run[spec.name] = f"job {line['task']} on {nodes[line['task']].node or line.get('node', '?')}"
    return notes, of_run, [{"job": t.id, "state": t.state, "reason": t.reason, "node": t.node} for t in tasks]


def of(array: Array, task: Task) -> bool:
    """Return whether a job is one of the array's."""
    return task.name == array.name if task.name else task.id.partition("_")[0] == array.number


def sentence(array: Array, tasks: Sequence[Task]) -> str:
    """Return how many of an array's jobs wait, and why, are at work, or ended badly; empty where none does."""
    waiting = Counter(task.reason for task in tasks if task.waits)
    parts = []
    if at_work := sum(task.lives and not task.waits for task in tasks):
        parts.append(f"{at_work} at work")
    for reason, count in waiting.most_common():
        parts.append(f"{count} waiting" + (f" ({reason})" if reason else ""))
    for state, count in Counter(task.state for task in tasks if task.state in _BAD_ENDS).most_common():
        parts.append(f"{count} ended as {state}")
    text = f"Slurm array {array.number or array.name}: {', '.join(parts)}." if parts else ""
    remedies = {task.remedy for task in tasks if task.remedy}
    return " ".join([text, *sorted(remedies)]).strip()
