"""What is promised of a mixture is the same, whoever asks: repeated tokens count as the fit says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.api.mixture import wanted_mixture
from mixlaw.api.project import Project
from mixlaw.core.errors import Infeasible
from planted_fits import planted_fit, two_runs
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


def test_solve_of_a_mix_yaml_keeps_what_it_asks_for(tmp_path):
    import mixlaw

    file = write_small_demo(tmp_path)
    project = Project.open(file)
    names = list(project.domains)
    fit = planted("transfer", decay=2.0)
    fit = replace(fit, domains=tuple(names), targets=dict(zip(names, fit.targets.values(), strict=True)))
    project.write_inputs()
    fit.save(project.study.folder / "fit.json")
    budget = 2 * sum(project.available_tokens.values())
    asked = project.solve(fit, budget)
    found = mixlaw.solve(file, budget)
    assert dict(found.weights) == pytest.approx(dict(asked.weights)) and found.epochs
    assert max(found.epochs.values()) <= project.config.solve.max_epochs * 1.0001
    with pytest.raises(Infeasible):
        mixlaw.solve(file, 100 * budget)
    free = mixlaw.solve(project.study.folder, 100 * budget)  # a folder and a fit ask for nothing
    assert not free.epochs
    own = mixlaw.solve(file, 100 * budget, max_epochs=10_000)
    assert max(own.epochs.values()) > project.config.solve.max_epochs


def test_weights_that_read_a_domain_more_often_than_max_epochs_are_named(tmp_path):
    notes = []
    project = Project.open(write_small_demo(tmp_path), notes.append)
    first, second, *rest = project.domains
    most = project.config.solve.max_epochs
    shares = {first: 0.5, second: 0.5, **dict.fromkeys(rest, 0.0)}
    wanted_mixture(project, int(1.9 * most * min(project.available_tokens.values())), shares)
    assert not [text for text in notes if "max_epochs" in text]
    wanted_mixture(project, int(5 * most * max(project.available_tokens.values())), shares)
    said = [text for text in notes if "solve.max_epochs" in text]
    assert len(said) == 1 and f"'{first}' " in said[0] and f"'{second}' " in said[0]


def test_a_fit_of_some_of_the_domains_is_asked_about_those(tmp_path):
    project = Project.open(write_small_demo(tmp_path))
    first, second, third = project.domains
    known, draws = (first, second), np.array([[1.0, 0.3, 0.6, 0.2, 0.5]] * 4)
    fit = planted_fit(
        "transfer", two_runs(known, known), dict.fromkeys(known, draws[0]), dict.fromkeys(known, draws), decay=2.0
    )
    project.study.create()
    fit.save(project.study.folder / "fit.json")
    shares = {first: "40 %", second: 0.5, third: "0.1"}
    assert tuple(wanted_mixture(project, 10_000, shares).predicted) == known  # type: ignore[arg-type]
