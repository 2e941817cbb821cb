"""Runs a model's Python in a subprocess that can do little harm: HumanEval and MBPP, only where the user asks for it.

A fresh interpreter without the user's environment, in an empty folder that is deleted afterwards, with limits on
processor time, memory, file size and open files, a limit on wall time, and without a network where the kernel lets an
ordinary user make a network namespace. It is no jail: it guards against accidents, not against an attacker.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 10
_MEMORY_BYTES = 1 << 30
_FILE_BYTES = 1 << 20


def passes(code: str, seconds: float = SECONDS) -> bool:
    """Return whether a program ends by itself, in time and without an error."""
    folder = Path(tempfile.mkdtemp(prefix="mixlaw-code-"))
    try:
        (folder / "program.py").write_text(code, encoding="utf-8", errors="replace")
        process = subprocess.Popen(
            [*_without_network(), sys.executable, "-I", "-S", "program.py"],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(_limit, int(seconds) + 1),
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _limit(seconds: int) -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


@functools.cache
def _without_network() -> tuple[str, ...]:
    """Return the words that start a program in a network namespace of its own, where that is possible."""
    words = ("unshare", "--user", "--map-root-user", "--net")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


def program_of(text: str) -> str:
    """Return the code in a model's answer: its first fenced block, or all of it."""
    fenced = re.search(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", text, flags=re.DOTALL)
    return fenced[1] if fenced else text


def humaneval(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """Return pass_at_1 of an answer to a HumanEval problem: the whole function, or only its body."""
    answer = program_of(results[0])
    code = answer if f"def {doc['entry_point']}" in answer else doc["prompt"] + answer
    preamble = doc["prompt"].split(f"def {doc['entry_point']}")[0]
    return {"pass_at_1": float(passes(f"{preamble}\n{code}\n{doc['test']}\ncheck({doc['entry_point']})\n"))}


def mbpp(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """Return pass_at_1 of an answer to an MBPP problem."""
    tests = "\n".join([doc["test_setup_code"], *doc["test_list"]])
    return {"pass_at_1": float(passes(f"{program_of(results[0])}\n{tests}\n"))}
