"""A study whose domains change: what was trained stays in the fit, and only what the change needs is trained."""

from pathlib import Path

import pytest

from mixlaw.api.project import Project
from mixlaw.api.sweep import plan, run, train
from quick_study import short_fits, trained_here, write_quick_demo


def test_a_domain_is_added_and_another_dropped(tmp_path: Path) -> None:
    config = write_quick_demo(tmp_path / "demo")
    everything = config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n"

    def without(domain: str) -> str:
        return "\n".join(line for line in everything.splitlines() if not line.startswith(f"  {domain}: "))

    config.write_text(without("code"), encoding="utf-8")
    with trained_here():
        assert [status.state for status in train(config)] == ["done"] * 10

    config.write_text(everything, encoding="utf-8")
    wished = plan(config)
    new = [spec for spec, status in zip(wished.runs, wished.statuses, strict=True) if status.state != "done"]
    assert len(wished.runs) - len(new) == 9
    assert new.pop().untrained  # with another target it is evaluated again
    assert len(new) == 5 and all(spec.tokens["code"] > 0 for spec in new)
    with trained_here(), short_fits():
        second = run(config)
    assert second.fit.domains == ("instruction", "math", "code") and len(second.fit) == 15 and len(second.fit.base) == 3
    assert [spec.id for spec in plan(config).runs if spec.tokens.get("code")] == [spec.id for spec in new]

    config.write_text(without("instruction"), encoding="utf-8")
    with trained_here(), short_fits():
        third = run(config)
    assert {status.state for status in third.statuses} == {"done"} and len(third.statuses) == 15
    assert set(third.solution.weights) == {"math", "code"} and set(third.fit.targets) == {"math", "code"}
    table = Project.open(config).run_table()
    assert table.domains == ("math", "code", "instruction")
    assert table.totals_R.max() == pytest.approx(second.fit.largest_run)
