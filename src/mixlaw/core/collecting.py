"""Python's garbage collector, paused while much is built and nothing is thrown away."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collecting() -> Iterator[None]:
    """Look for no garbage meanwhile.

    To import torch and Transformers makes millions of objects that all stay; to look through them again and again
    takes a quarter of the time until a worker trains.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()  # what is here counts as old: the next look at what is new does not go through it
            gc.enable()
