import pytest

from mixlaw.study.status import SweepProgress


def test_the_eta_is_the_tokens_left_at_the_pace_so_far():
    now = 0.0
    sweep = SweepProgress({"a": 100, "b": 300, "old": 1000}, {"old"}, clock=lambda: now)
    assert sweep.event("workers").eta_s is None
    now = 5.0  # the workers' start is not part of the pace
    sweep.event("started", "b")
    now = 15.0
    event = sweep.event("progress", "b", step=5, steps=10, loss=1.0)
    assert event.tokens_done == 1150 and event.tokens_total == 1400 and event.running == ("b",)
    assert event.eta_s == pytest.approx(10 / 150 * 250)
    now = 25.0
    event = sweep.event("finished", "b", losses={"x": 1.0})
    assert (event.runs_done, event.runs_total, event.running) == (2, 3, ())
    assert event.eta_s == pytest.approx(20 / 300 * 100)
    event = sweep.event("failed", "a", reason="no")
    assert event.runs_failed == 1 and event.eta_s == 0


def test_runs_that_another_process_finished_are_no_part_of_the_pace():
    now = 0.0
    sweep = SweepProgress({"a": 100, "b": 100, "c": 100}, set(), clock=lambda: now)
    sweep.event("started", "a")
    now = 10.0
    sweep.found_done({"b"})
    event = sweep.event("finished", "a", losses={})
    assert event.runs_done == 2 and event.tokens_done == 200 and event.eta_s == pytest.approx(10.0)


def test_a_run_that_is_tried_again_loses_its_progress():
    sweep = SweepProgress({"a": 100}, set())
    sweep.event("started", "a")
    assert sweep.event("progress", "a", step=5, steps=10, loss=1.0).tokens_done == 50
    assert sweep.event("retry", "a", reason="killed").tokens_done == 0


def test_the_losses_on_a_runs_way_are_read_from_its_log_and_shown(tmp_path):
    from mixlaw.cli.runs import states_table
    from mixlaw.study.status import RunStatus, losses_along

    lines = ['{"step": 1, "steps": 4, "loss": 2.0}', '{"step": 1, "share": 0.25, "validation": {"math": 1.5}}', "{cut"]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    along = losses_along(tmp_path)
    assert along == {"0.25": {"math": 1.5}} and losses_along(tmp_path / "none") == {}
    status = RunStatus("a", "a-1", "running", 10, step=2, steps=4, loss=1.9, eta_s=3.0, along=along)
    assert states_table([status])[2][0][-1] == "step 2/4, loss 1.900, 3 s left; at 25 %: math 1.500"
