"""The plan: every design through one door, its own wishes, replicates, and what it says."""

import re

import numpy as np
import pytest

from mixlaw.api import init_template
from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError, DesignError
from mixlaw.core.lean import lean
from mixlaw.design import DESIGNS, Wishes, design_runs, planning, register, space_filling_design
from mixlaw.design.planning import ALIASES

AVAILABLE = {"instruction": 10_000_000, "math": 300_000, "code": 10_000_000}


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_has_its_runs_within_the_data_and_says_what_they_cost(design):
    runs, notes = design_runs(design, AVAILABLE, 30_000_000, base_tokens=100_000)
    count = 7 if design == "sequential" else 13  # the first batch
    assert len(runs) == count and len({run.name for run in runs}) == count
    assert len({tuple(run.tokens.values()) for run in runs}) == count
    for run in runs:
        assert list(run.tokens) == list(AVAILABLE) and sum(run.tokens.values()) > 0
        assert all(isinstance(n, int) and 0 <= n <= AVAILABLE[d] for d, n in run.tokens.items())
    assert notes[-1].startswith(f"design: {design}, {count} runs, ") and notes[-1].endswith("tokens in total.")
    assert (runs, notes) == design_runs(design, AVAILABLE, 30_000_000, base_tokens=100_000)


@pytest.mark.parametrize("design", DESIGNS)
def test_one_domain_can_be_planned(design):
    runs, _ = design_runs(design, {"only": 10_000_000}, 10_000_000)
    assert len({run.tokens["only"] for run in runs}) == (7 if design == "sequential" else 5)


def test_published_is_another_name_of_the_perturbation_design():
    assert design_runs("published", AVAILABLE, 10**7)[0] == design_runs("perturbation", AVAILABLE, 10**7)[0]


def test_replicates_repeat_the_middle_and_the_rim_under_other_seeds():
    plain, _ = design_runs("auto", AVAILABLE, 10**7)
    runs, notes = design_runs("auto", AVAILABLE, 10**7, replicates=4)
    assert runs[:13] == plain and {run.replicate for run in plain} == {0}
    again = runs[13:]
    assert [run.replicate for run in again] == [1, 2, 3, 4] and len({run.name for run in again}) == 4
    assert again[0].tokens == again[2].tokens == plain[0].tokens and again[0].name == "base-again-1"
    rims, leaning = [again[1].tokens, again[3].tokens], [lean(np.array([list(r.tokens.values())]))[0] for r in plain]
    # One domain leads in the run that leans most, another one in the next that is repeated.
    assert lean(np.array([list(rims[0].values())]))[0] == max(leaning)
    assert max(rims[0], key=rims[0].get) != max(rims[1], key=rims[1].get)
    assert all(f"'{run.name}'" in notes[-2] for run in again)


def test_of_runs_that_lean_alike_the_order_of_the_domains_chooses_none():
    turned, plan = dict(reversed(AVAILABLE.items())), {"base_tokens": 100_000, "replicates": 4}
    one, other = (design_runs("perturbation", a, 10**7, **plan)[0][-4:] for a in (AVAILABLE, turned))
    assert [(run.name, run.tokens) for run in one] == [(run.name, run.tokens) for run in other]


def test_one_domain_has_no_rim_and_repeats_its_base_run():
    runs, _ = design_runs("auto", {"only": 10**7}, 10**7, replicates=2)
    assert [run.tokens for run in runs[-2:]] == [runs[0].tokens] * 2


@pytest.mark.parametrize("design", ["d_optimal", "g_optimal"])
def test_an_optimal_design_costs_at_most_the_space_filling_one_unless_told_otherwise(design):
    def cost(runs):
        return sum(sum(run.tokens.values()) for run in runs)

    usual = cost(design_runs("space_filling", AVAILABLE, 10**7, base_tokens=100_000)[0])
    assert cost(design_runs(design, AVAILABLE, 10**7, base_tokens=100_000)[0]) <= usual
    few, _ = design_runs(design, AVAILABLE, 10**7, base_tokens=100_000, wishes=Wishes(proxy_tokens=2_000_000))
    assert cost(few) <= 2_000_000
    other, notes = design_runs(design, AVAILABLE, 10**7, base_tokens=100_000, wishes=Wishes(law="exponential"))
    assert other != few and any("'exponential'" in note for note in notes)


