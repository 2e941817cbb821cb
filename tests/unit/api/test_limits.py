"""A plan never costs more than its limit, and what an error advises works when it is followed."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

import mixlaw
from mixlaw.api import project as of_projects
from mixlaw.api.project import Project
from mixlaw.api.sequential import Proposal, tokens_left, within
from mixlaw.core.errors import DesignError, Infeasible
from mixlaw.design.affordable import Planner
from mixlaw.design.spending import Spending

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
ROWS = 1_200


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    for k, name in enumerate("abcd"):
        said = {"role": "assistant", "content": "It is so and so and so on. " * (1 + k)}
        rows = [{"messages": [{"role": "user", "content": f"{name} {i}?"}, said]} for i in range(ROWS)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        read_once(patch)
        yield folder


def read_once(patch):
    """Read the rows once for every set of domains: for a plan that takes much longer than all else."""
    prepare, require, kept, checked = of_projects.prepare_domains, of_projects.require_possible, {}, set()

    def prepared(domains, tokenizer, **how):
        names = tuple(domains)
        key = (tuple(domain.name for domain in names), *sorted((k, str(v)) for k, v in how.items()))
        if key not in kept:
            kept[key] = prepare(names, tokenizer, **how)
        return kept[key]

    def required(config):
        if tuple(config.domains) not in checked:
            require(config)
        checked.add(tuple(config.domains))

    patch.setattr(of_projects, "prepare_domains", prepared)
    patch.setattr(of_projects, "require_possible", required)


def written(data, K=3, budget="2M", plan=None, eval_rows=None, **solve):
    """Write a configuration of K domains and return its path."""
    config = {
        "study": f"study-{K}",
        "model": {"name_or_path": str(BASE)},
        "domains": {name: {"path": f"{name}.jsonl"} for name in "abcd"[:K]},
        "validation": {"rows": 200},
        "budget": budget,
        "plan": {"probe": False, **(plan or {})},
        "train": {"max_length": 128, "learning_rate": 1e-3} | ({"eval_rows": eval_rows} if eval_rows else {}),
        "solve": {"max_epochs": None, **solve},
    }
    path = data / "mix.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def planned(path):
    """Return the project of a configuration, what its plan costs as a share of the final run, and the sentences."""
    project = Project.open(path)
    specs, notes = project.planned
    return project, project.prices.runs(specs).share, notes


def limit_of(project):
    return project.spending.most_tokens / project.spending.final_tokens


def followed(path, remedy):
    """Write the configuration with one remedy of an error, as it says."""
    config, said = yaml.safe_load(path.read_text()), remedy.lower()
    number = re.search(r"(?:to|rows:) (\d.*)$", remedy)
    value = number[1] if number else ""
    if "leave out" in said:
        for key in re.findall(r"plan\.(\w+)", remedy):
            del config["plan"][key]
    elif "use design: auto" in said:
        config["plan"] |= {"design": "auto"}
        for key in re.findall(r"plan\.(\w+)", remedy):
            del config["plan"][key]
    elif "plan.max_cost" in said:
        config["plan"]["max_cost"] = value
    elif "budget" in said:
        config["budget"] = value
    elif "eval_rows" in said:
        config["train"]["eval_rows"] = int(value)
    elif "plan.merges" in said:
        config["plan"]["merges"] = int(value)
    else:
        raise AssertionError(f"Nobody can follow {remedy!r}.")
    path.write_text(yaml.safe_dump(config))


def named(pattern, text):
    """Return what the pattern's group finds in the text."""
    return re.findall(pattern, text)[0]


def remedies_of(hint):
    return hint.removesuffix(".").split(", or ")


PLANS = {
    "auto": {},
    "points": {"points": [0.25, 0.5]},
    "repeats": {"replicates": 3},
    "merges": {"merges": 40},
    "large experts": {"merges": 5, "expert_tokens": "30k", "merge_scale": 1.2},
    "by hand": {"base_tokens": "3k"},
    "by hand with merges": {"base_tokens": "3k", "merges": 40, "replicates": 2},
    "runs": {"runs": 9, "design": "space_filling"},
}
LIMITS = ["0.02%", "12%", "88%", "300k tokens", "1e13 FLOPs"]
BUDGETS = ["3k", "200k", "1.93M"]


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("K", [2, 3])
def test_a_plan_keeps_to_its_limit_and_each_remedy_of_an_error_works(data, monkeypatch, kind, K):
    monkeypatch.setattr(Planner, "curve", lambda self: [])  # no limit depends on it, and it takes long
    kept = refused = 0
    for budget, limit in itertools.product(BUDGETS, LIMITS):
        plan = {"max_cost": limit, **PLANS[kind]}
        path = written(data, K, budget, plan, max_epochs=300)
        text = path.read_text()
        try:
            project, cost, _ = planned(path)
        except DesignError as error:
            refused += 1
            assert error.hint, error
            for remedy in remedies_of(error.hint):
                path.write_text(text)
                followed(path, remedy)
                project, cost, _ = planned(path)
                if project.config.plan.max_cost is not None:
                    assert cost <= limit_of(project) * (1 + 1e-9), (budget, limit, remedy)
        else:
            kept += 1
            assert cost <= limit_of(project) * (1 + 1e-9), (budget, limit)
    assert kept and refused


