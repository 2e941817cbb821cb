"""A project solves once for each fit and budget, and again only where regrets are wanted that it has not."""

from types import SimpleNamespace

from mixlaw.api import project as module
from mixlaw.api.files import example_config


def test_regrets_are_computed_where_they_are_wanted_and_then_kept(tmp_path, monkeypatch):
    asked = []

    def solve(fit, budget, wishes, *, regrets):
        asked.append((budget, regrets))
        return SimpleNamespace(expected_regret={"mean": 0.1} if regrets else {})

    monkeypatch.setattr(module, "solve_mixture", solve)
    monkeypatch.setattr(module.Project, "solve_wishes", None)
    fit = SimpleNamespace(of_domains=lambda domains: None)
    project = module.Project.open(example_config(tmp_path))
    assert not project.solve(fit, 1000, regrets=False).expected_regret
    project.solve(fit, 1000, regrets=False)
    assert project.solve(fit, 1000).expected_regret
    assert project.solve(fit, 1000, regrets=False).expected_regret
    assert asked == [(1000, False), (1000, True)]
    project.solve(SimpleNamespace(of_domains=lambda domains: None), 1000, regrets=False)
    project.solve(fit, 2000)
    assert asked[2:] == [(1000, False), (2000, True)]
