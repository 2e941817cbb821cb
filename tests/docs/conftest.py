"""The finished demo that pages and recordings are compared with, made once for all of them."""

import pytest

from docs.recordings import finished_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Return a folder with a finished `mixlaw-demo`; to write to it, copy it."""
    return finished_demo(tmp_path_factory.mktemp("demo"))
