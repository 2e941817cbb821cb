"""Fits that are judged by two folds of runs instead of ten, for tests that ask for nothing about held-out runs.

Of the time of a slow law's fit nine tenths are the fits without a fold.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mixlaw.fit.choosing import held_out


@contextmanager
def two_folds() -> Iterator[None]:
    """Hold out one half of the runs, then the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "_FOLDS", 2)
        yield
