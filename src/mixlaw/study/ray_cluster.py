"""A Ray cluster as mixlaw sees it: reaching it within seconds or saying why not, and what its nodes can hold."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.errors import ConfigError, MissingExtra, StudyError

ANSWER_WITHIN_S = 15.0
_CONNECT_WITHIN_S = 5.0
_LAST_WORDS = 300

# Ray waits for minutes where nothing answers and may end the process: it is asked first in a process of its own.
_PROBE = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to the cluster and return the module `ray`; a connection that this process has already is used and kept.

    Args:
        address: `auto` (the cluster of this machine, or RAY_ADDRESS), or `host:port` of the head node of a cluster that
            this machine is a node of.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: RAY_ADDRESS is of another kind.
        StudyError: no cluster answers, or it has other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", "The executor 'ray'") from None
    if ray.is_initialized():
        yield ray
        return
    _require_answer(address)
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _require_answer(address: str) -> None:
    """Raise StudyError where no cluster is to be reached."""
    named = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if "://" in named:
        raise ConfigError(
            f"RAY_ADDRESS is {named}, an address for Ray Client or `ray job submit`; mixlaw needs the head node's "
            "own address.",
            "Unset it and give host:port as executor.address, or submit mixlaw as a Ray job.",
        )
    remedy = "Start one (`ray start --head`), or correct executor.address. The study has not changed."
    host, _, port = named.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_WITHIN_S).close()
        except (OSError, OverflowError) as error:
            raise StudyError(f"No Ray cluster answers at {named}: {error}.", remedy) from None
    # In a submitted job Ray finds the job's own settings here; they are for the driver alone.
    environment = {name: value for name, value in os.environ.items() if name != "RAY_JOB_CONFIG_JSON_ENV_VAR"}
    command = [sys.executable, "-c", _PROBE, named]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, env=environment)
    except subprocess.TimeoutExpired:
        why = f"nothing came within {ANSWER_WITHIN_S:g} s"
        remedy = (
            f"Is this machine a node of it? If not, join it with `ray start --address={named} --num-cpus=0`, or submit "
            "mixlaw as a Ray job. The study has not changed."
        )
    else:
        if done.returncode == 0:
            return
        lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        why = next((line for line in lines if line[:1].isalpha() and "Error: " in line), lines[-1])
        why = why.split(". ")[0]  # what follows is Ray's own remedy, in terms of its command line
    why = why[:_LAST_WORDS].rstrip(".")
    raise StudyError(f"No Ray cluster answers at address '{named}': {why}.", remedy)


def wanted_resources(ray: Any, cpus: int, gpus: float | None, custom: Mapping[str, float]) -> dict[str, float]:
    """Return what a run asks of its node: `CPU`, `GPU` and custom resources.

    Args:
        ray: the connected module.
        cpus: cores.
        gpus: GPUs or a fraction of one; None for one where the cluster has any.
        custom: name -> amount.
    """
    if gpus is None:
        gpus = 1.0 if any(node["Resources"].get("GPU") for node in _alive(ray)) else 0.0
    return {"CPU": float(cpus), **({"GPU": gpus} if gpus else {}), **custom}


def capacity(ray: Any, wanted: Mapping[str, float]) -> int:
    """Return how many runs all nodes together can hold at once."""
    return sum(runs_on(node["Resources"], wanted) for node in _alive(ray))


def runs_on(resources: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """Return how many runs a node's resources hold at once."""
    return min(math.floor(resources.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items())


def too_small(ray: Any, wanted: Mapping[str, float]) -> StudyError:
    """Return the error that no node can hold a run."""
    nodes = [f"{node['NodeManagerHostname']}: {_amounts(_usual(node['Resources']))}" for node in _alive(ray)]
    return StudyError(
        f"No node of the Ray cluster is large enough for a run, which needs {_amounts(wanted)}; "
        f"{'the nodes have ' + '; '.join(nodes) if nodes else 'there is no node left'}.",
        "Ask for less (executor.cpus_per_run, gpus_per_run, resources), start a larger node, or give an autoscaler "
        "time to add one with executor.wait_for_nodes_s.",
    )


def _alive(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _usual(resources: Mapping[str, float]) -> dict[str, float]:
    """Return a node's resources without those by which Ray knows the node itself, and without memory."""
    kept = {name: amount for name, amount in resources.items() if not name.startswith(("node:", "accelerator_type:"))}
    usual = {"CPU": 0.0, "GPU": 0.0, **kept}
    return {name: amount for name, amount in usual.items() if name not in ("memory", "object_store_memory")}


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())


def package_as_zip() -> bytes:
    """Return this very mixlaw as a zip that Python imports from, so that every node trains with the same code."""
    root = Path(__file__).resolve().parents[1]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        modules = sorted(root.rglob("*.py"))
        # Folders have entries of their own: without one, a package that has no __init__.py is not found in a zip.
        for path in [*sorted({module.parent for module in modules}), *modules]:
            # A fixed date: the same code is the same bytes, and has the same name on the node.
            name = f"{path.relative_to(root.parent)}{'/' if path.is_dir() else ''}"
            content = b"" if path.is_dir() else path.read_bytes()
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def node_function() -> Callable[..., Iterator[Any]]:
    """Return what Ray runs on a node. It is pickled by value, for the node may have no mixlaw, or another one."""

    def train_run(package: bytes, job: dict, board: Any) -> Iterator[Any]:
        import hashlib
        import os
        import socket
        import sys
        import tempfile

        import ray

        name = f"mixlaw-{os.getuid()}-{hashlib.sha256(package).hexdigest()[:16]}.zip"
        path = os.path.join(tempfile.gettempdir(), name)
        if path not in sys.path:
            descriptor, temporary = tempfile.mkstemp(dir=tempfile.gettempdir())
            with os.fdopen(descriptor, "wb") as file:
                file.write(package)
            os.replace(temporary, path)
            sys.path.insert(0, path)
            # Trainers that start programs find it there as well.
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
        try:
            from mixlaw.study.ray_node import train_on_node
        except ImportError as error:
            who = f"Training on node {socket.gethostname()}"
            message = f"{who} needs the package '{error.name}', which is not installed."
            hint = 'Install it with: pip install "mixlaw[train]"'
            yield "fatal", {"code": "missing_extra", "message": message, "hint": hint}
            return
        yield from train_on_node(job, ray.get, board.put.remote)

    return train_run


def board_class() -> type:
    """Return the actor that carries the progress of runs to the driver; pickled by value like `node_function`."""

    class Board:
        def __init__(self) -> None:
            import asyncio

            self.items: Any = asyncio.Queue()

        async def put(self, *item: Any) -> None:
            await self.items.put(item)

        async def take(self) -> list[Any]:
            """Return what was put since the last time; waits for something."""
            found = [await self.items.get()]
            while not self.items.empty():
                found.append(self.items.get_nowait())
            return found

    return Board
