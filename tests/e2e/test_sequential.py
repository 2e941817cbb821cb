"""The sequential design with real training: it plans, trains, looks at the fit, trains more, and stops."""

import json
from pathlib import Path

from mixlaw.api.sweep import plan, run, spent
from mixlaw.design import affordable
from quick_study import short_fits, trained_here, write_quick_demo
from small_demo import write_small_demo


def test_batches_follow_the_fit_and_a_second_run_trains_nothing(tmp_path: Path) -> None:
    config = write_quick_demo(tmp_path / "demo")
    text = config.read_text(encoding="utf-8")
    start = text.index("  design: ")
    end = text.index("\n", start)
    wished = "  design: sequential\n  runs: 9\n  threshold: 1e-6"
    config.write_text(f"{text[:start]}{wished}{text[end:]}\nfit: {{law: transfer}}\n", encoding="utf-8")
    first = plan(config)
    assert len(first.trained) == 7 and first.runs[-1].name == "base-model"
    assert first.regret_nats[-1] < first.regret_nats[0]

    said: list[str] = []
    with trained_here(), short_fits():
        result = run(config, note=said.append)
    assert [status.state for status in result.statuses] == ["done"] * 10
    assert [status.name for status in result.statuses][7:] == ["next-1", "next-2", "base-model"]
    assert any("next batch: 2" in line for line in said) and any("No more runs are allowed" in line for line in said)

    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("record.json")}
    with short_fits():
        again = run(config)
    assert again.solution.weights == result.solution.weights
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("record.json")} == trained


def test_the_default_design_trains_batches_within_its_limit_and_says_what_they_cost(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(affordable, "LEAST_RUN_TOKENS", 1_500)
    config = write_small_demo(tmp_path / "demo")
    text = config.read_text(encoding="utf-8")
    start, end = text.index("  design: "), text.index("\n\ntrain:")
    wished = "  design: auto\n  max_cost: 150%\n  seed: 0"
    config.write_text(f"{text[:start]}{wished}{text[end:]}\nfit: {{law: transfer}}\n", encoding="utf-8")
    said: list[str] = []
    with trained_here(), short_fits():
        result = run(config, note=said.append)
    cost = spent(config)
    assert cost is not None and cost.left.share == 0 and 0.9 < cost.done.share < 1.5
    assert len(result.statuses) >= 9 and all(status.state == "done" for status in result.statuses)
    assert sum("is worth" in line or "nothing to gain" in line for line in said) >= 1
    # The last word is why no further run was trained.
    assert any("Not worth it" in line or "limit of cost is reached" in line for line in said)
    after = plan(config).curve
    assert after is None or (
        after.measured and after.points[0].runs == len(result.statuses) - 1
    )  # without the base model
    assert json.loads(result.written["report.json"].read_text())["cost"]["share_of_final_run"] == cost.done.share
