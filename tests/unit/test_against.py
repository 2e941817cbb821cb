"""Mixtures of a collection beside the law's, from made-up losses and answers whose differences are known."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from experiments.controlled import training
from experiments.controlled.against import asked, beside, write_against
from experiments.controlled.downstream import linked, questions, right
from experiments.controlled.methods import by_domain, has_law, keep_proxies, method_of
from experiments.controlled.setting import Experiment, cut, experiment_of, held_back, lines_of
from experiments.controlled.training import is_of, spec_of, train

from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.core.runtable import RunTable

SEEDS, DOMAINS = [0, 1], ("a", "b")
LOSSES = {"full": (1.0, 2.0), "natural": (1.5, 2.0), "base": (3.0, 1.9)}


def table(rows, path):
    tokens = np.full((len(rows), 2), 500.0)
    RunTable(tuple(rows), DOMAINS, DOMAINS, tokens, np.array(list(rows.values()), float)).to_csv(path)


@pytest.fixture
def experiment(tmp_path):
    rows = {
        f"{name}@1k#{s}": tuple(x + (0.1 * s if name != "base" else 0) for x in of)
        for name, of in LOSSES.items()
        for s in SEEDS
    }
    table(rows, tmp_path / "methods.csv")
    weights = {"a": 0.75, "b": 0.25}
    known = {run: {"weights": weights, "cost": 0.5, "warnings": ["Far."]} for run in rows}
    known["full@1k#1"] |= {"weights": {"a": 0.25, "b": 0.75}}
    known |= {f"base@1k#{s}": {"weights": {}, "cost": 0.0} for s in SEEDS}
    (tmp_path / "methods.json").write_text(json.dumps(known))
    return Experiment(
        tmp_path, tmp_path, {"domains": dict.fromkeys(DOMAINS)}, SEEDS, ["1k"], 12, 1, None, list(LOSSES), {}
    )


def test_what_the_law_gains_is_known_by_domain_and_the_base_model_is_the_measure_of_the_worst(experiment, tmp_path):
    write_against(experiment, ["1k"])
    found = json.loads((tmp_path / "against.json").read_text())["1k"]
    gain = found["gains"]["full"]["natural"]
    assert gain["mean"]["mean"] == pytest.approx(0.25) and gain["mean"]["beyond_interval"]
    assert gain["by_domain"]["a"]["mean"] == pytest.approx(0.5) and gain["by_domain"]["b"]["mean"] == pytest.approx(0)
    full = found["mixtures"]["full"]
    assert full["worst_against_base"] == {"domain": "b", "percent": pytest.approx(100 * (2.05 / 1.9 - 1))}
    assert full["weights"]["a"] == pytest.approx([0.5, 0.25, 0.75]) and full["cost_percent"] == 50
    assert full["warnings"] == ["Far."] and full["failed"] == 0
    assert set(found["gains"]) == {"full"} and set(found["gains"]["full"]) == {"natural"} and "questions" not in found


def test_the_goal_is_what_the_yaml_says_that_counts():
    losses = {name: np.array([of, of]) for name, of in LOSSES.items()}
    found = beside(losses, DOMAINS, np.array([0.0, 1.0]))
    assert found["mixtures"]["natural"]["goal"] == 2 and found["mixtures"]["natural"]["mean"] == 1.75
    assert found["gains"]["full"]["natural"]["goal"]["mean"] == 0


def test_right_answers_are_compared_question_by_question_within_their_groups():
    even, odd = "10" * 50, "01" * 50
    answers = {
        "full": [{"boolq": "1" * 100, "answers_a": even}] * 2,
        "natural": [{"boolq": even, "answers_a": odd}] * 2,
        "base": [{"boolq": "0" * 100, "answers_a": even}] * 2,
    }
    found = asked(answers)
    assert found["mixtures"]["full"]["public"] == 100 and found["mixtures"]["natural"]["own"] == 50
    gain = found["gains"]["full"]["natural"]
    assert gain["public"]["mean"] == pytest.approx(50) and gain["own"]["mean"] == pytest.approx(0)
    # Half of the questions differ by one, or all by one in either direction: the standard error of their mean.
    assert gain["public"]["high"] - 50 == pytest.approx(164.5 * 0.5 / np.sqrt(99))
    assert gain["own"]["high"] == pytest.approx(164.5 * 1 / np.sqrt(99))
    assert found["rows"] == {"boolq": 100, "answers_a": 100}


def test_seeds_that_differ_widen_the_interval_of_right_answers():
    one, other = {"boolq": "1" * 60 + "0" * 40}, {"boolq": "1" * 40 + "0" * 60}
    quiet = asked({"full": [one, one], "natural": [other, other]})["gains"]["full"]["natural"]["public"]
    loud = asked({"full": [one, other], "natural": [other, other]})["gains"]["full"]["natural"]["public"]
    assert loud["high"] - loud["mean"] > quiet["high"] - quiet["mean"] + 10


def test_domains_alone_the_base_model_and_goals_are_methods_by_their_names(experiment):
    assert method_of("all-b")(experiment, "1k", 0)["weights"] == {"a": 0.0, "b": 1.0}
    assert by_domain("")(experiment, "1k", 0)["weights"] == {} and not has_law("all-b") and has_law("full+guarded")
    assert not has_law("merge-15") and has_law("merged-15")
    seen = []
    said = {"goals": {"guarded": {"objective": "max"}}}
    from experiments.controlled import methods

    methods.METHODS["seen"] = lambda experiment, budget, seed: seen.append(experiment.mix.get("solve")) or {}
    try:
        method_of("seen+guarded")(replace(experiment, said=said), "1k", 0)
    finally:
        del methods.METHODS["seen"]
    assert seen == [{"objective": "max"}]


def test_a_mixture_without_weights_is_the_base_model_and_pools_tell_runs_apart():
    project = SimpleNamespace(trainer_config=SimpleNamespace(inputs={}), config=SimpleNamespace(domains=DOMAINS))
    base = spec_of(("base", {}, "1k", 3), project, keep=True)
    assert base.untrained and base.name == "base@1k#3" and not base.keep_model and base.trained_tokens == 0
    spec = spec_of(("a-x4", {"a": 1.0, "b": 0.0}, "40k", 0), project, pools={"a": 10_000})
    row = {"seed": "0", "tokens:a": 40_000, "tokens:b": 0, "unique:a": 10_100}
    assert is_of(row, spec) and not is_of(row | {"unique:a": 40_000}, spec)


def test_a_run_of_the_table_is_trained_again_where_its_model_is_asked_for_and_is_neither_there_nor_judged(
    experiment, tmp_path, monkeypatch
):
    even = {"a": 0.5, "b": 0.5}
    specs = [RunSpec(f"m@1k#{seed}", {"a": 500, "b": 500}, seed) for seed in (0, 1, 2)]
    losses = {name: TargetLoss(1.0, 1) for name in DOMAINS}
    records = [RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, losses, 1, 1) for spec in specs]
    RunTable.from_records(records, DOMAINS, DOMAINS).to_csv(tmp_path / "methods.csv")
    (tmp_path / "answers.json").write_text(json.dumps({"m@1k#0": {"boolq": "01"}}))
    project = SimpleNamespace(
        config=SimpleNamespace(domains=dict.fromkeys(DOMAINS)), trainer_config=SimpleNamespace(inputs={})
    )
    asked_for: list[str] = []
    monkeypatch.setattr(training, "run_pending", lambda *_, specs, **__: asked_for.extend(s.name for s in specs))
    monkeypatch.setattr(training.Study, "model_folder", lambda self, spec: tmp_path if spec.seed == 2 else None)
    wanted = [("m", even, "1k", seed) for seed in (0, 1, 2)]
    train(experiment, "methods", project, wanted, keep=True)
    assert asked_for == ["m@1k#1"]
    asked_for.clear()
    train(experiment, "methods", project, wanted)
    assert asked_for == []


def test_proxy_runs_of_several_studies_are_one_table(experiment, tmp_path):
    runs = RunTable(("r-0",), DOMAINS, DOMAINS, np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    keep_proxies(experiment, "full-1k-0", runs)
    keep_proxies(experiment, "full-1k-1", replace(runs, losses_RJ=np.array([[5.0, 6.0]])))
    keep_proxies(experiment, "full-1k-0", replace(runs, losses_RJ=np.array([[3.5, 4.0]])))
    found = RunTable.from_csv(tmp_path / "proxies.csv")
    assert found.runs == ("r-0@full-1k-0", "r-0@full-1k-1") and found.study == ("full-1k-0", "full-1k-1")
    assert found.losses_RJ.tolist() == [[3.5, 4.0], [5.0, 6.0]]


def conversation(i):
    return [{"role": "user", "content": f"prompt {i}"}, {"role": "assistant", "content": f"answer {i % 7}"}]


def test_rows_held_back_train_nowhere_and_become_questions(tmp_path):
    rows = [json.dumps({"messages": conversation(i)}) + "\n" for i in range(30)]
    source = tmp_path / "a.jsonl.gz"
    source.write_bytes(gzip.compress("".join(rows).encode()))
    assert cut(source, tmp_path / "data", None, 0) == source
    (tmp_path / "x.yaml").write_text(
        "budgets: [1k]\nseeds: [0]\nheld_back: 10\n"
        "mix: {model: {name_or_path: base}, domains: {a: {path: a.jsonl.gz, rows: 15}, b: {path: a.jsonl.gz}}}\n"
    )
    made = experiment_of(tmp_path / "x.yaml", tmp_path / "out", ["equal"])
    kept = {name: lines_of(Path(node["path"])) for name, node in made.mix["domains"].items()}
    assert kept == {"a": rows[:15], "b": rows[:20]} and held_back(made)["a"] == rows[20:]
    assert made.methods == ["equal"] and made.results == tmp_path / "x"
    found = questions([json.loads(row)["messages"] for row in held_back(made)["b"]])
    assert len(found) == 10 and found == questions([conversation(i) for i in range(20, 30)])
    for i, row in enumerate(found, start=20):
        assert row["question"] == f"prompt {i}" and row["choices"][row["answer"]] == f"answer {i % 7}"
        assert len(set(row["choices"])) == 4
    assert len({row["answer"] for row in found}) > 1
    assert questions([conversation(0)] * 5) == []
    text = (tmp_path / "x.yaml").read_text().replace("held_back: 10", "held_back: {b: 4}")
    (tmp_path / "x.yaml").write_text(text)
    assert held_back(experiment_of(tmp_path / "x.yaml", tmp_path / "out", [])) == {"b": rows[26:]}


def test_a_collection_is_unpacked_into_its_domains(tmp_path):
    rows = [{"domain": name, "messages": conversation(i)} for i, name in enumerate("abab")]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "all.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "x.yaml").write_text(
        "budgets: [1k]\nseeds: [0]\ncollection: all.jsonl.gz\n"
        "mix: {model: {name_or_path: base}, domains: {b: {path: b.jsonl.gz}}}\n"
    )
    for _ in range(2):
        made = experiment_of(tmp_path / "x.yaml", tmp_path / "out", [])
        assert lines_of(Path(made.mix["domains"]["b"]["path"])) == [
            json.dumps({"messages": conversation(i)}) + "\n" for i in (1, 3)
        ]
    other = experiment_of(tmp_path / "x.yaml", tmp_path / "out", [], data=tmp_path)
    assert other.mix["domains"]["b"]["path"] == str(tmp_path / "b.jsonl.gz")


def test_answers_are_in_the_order_of_the_questions(tmp_path):
    lines = [json.dumps({"doc_id": i, "acc": 0.0, "acc_norm": float(i == 2)}) for i in (2, 0, 1)]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines) + "\n")
    assert right(tmp_path / "samples.jsonl") == "001"


def test_what_is_found_of_a_model_lies_beside_links_to_it_and_a_new_model_takes_its_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"name": "{name}"}}')
        (tmp_path / name / "model.safetensors").write_text(name)
    place = linked(tmp_path / "one", tmp_path / "models" / "m")
    (place / "evaluation").mkdir()
    assert linked(tmp_path / "two", place) == place and (place / "model.safetensors").read_text() == "two"
    assert json.loads((place / "config.json").read_text()) == {"name": "two"}
    assert sorted(file.name for file in (tmp_path / "two").iterdir()) == ["config.json", "model.safetensors"]