@pytest.mark.parametrize("base_model", [True, False])
def test_what_is_evaluated_beside_the_runs_is_counted_before_the_first_batch_is_sized(data, base_model):
    plan = {"max_cost": "30%", "base_model": base_model, "merges": 30, "points": [0.5], "replicates": 2}
    project, cost, notes = planned(written(data, 3, "3M", plan))
    (said,) = (note for note in notes if "batches by what the fit leaves open" in note)
    more = float(named(r"at most ([\d.]+) % more", said)) / 100
    assert cost + more == pytest.approx(0.3, abs=0.005)
    every = [(spec.name, spec.tokens) for spec in project.design[0] if spec.merge is None and spec.role == "proxy"]
    runs = every[: len(every) - 2]  # without the repeats
    assert project.spending.whole(runs) / project.spending.final_tokens == pytest.approx(cost)


def test_a_budget_that_the_data_do_not_supply_is_not_advised(data):
    path = written(data, 3, "400k", {"max_cost": "10%"}, eval_rows=100, max_epochs=10)
    with pytest.raises(DesignError) as error:
        planned(path)
    assert "budget to" not in error.value.hint and "Raise plan.max_cost to" in error.value.hint
    path = written(data, 3, "400k", {"max_cost": "10%"}, eval_rows=100)
    with pytest.raises(DesignError, match="raise budget to"):
        planned(path)


def test_a_limit_in_tokens_is_raised_in_tokens_and_not_by_a_larger_budget(data):
    for limit, unit in (("100k tokens", "tokens"), ("1e11 FLOPs", "FLOPs")):
        with pytest.raises(DesignError) as error:
            planned(written(data, 3, "400k", {"max_cost": limit}))
        assert error.value.hint.startswith("Raise plan.max_cost to") and unit in error.value.hint
        assert "budget" not in error.value.hint


def test_a_limit_that_may_not_be_written_is_not_advised(data):
    with pytest.raises(DesignError) as error:
        planned(written(data, 3, "1k", {"max_cost": "10%"}))
    assert "plan.max_cost to" not in error.value.hint and "leave out plan.max_cost" in error.value.hint


def test_fewer_rows_and_fewer_merges_are_advised_where_they_help_and_as_many_as_do(data):
    plan = {"max_cost": "10%", "merges": 400}
    path = written(data, 3, "4M", plan, eval_rows=40)
    with pytest.raises(DesignError) as error:
        planned(path)
    rows = int(named(r"train\.eval_rows: (\d+)", error.value.hint))
    merges = int(named(r"lower plan\.merges to (\d+)", error.value.hint))
    assert "design: auto" not in error.value.hint
    planned(written(data, 3, "4M", plan, eval_rows=rows))
    planned(written(data, 3, "4M", plan | {"merges": merges}, eval_rows=40))
    with pytest.raises(DesignError):
        planned(written(data, 3, "4M", plan, eval_rows=rows + 1))
    with pytest.raises(DesignError):
        planned(written(data, 3, "4M", plan | {"merges": merges + 1}, eval_rows=40))
    # Runs alone cost too much: neither helps.
    with pytest.raises(DesignError) as error:
        planned(written(data, 3, "1M", plan, eval_rows=40))
    assert "eval_rows" not in error.value.hint and "merges" not in error.value.hint


def test_without_a_limit_the_note_names_no_second_cost_and_only_budgets_that_may_be(data):
    _, cost, notes = planned(written(data, 3, "400k", {}, eval_rows=30))
    (said,) = (note for note in notes if "too small" in note)
    assert cost > 0.1 and "these runs cost more." in said
    budget = named(r"[Rr]aise budget to (\S+?)(?:,|\.$|\.?$)", said)
    assert not any("too small" in note for note in planned(written(data, 3, budget, {}, eval_rows=30))[2])
    _, _, notes = planned(written(data, 3, "400k", {}, eval_rows=30, max_epochs=10))
    assert not any("budget to" in note for note in notes)


@pytest.mark.parametrize("epochs", [1, 1.37, 3, 8.1])
def test_the_budget_that_the_data_supply_is_one_that_they_supply(data, epochs):
    path = written(data, 2, "20M", {"base_tokens": "3k"}, max_epochs=epochs)
    with pytest.raises(Infeasible) as error:
        planned(path)
    for remedy in remedies_of(error.value.hint):
        if "budget" in remedy:
            path = written(data, 2, "20M", {"base_tokens": "3k"}, max_epochs=epochs)
            followed(path, remedy)
            planned(path)


def test_further_batches_have_what_the_first_one_and_the_base_model_and_failures_leave(data):
    path = written(data, 3, "4M", {"max_cost": "20%"}, eval_rows=40)
    path.write_text(path.read_text().replace("study-3", "study-left"))
    project, cost, _ = planned(path)
    final, limit = project.spending.final_tokens, project.spending.most_tokens
    assert tokens_left(project) == pytest.approx(limit - cost * final)
    spec = project.planned[0][0]
    folder = project.study.run_folder(spec)
    folder.mkdir(parents=True)
    (folder / "spec.json").touch()
    (folder / "metrics.jsonl").write_text('{"step": 3, "steps": 4, "loss": 1.0}\n')
    left = pytest.approx(limit - cost * final - 0.75 * spec.trained_tokens)
    assert tokens_left(project) == left  # it was interrupted
    project.study.fail(spec, ValueError("no"), retry=False)
    assert tokens_left(project) == left


def test_a_batch_of_a_sequential_plan_sized_by_hand_keeps_to_the_limit():
    spending = Spending(1e6, 1_000, 1e7, given=True)
    proposal = Proposal([{"a": 5_000}, {"a": 6_000}], [3.0, 2.0, 1.0], "So it is.")
    assert within(proposal, spending, 13_000) is proposal
    assert within(proposal, spending, 12_999).mixtures == [{"a": 5_000}]
    none = within(proposal, spending, 5_999)
    assert not none.mixtures and "within plan.max_cost" in none.reason
