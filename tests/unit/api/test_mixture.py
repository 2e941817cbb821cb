"""What is promised of a mixture is the same, whoever asks: repeated tokens count as the fit says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mixlaw.api.mixture import wanted_mixture
from mixlaw.api.project import Project
from report_fits import planted
from small_demo import write_small_demo


def test_weights_of_one_s_own_are_promised_what_the_same_weights_are_when_solved_for(tmp_path):
    project = Project.open(write_small_demo(tmp_path))
    names = list(project.domains)
    fit = planted("transfer", decay=2.0)
    fit = replace(fit, domains=tuple(names), targets=dict(zip(names, fit.targets.values(), strict=True)))
    budget = 3 * sum(project.available_tokens.values())
    project.study.create()
    fit.save(project.study.folder / "fit.json")
    solution = project.solve(fit, budget)
    assert max(solution.epochs.values()) > 2
    promised = wanted_mixture(project, budget, solution.weights).predicted
    for target, parts in solution.predicted.items():
        assert promised[target]["mean"] == pytest.approx(parts["mean"], rel=1e-9)
