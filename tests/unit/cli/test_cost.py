"""Every command says what the runs cost, as a share of the final run; a smaller model for the proxies is counted so."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import mixlaw
from mixlaw.study.store import Study

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"


def changed(path, **keys):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys))
    return path


def test_check_plan_and_status_say_the_same_cost(mixlaw, mix_yaml):
    checked = mixlaw("check", mix_yaml, "--json").json["cost"]
    planned = mixlaw("plan", mix_yaml, "--json").json["cost"]
    assert checked["share_of_final_run"] == pytest.approx(planned["left"]["share_of_final_run"])
    assert planned["done"]["share_of_final_run"] == planned["failed"]["share_of_final_run"] == 0
    # Evaluations are in it: ten rows of each domain, a third of training on as many tokens.
    plan = mixlaw("plan", mix_yaml, "--json").json
    evaluated = checked["share_of_final_run"] - plan["total_tokens"] / 2_000
    assert 9 * 20 * 10 / 3 / 2_000 < evaluated < 9 * 20 * 64 / 3 / 2_000
    assert re.search(r"^cost +[0-9.,]+ % of the final run$", mixlaw("plan", mix_yaml).stdout, re.MULTILINE)
    assert mixlaw("status", mix_yaml, "--json").json["cost"] == planned


def begun(mixlaw, mix_yaml):
    """Return a planned study, and the spec of its first run, of which three of four steps were done."""
    mixlaw("plan", mix_yaml)
    study = Study(mix_yaml.parent / "study")
    spec = study.load_plan()[0]
    folder = study.run_folder(spec)
    folder.mkdir(parents=True)
    (folder / "spec.json").touch()
    (folder / "metrics.jsonl").write_text('{"step": 3, "steps": 4, "loss": 1.0}\n')
    return study, spec


def test_status_counts_what_failed(mixlaw, mix_yaml):
    study, spec = begun(mixlaw, mix_yaml)
    study.fail(spec, ValueError("no"), retry=False)
    cost = mixlaw("status", mix_yaml, "--json").json["cost"]
    tokens = sum(spec.tokens.values())
    assert cost["failed"]["share_of_final_run"] == pytest.approx(0.75 * tokens / 2_000)
    assert "on runs that failed" in mixlaw("status", mix_yaml).stdout


def test_status_says_interrupted_of_what_did_not_fail(mixlaw, mix_yaml):
    _, spec = begun(mixlaw, mix_yaml)
    cost = mixlaw("status", mix_yaml, "--json").json["cost"]
    assert cost["interrupted"]["share_of_final_run"] == pytest.approx(0.75 * sum(spec.tokens.values()) / 2_000)
    assert cost["failed"]["share_of_final_run"] == 0
    shown = " ".join(mixlaw("status", mix_yaml).stdout.split())
    assert "of it on training that was interrupted" in shown and "failed" not in shown


def test_a_plan_never_passes_the_limit_that_was_set(mixlaw, mix_yaml):
    changed(mix_yaml, plan={"base_tokens": 300, "max_cost": "50%"})
    result = mixlaw("plan", mix_yaml)
    assert result.code == 1 and "plan.max_cost is 50 %" in result.stderr and "of the final run" in result.stderr
    changed(mix_yaml, plan={"max_cost": "ten"})
    assert "plan.max_cost: 'ten', which is no cost" in mixlaw("plan", mix_yaml).stderr


def test_a_default_plan_of_a_large_budget_shows_what_more_money_would_buy(mixlaw, mix_yaml):
    for name in ("chat", "math"):
        turns = [("user", f"{name}?"), ("assistant", "It is " + "so and so " * 12)]
        rows = [{"messages": [{"role": role, "content": f"{text} {i}"} for role, text in turns]} for i in range(3_000)]
        (mix_yaml.parent / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Without a probe, which takes the time and tells nothing of the curve.
    changed(mix_yaml, plan={"probe": False}, budget_tokens="4M", solve={"max_epochs": None})
    result = mixlaw("plan", mix_yaml, "--json").json
    curve = result["cost_curve"]
    assert curve["limit"] == pytest.approx(0.1) and not curve["measured"]
    costs, regrets = ([point[key] for point in curve["points"]] for key in ("cost", "regret_nats"))
    assert costs == sorted(costs) and regrets == sorted(regrets, reverse=True) and costs[-1] <= 0.102
    shown = mixlaw("plan", mix_yaml, "--verbose").stdout
    assert "Cost against expected regret (before any run); the limit is 10 % of the final run" in shown
    assert "next 1 % removes, nats" in shown
    # The answer's figure is the table's.
    near = min(curve["points"], key=lambda point: abs(point["cost"] - result["cost"]["left"]["share_of_final_run"]))
    assert f"sure     expected regret {near['regret_nats']:.2g} nats, before any run" in shown


@pytest.fixture
def smaller(tmp_path):
    """A model of the same family with half of the layers, and the same tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path / "smaller"
    shutil.copytree(BASE, folder)
    config = AutoConfig.from_pretrained(BASE)
    config.num_hidden_layers = 2
    config.layer_types = None
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_proxies_on_a_smaller_model_cost_less_and_the_final_model_is_exported(mixlaw, mix_yaml, smaller):
    alone = mixlaw("check", mix_yaml, "--json").json
    changed(mix_yaml, model={"name_or_path": str(smaller)}, final_model={"name_or_path": str(BASE)})
    both = mixlaw("check", mix_yaml, "--json").json
    ratio = both["parameters"] / alone["parameters"]
    assert 0.4 < ratio < 0.9
    share = both["cost"]["share_of_final_run"]
    assert share == pytest.approx(ratio * alone["cost"]["share_of_final_run"])
    assert any("is not known" in note and "rank" in note for note in both["notes"])

    result = mixlaw("final", mix_yaml, "--weights", "chat=0.5,math=0.5", "--out", mix_yaml.parent / "trained", "--json")
    assert result.code == 0, result.stderr
    assert json.loads((mix_yaml.parent / "trained" / "config.json").read_text())["num_hidden_layers"] == 4
    facts = json.loads((mix_yaml.parent / "trained" / "mixlaw.json").read_text())
    assert facts["base_model"] == BASE.name and facts["predicted"] == {}


def test_models_that_count_tokens_in_different_ways_are_refused(mixlaw, mix_yaml, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(BASE, other)
    config = json.loads((other / "tokenizer_config.json").read_text())
    template = other / "chat_template.jinja"
    if template.stat().st_size:
        template.write_text(template.read_text() + " ")
    else:
        config["chat_template"] = config["chat_template"] + " "
        (other / "tokenizer_config.json").write_text(json.dumps(config))
    changed(mix_yaml, final_model={"name_or_path": str(other)})
    result = mixlaw("plan", mix_yaml)
    assert result.code == 1 and "have different tokenizers or chat templates" in result.stderr
