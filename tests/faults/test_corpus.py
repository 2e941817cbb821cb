"""Inputs that once ended in an internal error, a hang or a wrong result: each is read, or is one clear error.

They are in `corpus`, as KIND--WHAT.SUFFIX; the kinds are those of `bench.faults.fuzz_targets`. What the fuzzer finds is
put there. The files of a study have a right checksum, so that all that uses their values meets them.
"""

import contextlib
import time
from pathlib import Path

import pytest
from bench.faults.fuzz_targets import targets

from mixlaw.core.errors import MixlawError

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
LONGEST_S = 20


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return {name.replace(" ", "-"): target for name, target in targets(tmp_path_factory.mktemp("targets")).items()}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_an_input_that_found_something_finds_nothing_any_more(kinds, path):
    began = time.process_time()
    with contextlib.suppress(MixlawError, OSError):
        kinds[path.name.partition("--")[0]].all(path.read_bytes())
    assert time.process_time() - began < LONGEST_S
