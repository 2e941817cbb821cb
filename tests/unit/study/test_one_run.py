"""Why a run has no record, in the words that the sweep and the study's files use."""

import errno
import os

import pytest

from mixlaw.core.errors import FileError, file_error
from mixlaw.core.run import RunSpec
from mixlaw.study.executing import as_error, error_json
from mixlaw.study.one_run import Failed, train_once

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Full:
    """A trainer that finds no space."""

    def run(self, spec, *, folder, progress=None):
        raise FULL


def test_a_full_disk_is_a_failure_with_a_remedy_that_is_tried_again(tmp_path):
    outcome = train_once(Full(), RunSpec("base", {"code": 1000}, 0), tmp_path, lambda *step: None)
    assert isinstance(outcome, Failed) and outcome.retry
    assert outcome.reason == (
        "A file cannot be written: No space left on device. Free some space where the study and the outputs lie, then "
        "run the command again."
    )


@pytest.mark.parametrize("error", [FULL, OSError(errno.EDQUOT, "Disk quota exceeded", "/study/x")])
def test_a_full_disk_of_a_worker_is_the_same_error_for_the_driver(error):
    told = as_error(error_json(error))
    assert isinstance(told, FileError) and str(told) == str(file_error(error))
