"""Training that came to nothing is counted, whichever way an attempt ended."""

import json
from pathlib import Path

from mixlaw.study.attempts import note_attempt, wasted


def logged(folder: Path, step: int, steps: int = 10) -> None:
    (folder / "spec.json").touch()
    line = {"step": step, "steps": steps, "loss": 1.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")


def test_a_failed_run_cost_as_much_as_it_had_done(tmp_path) -> None:
    assert wasted(tmp_path) == []
    logged(tmp_path, 4)
    (tmp_path / "error.json").write_text("{}")
    assert wasted(tmp_path) == [(0.4, True)]


def test_what_failed_or_was_interrupted_stays_counted_when_it_is_tried_again(tmp_path) -> None:
    logged(tmp_path, 4)
    (tmp_path / "error.json").write_text("{}")
    note_attempt(tmp_path)
    (tmp_path / "error.json").unlink()
    assert wasted(tmp_path) == [(0.4, True)]
    logged(tmp_path, 7)
    note_attempt(tmp_path)
    logged(tmp_path, 10)
    (tmp_path / "record.json").write_text("{}")
    assert wasted(tmp_path) == [(0.4, True), (0.7, False)]


def test_a_run_at_work_is_not_wasted(tmp_path) -> None:
    logged(tmp_path, 4)
    (tmp_path / "lease.json").write_text("{}")
    assert wasted(tmp_path) == []


def test_a_failure_without_a_log_counts_as_a_whole(tmp_path) -> None:
    (tmp_path / "error.json").write_text("{}")
    assert wasted(tmp_path) == [(1.0, True)]
    note_attempt(tmp_path)
    (tmp_path / "error.json").unlink()
    assert wasted(tmp_path) == [(1.0, True)]


def test_what_ended_without_an_error_was_interrupted(tmp_path) -> None:
    logged(tmp_path, 4)
    assert wasted(tmp_path) == [(0.4, False)]
    (tmp_path / "attempts.jsonl").write_text('{"share": 0.5}\n[]\n')  # of an earlier version, and a damaged line
    assert wasted(tmp_path) == [(0.5, True), (0.4, False)]
