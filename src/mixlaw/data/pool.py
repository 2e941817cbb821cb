"""Tasks over worker processes: results in the order of the tasks, and the first task's error where several fail."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.core.limits import limit, raised

Task = tuple[Callable[..., Any], tuple[Any, ...]]

_SELDOM = (100_000, 20, 20)
"""When to look for cycles: rows come and go by the thousand without any, and it takes a tenth of the time as it is."""

_shared: list[Any] = [None]


def shared() -> Any:
    """Return what `run_tasks` was given for all of its tasks."""
    return _shared[0]


def run_tasks(tasks: Sequence[Task], workers: int, common: Any = None) -> list[Any]:
    """Do (function, arguments) tasks, and return what they return, in their order.

    Args:
        tasks: functions of modules, with arguments that can be pickled.
        workers: processes; 1 works in this one.
        common: what `shared()` returns in the tasks; handed to each process once.

    Raises:
        DataError: a worker process was killed.
    """
    if min(workers, len(tasks)) <= 1:
        before, _shared[0] = _shared[0], common
        often = gc.get_threshold()
        gc.set_threshold(*_SELDOM)
        try:
            return [function(*arguments) for function, arguments in tasks]
        finally:
            _shared[0] = before
            gc.set_threshold(*often)
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    # Spawned, not forked: a process that holds threads (of torch, of Arrow) cannot be forked safely.
    context, others = get_context("spawn"), set(active_children())
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, (os.getpid(), common)) as pool:
        try:
            with _no_main():
                futures = [pool.submit(function, *arguments) for function, arguments in tasks]
            return [future.result() for future in futures]
        except MemoryError:
            raise DataError(
                f"A process that reads data needs more than {limit('worker_bytes'):,} bytes of memory.",
                f"Split long rows. {raised('worker_bytes')}",
            ) from None
        except BrokenProcessPool:
            raise DataError(
                f"One of {workers} worker processes was killed; memory may have run out.",
                "Free some memory or use fewer cores, then run the command again.",
            ) from None
        except BaseException:
            # A piece takes many seconds: who has pressed Ctrl-C, or has an error to read, does not wait for its end.
            for process in set(active_children()) - others:
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Let workers start without importing the user's script again: without a guard it would start them in turn."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _begin(parent: int, common: Any) -> None:
    """End this process soon after its parent: a worker that outlives it would write beside the next attempt."""
    _shared[0] = common
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = limit("worker_bytes")
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    gc.freeze()
    gc.set_threshold(*_SELDOM)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
