"""The finished demo that pages and recordings are compared with, made once for all of them."""

import pytest

from demo_study import place_runs
from docs.transcripts import environment, run


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Return a folder with a finished `mixlaw-demo`; to write to it, copy it."""
    folder = tmp_path_factory.mktemp("demo")
    place_runs(folder / "mixlaw-demo" / "study")
    run("mixlaw demo", folder, environment(folder / ".bin"))
    return folder
