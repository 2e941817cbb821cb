"""Fits with few draws of their posterior, for tests of the parameters that are found, not of what is believed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mixlaw.fit.posterior import around, hamiltonian


@contextmanager
def few_draws() -> Iterator[None]:
    """End the sampling of a fit long before its draws have settled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(around, "_MOST_SWEEPS", 100)
        patch.setattr(hamiltonian, "_MOST", 48)
        yield
