"""Failed runs are listed, with counts and remedies, before any fit."""

from mixlaw.core.errors import FitError
from mixlaw.study.failures import failure_kind, failure_list, too_many_failed
from mixlaw.study.status import RunStatus

REASONS = {
    "diverged": "Run 'a' diverged: the loss is nan at learning_rate 5. Lower train.learning_rate.",
    "ran out of memory": "Run 'a' ran out of memory with rows of 512 tokens.",
    "were killed": "Run 'a' crashed twice: its worker was killed by SIGKILL (memory may have run out).",
    "were refused": "Domain 'a' has no rows.",
}


def states(failed, done):
    runs = [RunStatus(f"f{i}", "f", "failed", 10, reason) for i, reason in enumerate(failed)]
    return runs + [RunStatus(f"d{i}", "d", "done", 10) for i in range(done)]


def test_every_reason_has_its_kind():
    for kind, reason in REASONS.items():
        assert failure_kind(reason) == kind


def test_the_list_counts_every_kind_and_names_a_remedy():
    lines = failure_list(states([*[REASONS["diverged"]] * 5, *REASONS.values()], 4))
    assert len(lines) == 4 and lines[0].startswith("6 of 13 runs diverged ('f0', 'f1', 'f2' and 3 more); the first: ")
    assert all(line.startswith("1 of 13 runs ") for line in lines[1:])
    assert "per_device_train_batch_size" in "".join(lines) and "fewer workers" in "".join(lines)


def test_no_failure_is_no_line():
    assert failure_list(states([], 13)) == []


def test_too_few_that_are_left_end_with_the_list_and_not_with_the_fits_own_words_alone():
    error = too_many_failed(states([REASONS["diverged"]] * 11, 2), FitError("Losses have too few digits."))
    assert error.message.startswith("11 of 13 runs failed; the other 2 are too few for a fit (Losses")
    assert "\n  - 11 of 13 runs diverged" in error.message and error.code == "runs_failed"
    assert "All 3 runs failed" in too_many_failed(states([REASONS["were killed"]] * 3, 0)).message
