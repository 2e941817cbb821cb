"""Objectives and constraints on the command line and in mix.yaml."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest

from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError
from mixlaw.solve import SolveWishes


def solved(mixlaw, fit_json, *options):
    result = mixlaw("solve", fit_json, "--budget", "20M", "--json", *options)
    assert result.code == 0, result.stdout
    return result.json


def test_groups_are_kept(mixlaw, fit_json):
    value = solved(mixlaw, fit_json, "--group", "code + math <= 0.4", "--group", "chat - math == 0.5")
    weights = value["weights"]
    assert weights["code"] + weights["math"] <= 0.4 + 1e-9
    assert weights["chat"] - weights["math"] == pytest.approx(0.5, abs=1e-9)


def test_the_worst_target_and_the_pull_to_a_prior(mixlaw, fit_json):
    free = solved(mixlaw, fit_json, "--objective", "max")
    assert free["objective"] == "max"
    pulled = solved(mixlaw, fit_json, "--prior", "chat=0.8,math=0.1,code=0.1", "--prior-strength", "50")
    assert pulled["weights"]["chat"] == pytest.approx(0.8, abs=0.01)
    assert solved(mixlaw, fit_json, "--prior", "equal", "--prior-strength", "50")["weights"]["chat"] < 0.35


def test_one_target_with_the_others_kept(mixlaw, fit_json):
    alone = ("--target-weight", "math=1")
    greedy = solved(mixlaw, fit_json, *alone)
    kept = solved(mixlaw, fit_json, *alone, "--no-worse", "chat=0.1,code=0.1", "--reference", "equal")
    assert kept["weights"]["math"] < greedy["weights"]["math"]
    chat = kept["predicted"]["chat"]["mean"]
    floored = solved(mixlaw, fit_json, *alone, "--floor", f"chat={chat - 0.005}")
    assert floored["predicted"]["chat"]["mean"] < chat


def test_limits_hold_with_the_certainty_that_is_asked_for(mixlaw, fit_json):
    asked = ("--target-weight", "math=1", "--no-worse", "chat=0.1,code=0.1", "--reference", "equal")
    sure = solved(mixlaw, fit_json, *asked, "--certainty", "90%")
    assert min(limit["probability_kept"] for limit in sure["limits"]) == pytest.approx(0.9, abs=5e-3)
    shown = mixlaw("solve", fit_json, "--budget", "20M", *asked, "--certainty", "90%", "--verbose").stdout
    assert re.search(r"probability that the limit of chat is kept +90 %", shown)
    unasked = mixlaw("solve", fit_json, "--budget", "20M", *asked)
    assert "the limits hold with a probability of" in " ".join(unasked.stderr.split())


def test_the_tables_show_intervals_regret_and_probabilities(mixlaw, fit_json):
    result = mixlaw("solve", fit_json, "--budget", "20M", "--objective", "max", "--verbose")
    assert result.code == 0
    for words in ("million, 90 %", "regret of equal", "probability of being better than equal"):
        assert words in result.stdout


def test_what_more_data_is_worth_is_said_for_a_step_that_the_budget_has_room_for(mixlaw, fit_json, tmp_path, capsys):
    from mixlaw.cli.figures import solution_details
    from mixlaw.core.documents import read_document
    from mixlaw.report.figures import marginal_figure
    from mixlaw.report.tables import marginal_table
    from mixlaw.solve.solution import Solution

    out = tmp_path / "solution.json"
    small = mixlaw("solve", fit_json, "--budget", "40k", "--verbose", "--out", out).stdout
    found = read_document(out, "solution", Solution.from_json)
    for shown in (small, str(found), str(marginal_table(found)), marginal_figure(found).description):
        assert "4k" in shown and "million" not in shown
    solution_details(replace(found, marginal=dict.fromkeys(found.weights, 28.5)))
    said = " ".join("".join(capsys.readouterr()).split())
    assert "A further 4k tokens of any domain lowers the objective by about 0.114 nats." in said


def test_a_limit_below_the_reference_is_said_to_be_below_it(mixlaw, fit_json):
    result = mixlaw("solve", fit_json, "--budget", "1M", "--no-worse", "chat=-90", "--reference", "equal", "--json")
    said = result.json["error"]["message"]
    assert "90 % below equal" in said and "above" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--objective", "worst"), "no objective 'worst'"),
        (("--floor", "code=0.2"), "smallest loss"),
        (("--floor", "cod=1"), "did you mean 'code'"),
        (("--no-worse", "code=1", "--reference", "natural"), "not known"),
        (("--no-worse", "code=much"), "--no-worse"),
        (("--reference", "equal"), "no_worse"),
        (("--certainty", "90"), "no limit"),
        (("--certainty", "high", "--floor", "code=2"), "--certainty"),
        (("--certainty", "20%", "--floor", "code=2"), "50 to 99"),
        (("--group", "code + mth <= 0.5"), "did you mean 'math'"),
        (("--group", "code + math <= 0.1", "--max", "chat=0.2"), "together"),
        (("--prior", "equal"), "prior_strength"),
        (("--prior-strength", "1"), "no prior"),
        (("--prior", "chat=0.4", "--prior-strength", "1"), "sum to 0.4"),
    ],
)
def test_each_bad_wish_is_one_error(mixlaw, fit_json, options, words):
    result = mixlaw("solve", fit_json, "--budget", "20M", *options)
    assert result.code == 1
    assert words in result.stderr
    assert result.stderr.count("error ") == 1


TREE = {
    "study": "x",
    "model": {"name_or_path": "m"},
    "domains": {"chat": {"path": "a"}, "math": {"path": "b"}},
    "budget_tokens": 5,
}


def test_mix_yaml_takes_the_same_keys():
    solve = {
        "objective": "max",
        "target_weight": {"chat": 1},
        "floor": {"math": 0.7},
        "no_worse": {"chat": 2},
        "reference": "equal",
        "groups": ["chat - math <= 0.2"],
        "prior": {"chat": 0.5, "math": 0.5},
        "prior_strength": 0.1,
        "certainty": "90 %",
    }
    read = parse_config({**TREE, "solve": solve}).solve
    assert read.groups == ["chat - math <= 0.2"]
    assert SolveWishes.of_config(read.model_dump(), None).certainty == 90


@pytest.mark.parametrize(
    ("solve", "words"),
    [
        ({"objective": "min"}, "solve.objective"),
        ({"floor": {"mth": 0.7}}, "solve.floor.mth: no such domain, did you mean 'math'?"),
        ({"floor": {"math": -1}}, "solve.floor.math"),
        ({"floor": {"math": float("inf")}}, "solve.floor.math"),
        ({"no_worse": {"mth": 1}}, "solve.no_worse.mth"),
        ({"no_worse": {"math": 1}, "reference": "best"}, "solve.reference"),
        ({"reference": "equal"}, "solve.reference"),
        ({"certainty": "90 %"}, "solve.certainty: there is no limit"),
        ({"certainty": 0.9, "floor": {"math": 1}}, "solve.certainty"),
        ({"certainty": "sure", "floor": {"math": 1}}, "solve.certainty"),
        ({"groups": ["chat <= 0.5", "mth <= 0.2"]}, "solve.groups.1: The group 'mth <= 0.2' names no domain 'mth'"),
        ({"groups": "chat <= 0.5"}, "solve.groups"),
        ({"prior": "equal"}, "solve.prior_strength: missing"),
        ({"prior_strength": 1}, "solve.prior: missing"),
        ({"prior": {"chat": 0.4}, "prior_strength": 1}, "solve.prior: the shares sum to 0.4"),
        ({"prior": {"cht": 1.0}, "prior_strength": 1}, "solve.prior.cht: no such domain, did you mean 'chat'?"),
        ({"prior_strenght": 1}, "solve.prior_strenght: unknown key, did you mean 'prior_strength'?"),
        ({"target_weight": {"chat": 1}}, "set objective: weighted"),
    ],
)
def test_mix_yaml_names_the_path_of_each_bad_wish(solve, words):
    with pytest.raises(ConfigError) as error:
        parse_config({**TREE, "solve": solve})
    assert words in str(error.value)


@pytest.fixture
def odd_names(fit_json, tmp_path):
    """The fit with names that have commas, signs, quotes and spaces."""
    from mixlaw.fit import Fit

    text = json.dumps(Fit.load(fit_json).to_json())
    for plain, odd in (("chat", "chat, long"), ("math", "x=y"), ("code", "it's")):
        text = text.replace(f'"{plain}"', f'"{odd}"')
    Fit.from_json(json.loads(text)).save(tmp_path / "odd.json")
    return tmp_path / "odd.json"


def test_names_with_commas_are_written_in_quotes_and_the_next_command_does_so(mixlaw, odd_names):
    options = ("--max", "'chat, long'=0.2,x=y=0.5", "--min", "it's=0.3", "--no-worse", '"chat, long"=50')
    weights = solved(mixlaw, odd_names, *options)["weights"]
    assert weights["chat, long"] <= 0.2 + 1e-9 and weights["it's"] >= 0.3 - 1e-9
    said = mixlaw("solve", odd_names, "--budget", "20M", "--verbose", *options)
    following = shlex.split(next(line for line in said.stdout.splitlines() if "mixlaw predict" in line))
    predicted = mixlaw(*following[following.index("predict") :], "--json")
    assert predicted.code == 0, predicted.stdout
    assert predicted.json["predicted"].keys() == {"chat, long", "x=y", "it's"}
    assert not predicted.json["warnings"] or "does not name" not in str(predicted.json["warnings"])
    refused = mixlaw("solve", odd_names, "--budget", "20M", "--max", "chat, long=0.2")
    assert refused.code == 1 and "Put a name that has commas in quotes" in refused.stderr


def test_no_budget_of_zero_follows_a_prediction_for_no_tokens(mixlaw, fit_json):
    result = mixlaw("predict", fit_json, "--tokens", "chat=0,math=0,code=0")
    assert result.code == 0 and "--budget" not in result.stdout


def after(result):
    """The words of the command that is said to come next."""
    assert result.code == 0, result.stderr
    text = " ".join(line.strip() for line in result.stdout.splitlines()).replace("\\ ", "")
    return shlex.split(text[text.rindex("mixlaw ") :])[1:]


def test_the_next_command_says_again_what_was_asked_of_the_fit(mixlaw, runs_csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_curve_law.py").write_text(
        "from mixlaw.laws.chinchilla import Chinchilla\nclass Own(Chinchilla):\n    name = 'own_total'\n"
    )
    own = ("--law", "own_curve_law:Own")
    first = after(mixlaw("fit", runs_csv, *own, "--repetition", "off", "--seed", "3"))
    assert first[-2:] == ["--out", "fit.json"] and {"off", "3"} <= set(first)
    second = after(mixlaw(*first))
    assert second[0] == "solve" and second[-2:] == list(own)
    third = after(mixlaw(*second))
    assert third[0] == "predict" and third[-2:] == list(own)
    assert after(mixlaw(*third))[-2:] == list(own)
    compared = after(mixlaw("laws", runs_csv, "--laws", "own_curve_law:Own,chinchilla"))
    assert compared[:1] == ["fit"] and compared[2:4] in (list(own), ["--law", "chinchilla"])