def test_wishes_reach_their_design():
    grid, _ = design_runs("grid", AVAILABLE, 10**7, base_tokens=10_000, runs=9, wishes=Wishes(levels=[0.5, 2]))
    assert {run.tokens["math"] for run in grid} == {5_000, 10_000, 20_000}
    wishes = Wishes(run_tokens=[200_000], min_share=0.1)
    for design in ("simplex_lattice", "dirichlet"):
        runs, _ = design_runs(design, AVAILABLE, 10**7, base_tokens=10_000, runs=6, wishes=wishes)
        assert all(abs(sum(run.tokens.values()) - 200_000) <= 2 for run in runs)
        assert all(min(run.tokens.values()) >= 19_999 for run in runs)


def test_a_wish_that_the_design_does_not_know_is_refused():
    with pytest.raises(DesignError, match=r"plan.levels is used by design: grid; this plan's design is space_filling"):
        design_runs("auto", AVAILABLE, 10**7, wishes=Wishes(levels=[0.5, 2]))
    with pytest.raises(DesignError, match=r"plan.proxy_tokens is used by design: d_optimal and g_optimal"):
        design_runs("grid", AVAILABLE, 10**7, wishes=Wishes(proxy_tokens=1e6))
    with pytest.raises(DesignError, match=r"plan.run_tokens has 3 numbers"):
        design_runs("dirichlet", AVAILABLE, 10**7, wishes=Wishes(run_tokens=[1e5, 2e5, 3e5]))
    with pytest.raises(DesignError, match=r"no design 'nosuch'. Known: auto, published, perturbation"):
        design_runs("nosuch", AVAILABLE, 10**7)


def test_too_few_runs_are_refused_whatever_the_design():
    with pytest.raises(DesignError, match=r"plan.runs is 4; .* 13 are usual"):
        design_runs("grid", AVAILABLE, 10**7, runs=4)


def test_mix_yaml_takes_every_design_and_its_keys():
    tree = {
        "study": "s",
        "model": {"name_or_path": "m"},
        "domains": {"a": {"path": "a.jsonl"}},
        "budget_tokens": "10M",
    }
    plan = {"design": "dirichlet", "run_tokens": ["500k", "4M"], "min_share": 0.01, "replicates": 2}
    read = parse_config(tree | {"plan": plan}).plan
    assert read.run_tokens == [500_000, 4_000_000] and read.replicates == 2
    assert parse_config(tree | {"plan": {"run_tokens": "2M"}}).plan.run_tokens == [2_000_000]
    for design in (*ALIASES, *DESIGNS):
        assert parse_config(tree | {"plan": {"design": design}}).plan.design == design
    with pytest.raises(ConfigError, match=r"plan.design: 'nosuch': input should be 'auto', .* 'd_optimal', .*"):
        parse_config(tree | {"plan": {"design": "nosuch"}})
    with pytest.raises(ConfigError, match=r"plan.run_tokens"):
        parse_config(tree | {"plan": {"run_tokens": ["soon"]}})
    with pytest.raises(ConfigError, match=r"plan.levels"):
        parse_config(tree | {"plan": {"levels": [0, 1]}})


def test_a_users_own_design_is_planned_by_its_name(monkeypatch):
    monkeypatch.setattr(planning, "DESIGNS", dict(DESIGNS))
    register(
        "mine", lambda task: space_filling_design(task.domains, task.base_tokens / 2, task.runs, task.seed, task.caps)
    )
    runs, notes = design_runs("mine", AVAILABLE, 10**7, base_tokens=100_000)
    assert len(runs) == 13 and runs[0].tokens["code"] == 50_000
    assert notes[-1].startswith("design: mine, 13 runs")
    tree = {"study": "s", "model": {"name_or_path": "m"}, "domains": {"a": {"path": "a.jsonl"}}, "budget_tokens": "10M"}
    assert parse_config(tree | {"plan": {"design": "mine"}}).plan.design == "mine"
    for taken in ("mine", "grid", "auto"):
        with pytest.raises(DesignError, match=f"The name '{taken}' already belongs to a design"):
            register(taken, lambda task: [])


def test_the_file_that_init_writes_names_every_design():
    for name in ("auto", *DESIGNS):
        assert re.search(rf"(#|\|) {name}\b", init_template.TEMPLATE), name
