"""A budget that needs more of a domain than there is: the proxy runs repeat it as the real run will."""

from pathlib import Path

import pytest

from mixlaw.api.project import Project
from mixlaw.train.sample import draw_sample
from small_demo import write_small_demo


def test_runs_repeat_a_domain_as_the_budget_would(tmp_path: Path) -> None:
    config = write_small_demo(tmp_path / "demo")
    text = config.read_text(encoding="utf-8").replace("budget: 30k", "budget: 90k")
    config.write_text(text, encoding="utf-8")
    project = Project.open(config)
    available, (specs, notes) = project.available_tokens, project.design
    repeated = {name for spec in specs for name in spec.pools}
    assert repeated
    assert all(any(f"'{name}' would be repeated" in note for note in notes) for name in repeated)
    for spec in specs:
        total = sum(spec.tokens.values())
        sample = draw_sample(spec, {n: p.train for n, p in project.prepared.items()}, project.train_settings)
        for name, count in spec.tokens.items():
            epochs = max(min(count / total * 90_000 / available[name], 4.0), 1.0)
            longest = int(project.prepared[name].train.row_tokens.max())
            assert sample.unique_tokens[name] == pytest.approx(count / epochs, abs=longest)
    config.write_text(text.replace("plan:\n", "plan:\n  match_epochs: false\n"), encoding="utf-8")
    assert all(not spec.pools for spec in Project.open(config).design[0])
