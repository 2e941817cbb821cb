from __future__ import annotations

from mixlaw.study.status import training_log


def test_a_log_has_every_step_and_skips_lines_that_are_none(tmp_path):
    lines = [
        '{"step": 1, "steps": 2, "loss": 2.5}',
        "",
        "[1]",
        '{"step": 2, "loss": 2.0}',
        '{"step": 2, "validation": {}}',
        '{"st',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert training_log(tmp_path) == [(1, 2.5), (2, 2.0)]


def test_a_run_without_metrics_has_no_log(tmp_path):
    assert training_log(tmp_path) == []
